"""What `make bench-runtime` and `make soak` make of what nodes noted down. Imports no ROS."""
