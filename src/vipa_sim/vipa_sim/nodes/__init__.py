"""ROS 2 nodes around the simulated cell; they convert messages and call the library."""
