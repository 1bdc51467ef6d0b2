"""Installs the stand-in for cv_bridge; used only where ROS 2 is absent."""

from setuptools import setup

setup(
    name="cv_bridge",
    version="0.1.0",
    packages=["cv_bridge"],
    package_data={"cv_bridge": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/cv_bridge"]),
        ("share/cv_bridge", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="VIPA",
    maintainer_email="vipa@users.noreply.github.com",
    description="Clean-room subset of the Python cv_bridge, for machines without ROS 2.",
    license="Apache-2.0",
)
