"""Actions about ROS nodes."""

from .node import LifecycleNode, Node
from .scoped import PushROSNamespace, PushRosNamespace, SetParameter

__all__ = ["LifecycleNode", "Node", "PushROSNamespace", "PushRosNamespace", "SetParameter"]
