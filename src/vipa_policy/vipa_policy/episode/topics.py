"""What a recording says about a topic, in the words rosbag2 uses: the single place for its QoS vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# rosbag2 writes "no limit" as the largest duration its middleware interface knows.
_INFINITE = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class QosDescription:
    """The quality of service a publisher offered, in rosbag2's words ("keep_last", "reliable", "transient_local")."""

    reliability: str = "reliable"
    durability: str = "volatile"
    history: str = "keep_last"
    depth: int = 10

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that stands in metadata.yaml (rosbag2 metadata version 9) and in the MCAP channel."""
        return {
            "history": self.history,
            "depth": self.depth,
            "reliability": self.reliability,
            "durability": self.durability,
            "deadline": dict(_INFINITE),
            "lifespan": dict(_INFINITE),
            "liveliness": "automatic",
            "liveliness_lease_duration": dict(_INFINITE),
            "avoid_ros_namespace_conventions": False,
        }


@dataclass(frozen=True)
class TopicDescription:
    """A recorded topic.

    Attributes:
        name: resolved name, "/tf".
        type: "sensor_msgs/msg/Image".
        definition: the message definition with those it needs, concatenated as rosbag2 does (encoding "ros2msg").
        type_hash: "RIHS01_...", or "" where it is not known.
        qos: what its publishers offered.
    """

    name: str
    type: str
    definition: str
    type_hash: str = ""
    qos: tuple[QosDescription, ...] = ()


def qos_yaml(profiles: Sequence[QosDescription]) -> str:
    """Return the YAML text that an MCAP channel carries as ``offered_qos_profiles``."""
    return str(yaml.safe_dump([profile.to_dict() for profile in profiles], sort_keys=False)) if profiles else ""


def qos_from_yaml(text: str) -> tuple[QosDescription, ...]:
    """Read what ``qos_yaml`` wrote."""
    fields = ("reliability", "durability", "history", "depth")
    return tuple(QosDescription(**{name: entry[name] for name in fields}) for entry in yaml.safe_load(text or "[]"))
