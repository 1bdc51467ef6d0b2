"""Judged trials over ROS: ``cell/start_trial`` begins one, ``cell/trial`` tells how it goes.

Guarded by tests/graph/test_cell_node.py.
"""

from __future__ import annotations

from collections.abc import Callable

from builtin_interfaces.msg import Time
from rclpy.node import Node
from std_msgs.msg import Header

from vipa_msgs.msg import TrialStatus
from vipa_msgs.srv import StartTrial
from vipa_policy.geometry import Array
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_sim import judge
from vipa_sim.scene import CellSnapshot
from vipa_sim.smoothness import smoothness_of

# s of simulated time: judged often enough that "held for 0.5 s" is exact within a hundredth, told at a reader's pace.
JUDGE_PERIOD = 0.01
REPORT_PERIOD = 0.1
# Simulated stamps are sums of ticks.
SLACK = 1e-6


class TrialServer:
    """Runs one judge at a time from within the cell's loop."""

    def __init__(self, node: Node, snapshot: Callable[[], CellSnapshot], tip: Callable[[], Array], tick: float) -> None:
        """Serve on ``node``; ``snapshot`` tells the truth, ``tip`` the tool centre (3,), read every ``tick`` s."""
        self._snapshot = snapshot
        self._tip = tip
        self._tick = tick
        self._path: list[Array] = []
        self._judge: judge.Judge | None = None
        self._identifier = 0
        self._next_judged = 0.0
        self._next_told = 0.0
        self._told: judge.TrialStatus | None = None
        self._publisher = node.create_publisher(TrialStatus, "cell/trial", LATCHED_QOS)
        self._service = node.create_service(StartTrial, "cell/start_trial", self._start)

    def update(self, now: float, stamp: Time) -> None:
        """Judge at simulated time ``now`` (s) and tell what has changed."""
        if self._judge is None:
            return
        self._path.append(self._tip())
        if now < self._next_judged - SLACK:
            return
        self._next_judged = now + JUDGE_PERIOD
        status = self._judge.update(self._snapshot())
        changed = self._told is None or (status.finished, status.nearest) != (self._told.finished, self._told.nearest)
        if changed or now >= self._next_told - SLACK:
            self._next_told = now + REPORT_PERIOD
            self._tell(status, stamp, status.finished)
        if status.finished:
            self._judge = None

    def abort(self, stamp: Time) -> None:
        """End a running trial without success, because the cell is being reset."""
        running, self._judge = self._judge, None
        if running is not None and running.status is not None:
            self._tell(running.status, stamp, finished=True)

    def _start(self, request: StartTrial.Request, response: StartTrial.Response) -> StartTrial.Response:
        try:
            fresh = judge.Judge(request.task, request.target, request.destination or None, request.time_limit)
            fresh.update(self._snapshot())
        except (ValueError, KeyError) as error:
            response.message = str(error.args[0])
            return response
        self._identifier += 1
        self._judge, self._told, self._next_judged, self._path = fresh, None, 0.0, []
        response.success = True
        response.id = self._identifier
        response.message = f"judging {request.task} of {request.target} for {request.time_limit:g} s"
        return response

    def _tell(self, status: judge.TrialStatus, stamp: Time, finished: bool) -> None:
        self._told = status
        smooth = smoothness_of([], [], JUDGE_PERIOD, self._path if finished else [], self._tick)
        self._publisher.publish(
            TrialStatus(
                header=Header(stamp=stamp, frame_id="world"),
                id=self._identifier,
                task=status.task,
                target=status.target,
                destination=status.destination,
                finished=finished,
                succeeded=status.succeeded,
                elapsed=float(status.elapsed),
                error=float(status.error),
                distance=float(status.distance),
                nearest=status.nearest,
                tip_jerk_rms=smooth.tip_jerk_rms or 0.0,
                spectral_arc_length=smooth.spectral_arc_length or 0.0,
            )
        )
