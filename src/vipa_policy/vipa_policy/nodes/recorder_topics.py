"""The topics of an episode: the single place for what is recorded, with which type and quality of service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ament_index_python.packages import get_package_share_directory
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from vipa_msgs.msg import ActionChunk, CellState, ExecutionState, HandEyeCalibration, TrialStatus
from vipa_policy.episode import CameraTopics, QosDescription, TopicDescription
from vipa_policy.episode.definitions import full_definition, type_hash
from vipa_policy.errors import VipaError

# Best effort matches every publisher. The depths bridge pauses of a busy machine: seconds of each stream.
IMAGE_QOS = QoSProfile(depth=30, reliability=ReliabilityPolicy.BEST_EFFORT)
STATE_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class RecordedTopic:
    """A topic to record: its role, name as given to create_subscription, message class, QoS, and whether needed."""

    role: str
    name: str
    message_class: Any
    qos: QoSProfile
    required: bool = False

    @property
    def type_name(self) -> str:
        """The type as "package/msg/Name"."""
        package, folder, *_ = self.message_class.__module__.split(".")
        return f"{package}/{folder}/{self.message_class.__name__}"


# tf2 listens on these two whatever the namespace.
COMMON = (
    RecordedTopic("tf", "/tf", TFMessage, RELIABLE_QOS, required=True),
    RecordedTopic("tf_static", "/tf_static", TFMessage, LATCHED_QOS, required=True),
    RecordedTopic("joint_states", "joint_states", JointState, STATE_QOS, required=True),
    RecordedTopic("instruction", "instruction", String, RELIABLE_QOS),
    RecordedTopic("target_pose", "target_pose", PoseStamped, RELIABLE_QOS),
    RecordedTopic("chunk", "policy/chunk", ActionChunk, RELIABLE_QOS),
    RecordedTopic("execution_state", "arm/execution_state", ExecutionState, RELIABLE_QOS),
    RecordedTopic("calibration", "calibration/result", HandEyeCalibration, LATCHED_QOS),
    RecordedTopic("cell_state", "cell/state", CellState, STATE_QOS),
    RecordedTopic("trial", "cell/trial", TrialStatus, LATCHED_QOS),
)


def camera_topics(view: str, namespace: str) -> tuple[RecordedTopic, ...]:
    """Return the topics of one camera under the names of realsense-ros."""
    return (
        RecordedTopic(f"{view}/color", f"{namespace}/color/image_raw", Image, IMAGE_QOS, required=True),
        RecordedTopic(
            f"{view}/depth", f"{namespace}/aligned_depth_to_color/image_raw", Image, IMAGE_QOS, required=True
        ),
        RecordedTopic(f"{view}/camera_info", f"{namespace}/color/camera_info", CameraInfo, IMAGE_QOS, required=True),
    )


def camera_namespaces(names: Sequence[str], topics: Sequence[str]) -> dict[str, str]:
    """Return view name -> topic prefix. Raises VipaError unless there is one prefix for each of different names."""
    if not names or len(names) != len(topics) or len(set(names)) != len(names) or not all((*names, *topics)):
        raise VipaError(
            f"expected different camera_names and one topic prefix for each in camera_topics, got {list(names)} and "
            f"{list(topics)}"
        )
    return {name: prefix.rstrip("/") for name, prefix in zip(names, topics, strict=True)}


def resolved_cameras(node: Node, cameras: Mapping[str, str]) -> dict[str, CameraTopics]:
    """Return view name -> resolved topic names."""
    return {
        view: CameraTopics(*(node.resolve_topic_name(topic.name) for topic in camera_topics(view, namespace)))
        for view, namespace in cameras.items()
    }


def describe(node: Node, topic: RecordedTopic) -> TopicDescription:
    """Return what a recording says about a topic, with the QoS its publishers offer now."""
    name = node.resolve_topic_name(topic.name)
    offered = [info.qos_profile for info in node.get_publishers_info_by_topic(name)]
    return TopicDescription(
        name,
        topic.type_name,
        *_definition_and_hash(topic.type_name),
        tuple(dict.fromkeys(_qos(profile) for profile in offered)),
    )


@cache
def _definition_and_hash(type_name: str) -> tuple[str, str]:
    # Read once, when the node is configured: a dozen files at an episode's first messages would hold the others up.
    return (
        full_definition(type_name, get_package_share_directory),
        type_hash(type_name, get_package_share_directory),
    )


def _qos(profile: QoSProfile) -> QosDescription:
    # A publisher's history and depth do not travel with its discovery data: rosbag2, too, writes what it was told.
    return QosDescription(
        profile.reliability.name.lower(), profile.durability.name.lower(), profile.history.name.lower(), profile.depth
    )
