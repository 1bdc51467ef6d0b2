"""ros2_control's joint_trajectory_controller as controllers meet it on its topics.

What is kept of the real one (ros2_controllers, branch jazzy): names and types; which messages it refuses; that a
message replaces the running trajectory whole; that a stamp of 0 means now; that before the first point it interpolates
from the measured joints, between points linearly, and stands after the last; the state it publishes. What is not: its
action, splines, tolerances, and commands other than positions. Guarded by tests/graph/test_joint_trajectory.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from control_msgs.msg import JointTrajectoryControllerState
from rclpy.node import Node
from rclpy.qos import QoSProfile
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import NANOSECONDS, nanoseconds_of, stamp_from_nanoseconds
from vipa_sim.cell import Cell
from vipa_sim.model import ARM_JOINTS

NAME = "joint_trajectory_controller"
QOS = QoSProfile(depth=1)
STATE_PERIOD_NS = NANOSECONDS // 50


class TrajectoryError(Exception):
    """A trajectory that the controller would refuse; the text says why."""


@dataclass(frozen=True)
class Trajectory:
    """Positions (points, 7) in rad of the arm's joints, due at times (points,) in ns."""

    times: tuple[int, ...]
    positions: Array

    def sample(self, now_ns: int, since_ns: int, start: Array) -> Array:
        """Return the positions (7,) at a time; when it came, at ``since_ns``, the joints were at ``start`` (7,)."""
        times = np.array([since_ns, *self.times], dtype=float)
        positions = np.vstack([start, self.positions])
        if now_ns < self.times[0]:
            times, positions = times[:2], positions[:2]
        else:
            times, positions = times[1:], positions[1:]
        return np.array([np.interp(now_ns, times, column) for column in positions.T])


def read_trajectory(message: JointTrajectory, now_ns: int) -> Trajectory:
    """Return the trajectory of a message that came at a time in ns; raises TrajectoryError where it is refused."""
    names = list(message.joint_names)
    strangers = [name for name in names if name not in ARM_JOINTS]
    if strangers:
        raise TrajectoryError(f"Incoming joint {strangers[0]} doesn't match the controller's joints")
    if sorted(names) != sorted(ARM_JOINTS):
        raise TrajectoryError(f"expected the joints {', '.join(ARM_JOINTS)}, got {', '.join(names) or 'none'}")
    if not message.points:
        raise TrajectoryError("Empty trajectory received")
    offsets = [point.time_from_start.sec * NANOSECONDS + point.time_from_start.nanosec for point in message.points]
    if any(after <= before for before, after in pairwise(offsets)):
        raise TrajectoryError("time_from_start is not strictly increasing")
    for point in message.points:
        if len(point.positions) != len(names) or not all(math.isfinite(value) for value in point.positions):
            raise TrajectoryError(f"expected {len(names)} finite positions in every point, got {point.positions}")
    if any(abs(speed) > 1e-7 for speed in message.points[-1].velocities):
        raise TrajectoryError("velocity of the last point is not zero")
    begin = nanoseconds_of(message.header.stamp)
    if begin and begin + offsets[-1] < now_ns:
        late = 1e-9 * (now_ns - begin - offsets[-1])
        raise TrajectoryError(f"received a trajectory that ends {late:.3f} s in the past")
    order = [names.index(name) for name in ARM_JOINTS]
    positions = np.array([[point.positions[index] for index in order] for point in message.points])
    return Trajectory(tuple((begin or now_ns) + offset for offset in offsets), positions)


class FakeJointTrajectory:
    """Takes ``joint_trajectory`` and tells ``controller_state``, both below ``joint_trajectory_controller``."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Serve the arm of ``cell`` on ``node``."""
        self._node = node
        self._cell = cell
        self._now_ns = 0
        self._not_before_ns = 0
        self._trajectory: Trajectory | None = None
        self._since_ns = 0
        self._start = self._reference = self._measured()
        self._next_state_ns = 0
        self.accepted = 0
        self.refused = 0
        self._states = node.create_publisher(JointTrajectoryControllerState, f"{NAME}/controller_state", QOS)
        self._subscription = node.create_subscription(JointTrajectory, f"{NAME}/joint_trajectory", self._receive, QOS)

    def update(self, now: float) -> None:
        """Aim the joints at where the trajectory is at simulated time ``now`` in s."""
        self._now_ns = round(now * NANOSECONDS)
        if self._trajectory is not None:
            self._reference = self._trajectory.sample(self._now_ns, self._since_ns, self._start)
            self._cell.set_joint_target(self._reference)
        if self._now_ns >= self._next_state_ns:
            self._next_state_ns = self._now_ns + STATE_PERIOD_NS
            self._states.publish(self._state())

    def restart(self, stamp_ns: int) -> None:
        """Forget all that was stamped before ``stamp_ns`` (ns), and stand where the arm is now."""
        self._not_before_ns, self._trajectory = stamp_ns, None
        self._reference = self._measured()

    def _measured(self) -> Array:
        return self._cell.joint_positions[: len(ARM_JOINTS)].copy()

    def _receive(self, message: JointTrajectory) -> None:
        if 0 < nanoseconds_of(message.header.stamp) < self._not_before_ns:
            return
        try:
            self._trajectory = read_trajectory(message, self._now_ns)
        except TrajectoryError as refusal:
            self.refused += 1
            self._node.get_logger().error(f"trajectory refused: {refusal}", throttle_duration_sec=1.0)
            return
        self.accepted += 1
        self._since_ns, self._start = self._now_ns, self._measured()

    def _state(self) -> JointTrajectoryControllerState:
        measured = self._measured()
        state = JointTrajectoryControllerState(joint_names=list(ARM_JOINTS), speed_scaling_factor=1.0)
        state.header.stamp = stamp_from_nanoseconds(self._now_ns)
        state.reference = JointTrajectoryPoint(positions=self._reference.tolist())
        state.feedback = JointTrajectoryPoint(positions=measured.tolist())
        state.error = JointTrajectoryPoint(positions=(self._reference - measured).tolist())
        state.output = JointTrajectoryPoint(positions=self._reference.tolist())
        return state
