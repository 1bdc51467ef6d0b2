"""Build of vipa_policy: by colcon as a ROS 2 package, or by pip as a plain library."""

from setuptools import find_packages, setup

setup(
    name="vipa_policy",
    version="0.1.0",
    description="VIPA: dual-encoder vision-language-action policy, its motion path and its ROS 2 nodes",
    license="Apache-2.0",
    packages=find_packages(include=["vipa_policy", "vipa_policy.*"]),
    package_data={"vipa_policy": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vipa_policy"]),
        ("share/vipa_policy", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=[
        "numpy>=1.26",
        "opencv-python>=4.9,<5",
        "pin>=3.4",
        "scipy>=1.11",
        "pyyaml>=6",
        "huggingface-hub>=1.0",
        "safetensors>=0.4",
        "tokenizers>=0.20",
        "torch>=2.11",
        "transformers>=5.17",
    ],
    extras_require={"franka": ["pylibfranka>=0.21"], "realsense": ["pyrealsense2>=2.59"], "training": ["peft>=0.17"]},
    entry_points={
        "console_scripts": [
            "calibrate = vipa_policy.nodes.calibrate:main",
            "calibrated_camera_node = vipa_policy.nodes.calibrated_camera_node:main",
            "calibration_node = vipa_policy.nodes.calibration_node:main",
            "policy_node = vipa_policy.nodes.policy_node:main",
            "franka_node = vipa_policy.nodes.franka_node:main",
            "arm_node = vipa_policy.nodes.arm_node:main",
            "program_node = vipa_policy.nodes.program_node:main",
            "recorder_node = vipa_policy.nodes.recorder_node:main",
            "realsense_node = vipa_policy.nodes.realsense_node:main",
        ],
    },
    zip_safe=False,
)
