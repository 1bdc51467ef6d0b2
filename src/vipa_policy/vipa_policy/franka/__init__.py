"""A Franka arm through libfranka, without ROS: a process each for the arm and for the hand, and what talks to them.

See docs/nodes/franka.md. Only ``arm_robot`` and ``hand_robot`` import pylibfranka, which is optional.
"""
