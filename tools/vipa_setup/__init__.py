"""Set-up of a machine for VIPA: interpreter, ROS 2, virtual environment, colcon workspace. Standard library only."""
