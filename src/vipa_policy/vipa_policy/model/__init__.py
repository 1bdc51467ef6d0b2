"""The dual-encoder vision-language-action model. Imports no ROS."""

from vipa_policy.model.policy import VipaPolicy, load_policy

__all__ = ["VipaPolicy", "load_policy"]
