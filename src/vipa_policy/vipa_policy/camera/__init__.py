"""RGB-D cameras: opening, aligning, dating and watching what a RealSense delivers, without ROS.

``driver`` names what passes between the parts; ``realsense`` is the only module here that talks to librealsense,
together with ``recording``, which writes recordings for it to play. Both import pyrealsense2 only when they are used.
"""
