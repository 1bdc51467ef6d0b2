"""Hand-eye calibration without ROS: where a camera is on the hand, or in the robot's base frame.

``board`` finds a ChArUco board in a picture, ``hand_eye`` solves, ``diversity`` tells which motion is missing,
``validation`` measures on poses held out, ``collection`` goes through the procedure, ``result`` is the file that comes
out, ``mounting`` puts it into TF, and ``watch`` notices a camera that was bumped. docs/calibration.md is the manual.
"""
