"""Episodes: recorded demonstrations as rosbag2 MCAP folders that survive a kill. No ROS in here.

An episode is a folder: ``<name>_0.mcap`` with the messages as they were on the wire, ``metadata.yaml`` so that
rosbag2 opens it, and ``episode.json`` with everything a message does not say (``EpisodeInfo``).
"""

from vipa_policy.episode.info import CameraTopics, EpisodeInfo, Outcome
from vipa_policy.episode.reader import EpisodeReader, RecordedMessage
from vipa_policy.episode.topics import QosDescription, TopicDescription
from vipa_policy.episode.writer import EpisodeWriter

__all__ = [
    "CameraTopics",
    "EpisodeInfo",
    "EpisodeReader",
    "EpisodeWriter",
    "Outcome",
    "QosDescription",
    "RecordedMessage",
    "TopicDescription",
]
