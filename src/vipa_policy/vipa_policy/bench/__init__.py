"""Figures about the library, each from a command that prints one line of JSON. Imports no ROS."""
