"""The ROS 2 nodes: convert messages, call the library, publish. No maths here."""
