"""Installs the stand-in for message_filters; used only where ROS 2 is absent."""

from setuptools import setup

setup(
    name="message_filters",
    version="0.1.0",
    packages=["message_filters"],
    package_data={"message_filters": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/message_filters"]),
        ("share/message_filters", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="VIPA",
    maintainer_email="vipa@users.noreply.github.com",
    description="Clean-room subset of the Python message_filters, for machines without ROS 2.",
    license="Apache-2.0",
)
