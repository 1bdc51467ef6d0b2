"""Descriptions of parameters, under the name that ROS 2 has for them too."""

from ..parameter_descriptions import Parameter, ParameterFile, ParameterValue

__all__ = ["Parameter", "ParameterFile", "ParameterValue"]
