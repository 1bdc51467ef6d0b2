"""The parts of the arm node: what comes in, what is watched, what is told. ``arm_node`` puts them together."""
