"""Training sets, their making, and the training of VIPA policies. Imports no ROS."""
