"""Stand-in for the Python cv_bridge: image messages from and to numpy arrays as OpenCV lays them out."""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
