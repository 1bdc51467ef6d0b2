"""What the franka node publishes of its arm: joint states, transforms, the external wrench, its status.

Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from vipa_msgs.msg import DriverStatus
from vipa_policy.franka.chain import Chain
from vipa_policy.franka.limits import FINGER_NAMES, JOINT_NAMES
from vipa_policy.geometry import Array
from vipa_policy.nodes.arm_messages import JointStateMessage, TransformsMessage, static_transforms
from vipa_policy.nodes.qos import LATCHED_QOS

STATE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
TRANSFORM_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class FrankaOutput:
    """Publishers of one arm.

    Args:
        node: to publish on.
        chain: of the arm's joints and the fingers.
        base_frame: of the wrench.
        world_frame: parent of the base frame, "" for none.
        urdf: for ``robot_description``.
        transforms: whether to publish TF.
    """

    def __init__(
        self, node: Node, chain: Chain, base_frame: str, world_frame: str, urdf: str, transforms: bool
    ) -> None:
        self._node = node
        self._arm = JointStateMessage(JOINT_NAMES)
        self._whole = JointStateMessage((*JOINT_NAMES, *FINGER_NAMES))
        self._joints = node.create_publisher(JointState, "joint_states", STATE_QOS)
        self._wrench = node.create_publisher(WrenchStamped, "driver/external_wrench", STATE_QOS)
        self._status = node.create_publisher(DriverStatus, "driver/status", LATCHED_QOS)
        self._description = node.create_publisher(String, "robot_description", LATCHED_QOS)
        self._description.publish(String(data=urdf))
        self._publishers = [self._joints, self._wrench, self._status, self._description]
        self._wrench_message = WrenchStamped()
        self._wrench_message.header.frame_id = base_frame
        self._transforms_message = TransformsMessage(chain.moving)
        self._transforms: Publisher | None = None
        if transforms:
            self._transforms = node.create_publisher(TFMessage, "/tf", TRANSFORM_QOS)
            self._static = node.create_publisher(TFMessage, "/tf_static", LATCHED_QOS)
            edges = list(chain.fixed) + ([(world_frame, base_frame, np.eye(4))] if world_frame else [])
            self._static.publish(static_transforms(edges, node.get_clock().now().to_msg()))
            self._publishers += [self._transforms, self._static]

    def publish_joints(
        self, positions: Sequence[float], velocities: Sequence[float], fingers: tuple[float, float] | None, stamp: Time
    ) -> None:
        """Publish positions and velocities (7,) in rad and rad/s, measured at ``stamp``.

        ``fingers`` is the width between them in m and how fast it changes in m/s; None where it was not measured: then
        they are left out.
        """
        if fingers is None:
            self._joints.publish(self._arm.fill(np.array(positions), np.array(velocities), stamp))
            return
        place, speed = 0.5 * fingers[0], 0.5 * fingers[1]
        self._joints.publish(
            self._whole.fill(np.array([*positions, place, place]), np.array([*velocities, speed, speed]), stamp)
        )

    def publish_transforms(self, transforms: tuple[Array, Array], known: int, stamp: Time) -> None:
        """Publish what ``Chain.transforms`` returned, the first ``known`` of them."""
        if self._transforms is not None:
            message = self._transforms_message.fill(*transforms, stamp)
            self._transforms.publish(TFMessage(transforms=message.transforms[:known]))

    def publish_wrench(self, wrench: Array, stamp: Time) -> None:
        """Publish a wrench (6,) in N and Nm on the tip, about its origin, in the base frame."""
        message = self._wrench_message
        message.header.stamp = stamp
        force, torque = message.wrench.force, message.wrench.torque
        force.x, force.y, force.z, torque.x, torque.y, torque.z = wrench.tolist()
        self._wrench.publish(message)

    def publish_status(self, state: int, reason: str, hardware: str) -> None:
        """Publish the driver's status."""
        message = DriverStatus(state=state, reason=reason, hardware=hardware)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._status.publish(message)

    def destroy(self) -> None:
        """Stop publishing."""
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)
