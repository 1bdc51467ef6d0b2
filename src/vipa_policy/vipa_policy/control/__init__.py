"""The motion path: from a predicted chunk to limited setpoints. Imports no ROS."""
