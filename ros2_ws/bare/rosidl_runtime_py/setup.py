"""Build of the rosidl_runtime_py stand-in, by colcon as a ROS 2 package."""

from setuptools import find_packages, setup

setup(
    name="rosidl_runtime_py",
    version="0.1.0",
    description="Clean-room subset of rosidl_runtime_py, for machines without ROS 2",
    license="Apache-2.0",
    packages=find_packages(include=["rosidl_runtime_py", "rosidl_runtime_py.*"]),
    package_data={"rosidl_runtime_py": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rosidl_runtime_py"]),
        ("share/rosidl_runtime_py", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=["setuptools"],
    zip_safe=False,
)
