"""Joint states and transforms as messages that are reused from tick to tick.

Filling one in place costs a fraction of building it anew. Guarded by tests/graph/test_cell_node.py.
"""

from __future__ import annotations

import array
from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import transform_stamped


def static_transforms(transforms: Iterable[tuple[str, str, Array]], stamp: Time) -> TFMessage:
    """Return (parent, child, parent_from_child) triples as one message."""
    return TFMessage(
        transforms=[transform_stamped(matrix, parent, child, stamp) for parent, child, matrix in transforms]
    )


class TransformsMessage:
    """The moving transforms of a fixed set of frames, as one reused TFMessage."""

    def __init__(self, edges: Sequence[tuple[str, str]]) -> None:
        """Hold transforms for (parent, child) pairs, in this order."""
        self.message = TFMessage()
        for parent, child in edges:
            self.message.transforms.append(TransformStamped(header=Header(frame_id=parent), child_frame_id=child))

    def fill(self, positions: Array, quaternions: Array, stamp: Time) -> TFMessage:
        """Return the message with parent_from_child positions (edges, 3) and quaternions (edges, 4) at a stamp."""
        rows = zip(self.message.transforms, positions.tolist(), quaternions.tolist(), strict=True)
        for transform, position, quaternion in rows:
            transform.header.stamp = stamp
            _fill_transform(transform, position, quaternion)
        return self.message


def _fill_transform(transform: TransformStamped, position: Sequence[float], quaternion: Sequence[float]) -> None:
    translation: Vector3 = transform.transform.translation
    rotation: Quaternion = transform.transform.rotation
    translation.x, translation.y, translation.z = position
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion


class JointStateMessage:
    """The joint states, as one reused message."""

    def __init__(self, names: Sequence[str]) -> None:
        """Hold the joints of these names, in this order."""
        self.message = JointState(name=list(names))

    def fill(self, positions: Array, velocities: Array, stamp: Time) -> JointState:
        """Return the message with positions and velocities (joints,) in rad or m, and per s."""
        self.message.header.stamp = stamp
        self.message.position = array.array("d", np.ascontiguousarray(positions, dtype=float).tobytes())
        self.message.velocity = array.array("d", np.ascontiguousarray(velocities, dtype=float).tobytes())
        return self.message
