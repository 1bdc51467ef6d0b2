"""The transform tree behind the stand-in for tf2: plain numbers, no ROS."""
