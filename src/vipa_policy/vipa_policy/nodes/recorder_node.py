"""The recorder: writes what the graph says between start_episode and end_episode as one episode.

Messages are taken serialised and written unchanged, so a recording costs neither decoding nor precision. What a kill
leaves is completed when it is next read. Manual: docs/recording.md. Guarded by tests/graph/test_recorder_node.py.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from vipa_msgs.srv import EndEpisode, StartEpisode
from vipa_policy.contract import ActionContract
from vipa_policy.episode.session import MEGABYTE, Ending, RecordingSession, SessionConfig
from vipa_policy.errors import ContractMismatch, VipaError
from vipa_policy.nodes import recorder_topics
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.nodes.recorder_facts import EpisodeFacts
from vipa_policy.nodes.recorder_topics import RecordedTopic

# How soon a signal is noticed while no message comes, and how often the disk's state is looked at.
SERVING = 0.2
CHECK_PERIOD = 0.5


class RecorderNode(LifecycleNode):
    """Records episodes while active."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._declare_parameters()
        self._session: RecordingSession | None = None
        self._topics: list[RecordedTopic] = []
        self._inputs: list[Any] = []
        self._latched: dict[str, list[bytes]] = {}
        self._facts = EpisodeFacts(None)
        self._active = False
        self._last_trouble = ""
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", QoSProfile(depth=10))
        self._start_service = self.create_service(StartEpisode, "recorder/start_episode", self._start)
        self._end_service = self.create_service(EndEpisode, "recorder/end_episode", self._end)
        self._timer = self.create_timer(CHECK_PERIOD, self._check)

    def _declare_parameters(self) -> None:
        def declare(name: str, default: Any, description: str, **limits: Any) -> None:
            self.declare_parameter(name, default, ParameterDescriptor(description=description, **limits))

        declare("autostart", True, "configure and activate at start")
        declare("directory", "data/episodes", "folder in which episode folders are made", read_only=True)
        declare(
            "cameras",
            ["scene:camera/camera"],
            "VIEW:NAMESPACE of each camera; the view is the contract's name for it",
            read_only=True,
        )
        declare("base_frame", "fr3_link0", "TF frame the arm stands in", read_only=True)
        declare("tip_frame", "fr3_hand_tcp", "TF frame that is demonstrated", read_only=True)
        declare(
            "contract",
            "",
            "JSON file of the action contract to keep with episodes; empty takes it from policy/chunk",
            read_only=True,
        )
        declare(
            "flush_period",
            0.25,
            "s between two writes to the disk: what a kill may lose",
            floating_point_range=[FloatingPointRange(from_value=0.05, to_value=0.75, step=0.0)],
            read_only=True,
        )
        declare(
            "minimum_free_mb",
            500,
            "MB the disk must have left to begin an episode",
            integer_range=[IntegerRange(from_value=0, to_value=1_000_000, step=1)],
            read_only=True,
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters; fails where they, or a message package, are not as expected."""
        try:
            cameras = recorder_topics.parse_cameras(list(self.get_parameter("cameras").value or []))
            self._topics = [
                *(topic for view, space in cameras.items() for topic in recorder_topics.camera_topics(view, space)),
                *recorder_topics.COMMON,
            ]
            for topic in self._topics:
                recorder_topics.describe(self, topic)
            self._contract = self._read_contract()
            self._session = RecordingSession(
                SessionConfig(
                    directory=Path(self.get_parameter("directory").value).expanduser(),
                    cameras=recorder_topics.resolved_cameras(self, cameras),
                    topics={topic.role: self._resolved(topic) for topic in recorder_topics.COMMON},
                    base_frame=self.get_parameter("base_frame").value,
                    tip_frame=self.get_parameter("tip_frame").value,
                    required=[self._resolved(topic) for topic in self._topics if topic.required],
                    flush_period=self.get_parameter("flush_period").value,
                    minimum_free=self.get_parameter("minimum_free_mb").value * MEGABYTE,
                )
            )
        except VipaError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to everything, so that an episode begins with its first message."""
        self._inputs = [
            self.create_subscription(topic.message_class, topic.name, partial(self._take, topic), topic.qos, raw=True)
            for topic in self._topics
        ]
        self._active = True
        self.get_logger().info(f"ready to record {len(self._topics)} topics to {self.get_parameter('directory').value}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End a running episode as interrupted and let the topics go."""
        self.interrupt("the recorder was deactivated")
        self._active = False
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        self._latched = {}
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the parameters."""
        self._session = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End a running episode as interrupted."""
        self.interrupt("the recorder was shut down")
        self._active = False
        return TransitionCallbackReturn.SUCCESS

    def interrupt(self, reason: str) -> None:
        """End a running episode that nobody ended."""
        if self._session is None:
            return
        ending = self._session.interrupt(reason, self._now())
        if ending is not None:
            self.get_logger().warning(f"episode interrupted because {reason}: {ending.message}")

    def _take(self, topic: RecordedTopic, data: bytes) -> None:
        name = self._resolved(topic)
        if topic.qos.durability == recorder_topics.LATCHED_QOS.durability:
            self._remember(name, data)
        if self._session is not None and self._session.recording:
            self._record(self._session, topic, name, data)

    def _record(self, session: RecordingSession, topic: RecordedTopic, name: str, data: bytes) -> None:
        try:
            session.take(name, partial(recorder_topics.describe, self, topic), self._now(), data)
            if self._facts.wants(topic.role):
                self._facts.learn(topic.role, deserialize_message(data, topic.message_class))
                session.note(**self._facts.fields())
        except VipaError as error:
            self.get_logger().error(f"{name}: {error}", throttle_duration_sec=1.0)

    def _remember(self, name: str, data: bytes) -> None:
        """Keep what was latched before an episode begins; a publisher says it once only."""
        kept = self._latched.setdefault(name, [])
        if data in kept:
            kept.remove(data)
        kept.append(data)
        # A camera that is moved now and then must not make every episode begin with all of its former places.
        del kept[: -recorder_topics.LATCHED_QOS.depth]

    def _start(self, request: StartEpisode.Request, response: StartEpisode.Response) -> StartEpisode.Response:
        if self._session is None or not self._active:
            response.message = "the recorder is not active; activate it: ros2 lifecycle set /recorder activate"
            return response
        try:
            path = self._session.start(request.instruction, request.demonstrator, self._now())
        except VipaError as error:
            response.message = str(error)
            return response
        self._facts = EpisodeFacts(self._contract)
        self._session.note(**self._facts.fields())
        for topic in self._topics:
            for data in self._latched.get(self._resolved(topic), []):
                self._record(self._session, topic, self._resolved(topic), data)
        silent = [self._resolved(topic) for topic in self._topics if topic.required and not self._publisher_count(topic)]
        response.success, response.path = True, str(path.absolute())
        response.message = f"recording; nobody publishes {', '.join(silent)} yet" if silent else "recording"
        self.get_logger().info(f"{path}: {response.message}: {request.instruction!r}")
        return response

    def _end(self, request: EndEpisode.Request, response: EndEpisode.Response) -> EndEpisode.Response:
        if self._session is None:
            response.message = "no episode is being recorded; the recorder is not active"
            return response
        try:
            ending = self._session.end(request.outcome, request.note, self._now())
        except VipaError as error:
            response.message = str(error)
            return response
        return self._answer(ending, response)

    def _answer(self, ending: Ending, response: EndEpisode.Response) -> EndEpisode.Response:
        response.success, response.message = ending.usable, ending.message
        response.path = str(ending.path.absolute())
        tell = self.get_logger().info if ending.usable else self.get_logger().warning
        tell(f"episode ended: {ending.message}")
        return response

    def _check(self) -> None:
        """Look at the disk and tell /diagnostics."""
        session = self._session
        trouble = session.trouble() if session is not None else ""
        if trouble and trouble != self._last_trouble:
            self.get_logger().error(f"nothing reaches the disk: {trouble}; keeping messages in memory")
        self._last_trouble = trouble
        if session is not None and session.must_end():
            self.interrupt(session.must_end())
        self._diagnostics.publish(self._diagnosis(trouble))

    def _diagnosis(self, trouble: str) -> DiagnosticArray:
        writer = self._session.writer if self._session is not None else None
        status = DiagnosticStatus(name="recorder: episodes", hardware_id="", level=DiagnosticStatus.OK)
        status.message = "recording" if writer is not None else "ready" if self._active else "not active"
        if trouble:
            status.level, status.message = DiagnosticStatus.ERROR, f"nothing reaches the disk: {trouble}"
        if writer is not None:
            status.values = [KeyValue(key="path", value=str(writer.path))]
            status.values += [KeyValue(key=name, value=str(count)) for name, count in sorted(writer.counts.items())]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        return message

    def _read_contract(self) -> ActionContract | None:
        place = self.get_parameter("contract").value
        if not place:
            return None
        try:
            return ActionContract.from_json(Path(place).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ContractMismatch(f"the parameter contract names {place}, which cannot be read: {error}") from error

    def _publisher_count(self, topic: RecordedTopic) -> int:
        return int(self.count_publishers(self._resolved(topic)))

    def _resolved(self, topic: RecordedTopic) -> str:
        return str(self.resolve_topic_name(topic.name))

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def main(arguments: list[str] | None = None) -> int:
    """Run the recorder until it is asked to end; returns the exit status."""
    lifetime = Lifetime()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = RecorderNode()
    executor = EventsExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            for transition in (node.trigger_configure, node.trigger_activate):
                if transition() != TransitionCallbackReturn.SUCCESS:
                    return 1
        while not lifetime.ended:
            executor.spin_once(timeout_sec=SERVING)
        node.get_logger().info(f"stopping: {lifetime.reason}")
    finally:
        # Whatever ends the loop, the episode is closed.
        node.interrupt(lifetime.reason or "the recorder failed")
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
