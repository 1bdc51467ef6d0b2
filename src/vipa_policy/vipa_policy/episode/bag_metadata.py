"""metadata.yaml, by which rosbag2 opens a folder: version 9, as ROS 2 Jazzy writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vipa_policy.episode.info import write_atomically
from vipa_policy.episode.topics import TopicDescription

FILE_NAME = "metadata.yaml"


def bag_information(
    file_name: str,
    topics: Sequence[TopicDescription],
    counts: Mapping[str, int],
    start_ns: int,
    end_ns: int,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    """Return ``rosbag2_bagfile_information`` for one file; times are 0 where there is no message."""
    total = sum(counts.values())
    start = {"nanoseconds_since_epoch": start_ns if total else 0}
    duration = {"nanoseconds": end_ns - start_ns if total else 0}
    return {
        "version": 9,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": total,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [profile.to_dict() for profile in topic.qos],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": counts.get(topic.name, 0),
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file_name],
        "files": [
            {
                "path": file_name,
                "starting_time": dict(start),
                "duration": dict(duration),
                "message_count": total,
            }
        ],
        "custom_data": dict(custom),
        "ros_distro": "jazzy",
    }


def write_bag_metadata(folder: Path, information: Mapping[str, Any]) -> None:
    """Write metadata.yaml, whole or not at all."""
    document = {"rosbag2_bagfile_information": dict(information)}
    write_atomically(folder / FILE_NAME, to_yaml(document))


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return block YAML in the given order, without aliases (readers in C++ need not know them)."""
    return str(yaml.dump(dict(values), Dumper=_NoAliases, sort_keys=False, default_flow_style=False))


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
