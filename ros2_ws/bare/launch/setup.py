"""Build of the launch stand-in, by colcon as a ROS 2 package."""

from setuptools import find_packages, setup

setup(
    name="launch",
    version="0.1.0",
    description="Clean-room subset of the ROS 2 launch package, for machines without ROS 2",
    license="Apache-2.0",
    packages=find_packages(include=["launch", "launch.*"]),
    package_data={"launch": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/launch"]),
        ("share/launch", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=["setuptools"],
    zip_safe=False,
)
