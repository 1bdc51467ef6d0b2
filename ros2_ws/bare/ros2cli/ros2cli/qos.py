"""Quality of service from the command line."""

from __future__ import annotations

import argparse
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSHistoryPolicy,
    QoSLivelinessPolicy,
    QoSPresetProfiles,
    QoSProfile,
    QoSReliabilityPolicy,
)

_POLICIES: dict[str, Any] = {
    "history": QoSHistoryPolicy,
    "reliability": QoSReliabilityPolicy,
    "durability": QoSDurabilityPolicy,
    "liveliness": QoSLivelinessPolicy,
}


def add_qos_arguments(parser: argparse.ArgumentParser, verb: str, default_profile: str) -> None:
    """Add `--qos-profile` and what overrides its single policies."""
    parser.add_argument(
        "--qos-profile",
        choices=QoSPresetProfiles.short_keys(),
        default=default_profile,
        help=f"Quality of service preset profile to {verb} with (default: {default_profile})",
    )
    parser.add_argument("--qos-depth", metavar="N", type=int, help="Queue size setting (overrides the profile)")
    for name, policy in _POLICIES.items():
        parser.add_argument(
            f"--qos-{name}", choices=policy.short_keys(), help=f"Quality of service {name} (overrides the profile)"
        )
    parser.add_argument(
        "--qos-liveliness-lease-duration-seconds",
        metavar="SECONDS",
        type=float,
        help="Quality of service liveliness lease duration (overrides the profile)",
    )


def is_qos_given(args: argparse.Namespace) -> bool:
    """Return whether the user overrode a policy."""
    names = ["depth", "liveliness_lease_duration_seconds", *_POLICIES]
    return any(getattr(args, f"qos_{name}") is not None for name in names)


def qos_from_arguments(args: argparse.Namespace) -> QoSProfile:
    """Return the profile that the user asked for."""
    profile = QoSPresetProfiles.get_from_short_key(args.qos_profile)
    if args.qos_depth is not None:
        profile.depth = args.qos_depth
        if args.qos_history is None:
            profile.history = QoSHistoryPolicy.KEEP_LAST
    for name, policy in _POLICIES.items():
        value = getattr(args, f"qos_{name}")
        if value is not None:
            setattr(profile, name, policy.get_from_short_key(value))
    lease_s = args.qos_liveliness_lease_duration_seconds
    if lease_s is not None and lease_s >= 0.0:
        profile.liveliness_lease_duration = Duration(seconds=lease_s)
    return profile


def qos_of_publishers(node: Any, topic: str, args: argparse.Namespace) -> QoSProfile:
    """Return a profile that matches all publishers of a topic, unless the user overrode a policy."""
    profile = qos_from_arguments(args)
    if is_qos_given(args):
        return profile
    offered = [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]
    if not offered:
        return profile
    for name, strong, weak in (
        ("reliability", QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT),
        ("durability", QoSDurabilityPolicy.TRANSIENT_LOCAL, QoSDurabilityPolicy.VOLATILE),
    ):
        count = sum(getattr(one, name) == strong for one in offered)
        setattr(profile, name, strong if count == len(offered) else weak)
        if 0 < count < len(offered):
            print(
                f"Some, but not all, publishers are offering {strong.name}. Falling back to {weak.name} as it will "
                "connect to all publishers"
            )
    return profile
