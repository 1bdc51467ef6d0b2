"""What the graph does while faults are injected, in simulated time that no fault touches."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from vipa_msgs.msg import CellState, ExecutionState
from vipa_policy.control.executor import State
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import matrix_from_pose, seconds_of
from vipa_policy.nodes.reception import stamp_of
from vipa_sim.faults.judge import Moment, Recording
from vipa_sim.faults.stream import Stream
from vipa_sim.nodes.faults.relays import TARGET, Relays

RECENT = 150  # setpoints that tell whether the arm moves
DEEP_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)


class Monitor:
    """Records targets, the arm's state and the cell's truth.

    Args:
        node: to listen with.
        relays: that targets pass, and that know the true time.
        period: s between two setpoints.
    """

    def __init__(self, node: Node, relays: Relays, period: float) -> None:
        self._relays = relays
        self._period = period
        self.clear()
        relays[TARGET].watch = self._take_target
        self._subscriptions = [
            node.create_subscription(ExecutionState, "arm/execution_state", self._take_state, DEEP_QOS),
            node.create_subscription(CellState, "cell/state", self._take_truth, DEEP_QOS),
        ]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.moments: list[Moment] = []
        self.foreign = 0
        """Targets without a stamp: those of another publisher."""
        self._setpoints: list[tuple[float, Array]] = []
        self._truth: list[tuple[float, Array]] = []
        self._offset = self._phase = 0.0

    @property
    def state(self) -> int:
        """The arm's last state."""
        return self.moments[-1].state if self.moments else int(State.IDLE)

    def moving_for(self, slowest: float) -> float:
        """Return for how many s the command has been faster than ``slowest`` m/s, with the arm following chunks."""
        recent = _stream(self._setpoints[-RECENT:])
        if len(recent.stamps) < 2:
            return 0.0
        stamps, speeds = recent.speeds()
        begins = [float(recent.stamps[0]), *stamps[speeds < slowest]]
        begins += [moment.stamp for moment in self.moments if moment.state != State.FOLLOWING]
        return max(float(stamps[-1]) - max(begins), 0.0)

    def moves_after(self, stamp: float, speed: float) -> bool:
        """Whether the arm has followed chunks after a stamp (s), and its command was faster than ``speed`` m/s then."""
        following = [m.stamp for m in self.moments if m.stamp >= stamp and m.state == State.FOLLOWING]
        if not following:
            return False
        recent = _stream(self._setpoints[-RECENT:]).between(following[0], np.inf)
        return speed <= 0.0 or (len(recent.stamps) > 1 and bool((recent.speeds()[1] > speed).any()))

    def recording(self, struck: float, lifted: float) -> Recording:
        """Return what was recorded, with the stamps of the fault in s."""
        return Recording(
            setpoints=_stream(self._setpoints),
            truth=_stream(self._truth),
            moments=list(self.moments),
            struck=struck,
            lifted=lifted,
            ended=self._relays.now,
            period=self._period,
        )

    def _take_target(self, serialised: bytes) -> None:
        stamp = stamp_of(serialised)
        if stamp == 0.0:
            self.foreign += 1
            return
        true, offset = self._relays.true_stamp(stamp)
        before = self._setpoints[-1][0] if self._setpoints else -np.inf
        if offset != self._offset:
            # Where the clock jumped, a setpoint follows the one before after a period at least, and the rest follow it.
            self._offset, self._phase = offset, max(before + self._period - true, 0.0)
        true += self._phase
        if true > before:
            self._setpoints.append((true, matrix_from_pose(deserialize_message(serialised, PoseStamped).pose)))

    def _take_state(self, message: ExecutionState) -> None:
        true, _ = self._relays.true_stamp(seconds_of(message.header.stamp))
        self.moments.append(Moment(true, message.state, message.stopped, message.hold_reason))

    def _take_truth(self, message: CellState) -> None:
        self._truth.append((seconds_of(message.header.stamp), matrix_from_pose(message.tip)))


def _stream(samples: list[tuple[float, Array]]) -> Stream:
    if not samples:
        return Stream()
    return Stream(np.array([stamp for stamp, _ in samples]), np.array([pose for _, pose in samples]))
