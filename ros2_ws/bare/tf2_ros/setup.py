"""Installs the stand-in for tf2_ros and tf2_py; used only where ROS 2 is absent."""

from setuptools import setup

setup(
    name="tf2_ros",
    version="0.1.0",
    packages=["tf2_ros", "tf2_py", "_tf2_tree"],
    package_data={name: ["py.typed"] for name in ("tf2_ros", "tf2_py", "_tf2_tree")},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/tf2_ros"]),
        ("share/tf2_ros", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="VIPA",
    maintainer_email="vipa@users.noreply.github.com",
    description="Clean-room subset of tf2_ros and tf2_py in Python, for machines without ROS 2.",
    license="Apache-2.0",
)
