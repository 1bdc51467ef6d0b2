"""Helpers to write episodes without ROS: message definitions and serialisation come from rosbags."""

from __future__ import annotations

from typing import Any

from rosbags.typesys import Stores, get_typestore

from vipa_policy.episode import QosDescription, TopicDescription

STORE = get_typestore(Stores.ROS2_JAZZY)


def describe(name: str, message_type: str) -> TopicDescription:
    definition, _ = STORE.generate_msgdef(message_type, ros_version=2)
    return TopicDescription(name, message_type, definition, STORE.hash_rihs01(message_type), (QosDescription(),))


def text_message(text: str) -> bytes:
    return serialise(STORE.types["std_msgs/msg/String"](text))


def serialise(message: Any) -> bytes:
    return bytes(STORE.serialize_cdr(message, message.__msgtype__))
