"""Quality of service that several nodes state: the single place for profiles whose two ends must match.

Guarded by the tests in tests/graph, in which the nodes meet.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

INSTRUCTION_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Words: none is lost, however fast they come."""
NEWEST_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""Chunks, states, targets: only the newest counts."""
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""What whoever comes later must know, too."""
