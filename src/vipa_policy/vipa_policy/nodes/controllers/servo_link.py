"""What both kinds for MoveIt Servo need of it: the type of commands confirmed, its status watched, a pause at rest.

Servo is told by ``~/switch_command_type`` what to listen to, and nothing is streamed before it agreed. Its status
outlives the command it is about, so a halt counts only where it was told while commands were sent, and for a while.
Guarded by tests/graph/test_controllers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moveit_msgs.msg import ServoStatus
from moveit_msgs.srv import ServoCommandType
from rclpy.client import Client
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_srvs.srv import SetBool

from vipa_policy.nodes.controllers.topics import sole_stream_problem

# Servo offers both reliably, with a history of its middleware's own; best effort hears either.
COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
STATUS_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LOOK_PERIOD = 0.1  # s, between two looks at whether Servo still does what it was told
LONGEST_CALL = 2.0  # s; a service that has not answered by then is asked again
# s after a command in which a status is taken to be about it: Servo drops commands that are older than 0.1 s.
COMMAND_LASTS = 0.2
PAUSE_AFTER = 0.3  # s of rest before Servo is paused

HALTS: Mapping[int, str] = {
    ServoStatus.INVALID: "takes the commands for invalid: are its planning frame and the base frame the same?",
    ServoStatus.HALT_FOR_SINGULARITY: "halted close to a singularity: lead the tip another way",
    ServoStatus.HALT_FOR_COLLISION: "halted close to a collision: see its planning scene",
    ServoStatus.JOINT_BOUND: "halted at a joint's bound: lead the tip another way",
}
SLOWS: Mapping[int, str] = {
    ServoStatus.DECELERATE_FOR_APPROACHING_SINGULARITY: "slower: nearing a singularity",
    ServoStatus.DECELERATE_FOR_LEAVING_SINGULARITY: "slower: leaving a singularity",
    ServoStatus.DECELERATE_FOR_COLLISION: "slower: near a collision",
}


class ServoLink:
    """The services and the status of one MoveIt Servo.

    Args:
        node: of the arm.
        values: of its parameters.
        topic: below Servo's name, that commands are sent on.
        command_type: of ServoCommandType.Request, that those are.
    """

    def __init__(self, node: Node, values: Mapping[str, Any], topic: str, command_type: int) -> None:
        self._node = node
        self._name: str = values["servo_node"]
        self.topic = f"{self._name}/{topic}"
        self._type = command_type
        self._timeout: float = values["servo_status_timeout"]
        self._halt_pause: float = values["servo_halt_pause"]
        self._pauses: bool = values["servo_pause"]
        self._confirmed = self._paused = self._wants_pause = False
        self._streamed = False
        self._rest_began: float | None = None
        self._paused_at = float("-inf")
        self._refusal = ""
        self._heard = self._sent = self._halted = float("-inf")
        self._begun: float | None = None
        self._status = ServoStatus()
        self._halt = ""
        self._call: tuple[Client, Future, float] | None = None
        self._switch = node.create_client(ServoCommandType, f"{self._name}/switch_command_type")
        self._pause = node.create_client(SetBool, f"{self._name}/pause_servo")
        self._subscription = node.create_subscription(ServoStatus, f"{self._name}/status", self._on_status, STATUS_QOS)
        self._timer = node.create_timer(LOOK_PERIOD, self._look)

    def problem(self, now: float) -> str:
        """Say at ``now`` (s) why Servo takes no commands, "" where it does, or does as soon as there are some."""
        return (
            sole_stream_problem(self._node, self.topic)
            or self._silence(now)
            or self._refusal
            or ("" if self._confirmed else f"MoveIt Servo ({self._name}) has not yet agreed to take these commands")
            or (self._halt if now - self._halted <= self._halt_pause else "")
        )

    def sending(self, now: float) -> bool:
        """Take note that a command is due at ``now`` (s); returns whether Servo would listen to it."""
        self._streamed, self._rest_began, self._wants_pause = True, None, False
        if self._paused:
            self._ask()
        listens = self._confirmed and not self._paused and self._tells(now)
        if listens:
            self._sent = now
        return listens

    def rest(self) -> None:
        """Pause Servo until the next command, where it is to be, once the rest has lasted a little."""
        if self._streamed:
            self._streamed, self._rest_began = False, self._now

    def values(self) -> Mapping[str, str]:
        """Pairs for the diagnostics."""
        told = SLOWS.get(self._status.code, HALTS.get(self._status.code, "no warning"))
        return {"MoveIt Servo": "paused" if self._paused else f"{told} ({self._status.message})"}

    def destroy(self) -> None:
        """Let go of services and status; Servo is left as it is, and stands as soon as its command is stale."""
        self._drop_call()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_client(self._switch)
        self._node.destroy_client(self._pause)

    @property
    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _tells(self, now: float) -> bool:
        """Whether a status came of late."""
        return now - self._heard <= self._timeout

    def _silence(self, now: float) -> str:
        """Say that no status comes. A paused Servo tells none: then its services must be there."""
        if self._paused:
            if self._pause.service_is_ready():
                return ""
        elif now - max(self._heard, self._begun or now) <= self._timeout:
            return "" if self._heard > float("-inf") else f"no status of MoveIt Servo ({self._name}) yet"
        return (
            f"no status of MoveIt Servo on {self._node.resolve_topic_name(self._name + '/status')} for more than "
            f"{self._timeout:g} s: is it running, and not paused?"
        )

    def _on_status(self, status: ServoStatus) -> None:
        now = self._now
        if self._paused:
            if now - self._paused_at <= COMMAND_LASTS:
                return  # told before it was paused
            # Somebody else let it go on, or started it anew: it is theirs until the next command, and may have
            # forgotten what it was told.
            self._paused = self._wants_pause = self._confirmed = False
        self._heard, self._status = now, status
        if status.code in HALTS and now - self._sent <= COMMAND_LASTS:
            self._halted = now
            self._halt = f"MoveIt Servo {HALTS[status.code]} ({status.message or 'no message'})"

    def _look(self) -> None:
        """See that Servo is told what to listen to, again where it was started anew."""
        now = self._now
        if self._begun is None:
            self._begun = now
        if self._call is not None and now - self._call[2] > LONGEST_CALL:
            self._drop_call()
        if not self._paused and not self._tells(now):
            self._confirmed = False
        if self._pauses and self._rest_began is not None and now - self._rest_began > PAUSE_AFTER:
            self._rest_began, self._wants_pause = None, True
        self._ask()

    def _ask(self) -> None:
        """Call the service that is due, if any, one at a time."""
        if self._call is not None:
            return
        now = self._now
        # One that never said anything may have been left paused by an arm node that was killed.
        waited = 0.0 if self._begun is None else now - self._begun
        left_paused = self._heard == float("-inf") and waited > self._timeout
        if not self._confirmed and self._tells(now):
            if self._switch.service_is_ready():
                self._make_call(self._switch, ServoCommandType.Request(command_type=self._type), self._switched)
        elif (left_paused or self._paused != self._wants_pause) and self._pause.service_is_ready():
            wanted = self._wants_pause
            self._make_call(self._pause, SetBool.Request(data=wanted), lambda future: self._on_paused(future, wanted))

    def _make_call(self, client: Client, request: Any, answered: Any) -> None:
        future = client.call_async(request)
        self._call = (client, future, self._now)
        future.add_done_callback(answered)

    def _drop_call(self) -> None:
        if self._call is not None:
            client, future, _ = self._call
            client.remove_pending_request(future)
            self._call = None

    def _switched(self, future: Future) -> None:
        self._call = None
        response = future.result()
        self._confirmed = bool(response and response.success)
        self._refusal = (
            ""
            if self._confirmed
            else f"MoveIt Servo ({self._name}) refused commands of type {self._type} of moveit_msgs/ServoCommandType"
        )

    def _on_paused(self, future: Future, wanted: bool) -> None:
        self._call = None
        response = future.result()
        if response is None or not response.success:
            self._node.get_logger().warning(
                f"MoveIt Servo ({self._name}) did not {'pause' if wanted else 'go on'}: "
                f"{response.message if response else 'no answer'}",
                throttle_duration_sec=1.0,
            )
            return
        self._paused, self._paused_at = wanted, self._now
        if not wanted and self._heard > float("-inf"):
            self._heard = self._now  # its first status takes a moment
