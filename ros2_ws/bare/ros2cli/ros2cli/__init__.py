"""A clean-room subset of the ros2 command: the commands and verbs that this project's users type."""
