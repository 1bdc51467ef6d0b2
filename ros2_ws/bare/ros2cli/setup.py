"""Build of the ros2cli stand-in, by colcon as a ROS 2 package."""

from setuptools import find_packages, setup

setup(
    name="ros2cli",
    version="0.1.0",
    description="Clean-room subset of the ros2 command, for machines without ROS 2",
    license="Apache-2.0",
    packages=find_packages(include=["ros2cli", "ros2cli.*"]),
    package_data={"ros2cli": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/ros2cli"]),
        ("share/ros2cli", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=["setuptools"],
    entry_points={"console_scripts": ["ros2 = ros2cli.cli:main"]},
    zip_safe=False,
)
