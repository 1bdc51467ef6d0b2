"""A clean-room subset of ROS 2's launch_ros: enough for this project, with the same names and signatures."""

from . import actions, parameter_descriptions, substitutions, utilities

__all__ = ["actions", "parameter_descriptions", "substitutions", "utilities"]
