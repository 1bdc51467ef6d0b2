"""Build of vipa_sim: by colcon as a ROS 2 package, or by pip as a plain library."""

from setuptools import find_packages, setup

setup(
    name="vipa_sim",
    version="0.1.0",
    description="The simulated Franka cell of VIPA: physics, RGB-D camera, tasks, scripted experts, judge",
    license="Apache-2.0",
    packages=find_packages(include=["vipa_sim", "vipa_sim.*"]),
    package_data={"vipa_sim": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vipa_sim"]),
        ("share/vipa_sim", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=[
        "franky-sim>=1.0.4",
        "matplotlib>=3.8",
        "mujoco>=3.17,<4",
        "numpy>=1.26",
        "opencv-python>=4.9,<5",
        "scipy>=1.11",
        "tqdm>=4.60",
        "vipa_policy",
    ],
    entry_points={
        "console_scripts": [
            "bench_runtime = vipa_sim.nodes.bench_runtime:main",
            "cell_node = vipa_sim.nodes.cell_node:main",
            "eval_calibration = vipa_sim.eval_calibration:main",
            "eval_cell = vipa_sim.nodes.eval_cell:main",
            "demo = vipa_sim.nodes.demo:main",
            "faults = vipa_sim.nodes.faults.run:main",
            "demonstrator = vipa_sim.nodes.demonstrator:main",
            "scripted_policy = vipa_sim.nodes.scripted_policy:main",
            "soak = vipa_sim.nodes.soak:main",
        ],
    },
    zip_safe=False,
)
