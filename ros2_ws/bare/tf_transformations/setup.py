"""Installs the stand-in for tf_transformations; used only where ROS 2 is absent."""

from setuptools import setup

setup(
    name="tf_transformations",
    version="0.1.0",
    packages=["tf_transformations"],
    package_data={"tf_transformations": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/tf_transformations"]),
        ("share/tf_transformations", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="VIPA",
    maintainer_email="vipa@users.noreply.github.com",
    description="Clean-room subset of tf_transformations, for machines without ROS 2.",
    license="Apache-2.0",
)
