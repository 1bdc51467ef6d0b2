"""The Franka Hand as an arm driver offers it: the action ``gripper/move`` on the hand's process.

The hand takes orders and runs each to its end: a goal that comes meanwhile takes the place of the one before, and is
begun when the fingers are free. Opening is a move, closing a grasp with force (``control.gripper``).
Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from vipa_msgs.action import MoveGripper
from vipa_policy.control.gripper import ARRIVED, HandDecision, HandSettings, Outcome
from vipa_policy.franka.frames import Frame, HandOrder, HandState, Note

# s: an older width of the fingers is not one of now.
STALE = 0.25
# m, fingers this near to a width have reached it: what the hand stops short of by itself.
REACHED = 2.0 * ARRIVED
LOOKING = 0.05  # s between two looks at a goal


class HandServer:
    """Serves the fingers of one hand.

    Args:
        node: to serve on.
        settings: how goals become orders.
        send: hands an order to the hand's process; returns whether that was possible.
    """

    def __init__(self, node: Node, settings: HandSettings, send: Callable[[Frame], bool]) -> None:
        self._node = node
        self._settings = settings
        self._send = send
        self._decision = HandDecision(settings)
        self._goal: ServerGoalHandle | None = None
        self._served: ServerGoalHandle | None = None  # whose order the hand runs
        self._number = 0
        self._lock = threading.Lock()  # the process is heard in a thread of its own
        self._state: HandState | None = None
        self._speed = 0.0
        self._done: Note | None = None
        self._problem = "the hand has not been found yet"
        self._server = ActionServer(
            node,
            MoveGripper,
            "gripper/move",
            execute_callback=lambda goal: MoveGripper.Result(),
            goal_callback=self._judge_goal,
            handle_accepted_callback=self._begin,
            cancel_callback=self._refuse_cancel,
        )
        self._timer = node.create_timer(LOOKING, self._look)

    def hear(self, frame: Frame) -> None:
        """Take what the hand's process says; called in another thread."""
        with self._lock:
            if isinstance(frame, HandState):
                before, self._state = self._state, frame
                if before is not None and frame.stamp > before.stamp:
                    self._speed = (frame.width - before.width) / (frame.stamp - before.stamp)
            elif isinstance(frame, Note) and frame.kind == "done":
                self._done = frame
            elif isinstance(frame, Note) and frame.kind == "hand":
                self._problem = str(frame.values.get("problem", ""))

    def lost(self, reason: str) -> None:
        """Take note that there is no process of the hand."""
        with self._lock:
            self._problem = reason

    @property
    def problem(self) -> str:
        """Why the hand takes no goals, "" where it does."""
        with self._lock:
            return self._problem

    def width(self) -> tuple[float, float] | None:
        """Return the width of the fingers in m and how fast it changes in m/s, None where it was not measured."""
        with self._lock:
            state = self._state
            if state is None or time.monotonic() - state.stamp > STALE:
                return None
            return state.width, self._speed

    def destroy(self) -> None:
        """Stop serving."""
        if self._goal is not None:
            self._end(self._goal.abort)
        self._node.destroy_timer(self._timer)
        self._server.destroy()

    def _judge_goal(self, request: MoveGripper.Goal) -> GoalResponse:
        values = (request.width, request.speed, request.force)
        fits = all(math.isfinite(value) for value in values) and 0.0 <= request.width <= self._settings.largest
        if not (fits and request.speed >= 0.0 and request.force >= 0.0):
            reason = (
                f"expected a width of 0 to {self._settings.largest} m and a speed and force of 0 or more, "
                f"got {request.width} m, {request.speed} m/s, {request.force} N"
            )
        elif self.width() is None:
            reason = self.problem or "the width of the fingers is not known now"
        else:
            return GoalResponse.ACCEPT
        self._node.get_logger().error(f"gripper goal refused: {reason}", throttle_duration_sec=1.0)
        return GoalResponse.REJECT

    def _refuse_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        self._node.get_logger().warning("a goal of the Franka Hand runs to its end; send another one instead")
        return CancelResponse.REJECT

    def _begin(self, goal: ServerGoalHandle) -> None:
        if self._goal is not None:
            self._end(self._goal.abort)
        self._goal = goal
        self._decision.want(goal.request.width)
        self._look()

    def _look(self) -> None:
        measured = self.width()
        self._decision.measure(None if measured is None else measured[0])
        with self._lock:
            done, self._done = self._done, None
        if done is not None and done.values.get("number") == self._number:
            self._finished(done)
        elif self._decision.outstanding and self.problem:
            self._decision.ended(Outcome.LOST, time.monotonic())
            if self._goal is not None:
                self._end(self._goal.abort)
        goal = self._goal
        if goal is None or self._decision.outstanding:
            return
        order = self._decision.next(time.monotonic())
        if order is not None:
            self._number += 1
            self._served = goal
            force = goal.request.force if order.force > 0.0 and goal.request.force > 0.0 else order.force
            speed = goal.request.speed or order.speed
            values = dataclasses.replace(order, speed=speed, force=force)
            self._send(HandOrder(self._number, order.grasps, *dataclasses.astuple(values)))
        elif measured is not None:
            self._end(goal.succeed)  # there already, or held

    def _finished(self, done: Note) -> None:
        problem = str(done.values.get("problem", ""))
        if problem:
            self._node.get_logger().warning(f"the hand says: {problem}")
        outcome = Outcome.REACHED if done.values.get("done") else Outcome.MISSED
        self._decision.ended(Outcome.LOST if problem else outcome, time.monotonic())
        if self._goal is not None and self._goal is self._served:
            self._end(self._goal.abort if problem else self._goal.succeed)

    def _end(self, transition: Callable[[], None]) -> None:
        """Hand the result to the executor; the goal was left unexecuted until now so that nothing waits for it."""
        goal, self._goal = self._goal, None
        assert goal is not None
        measured = self.width()
        width = math.nan if measured is None else measured[0]
        reached = abs(width - goal.request.width) <= REACHED
        result = MoveGripper.Result(reached=reached, stalled=not reached, width=width)

        def execute(_: ServerGoalHandle) -> MoveGripper.Result:
            transition()
            return result

        goal.execute(execute)
