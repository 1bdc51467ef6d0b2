"""The dual-encoder vision-language-action model. Imports no ROS."""
