"""The recorder: writes what the graph says between start_episode and end_episode as one episode.

Messages are taken serialised and written unchanged, so a recording costs neither decoding nor precision. What a kill
leaves is completed when it is next read. Manual: docs/recording.md. Guarded by tests/graph/test_recorder_node.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.serialization import deserialize_message

from vipa_msgs.srv import EndEpisode, StartEpisode
from vipa_policy.contract import ActionContract
from vipa_policy.episode.session import MEGABYTE, RecordingSession, SessionConfig
from vipa_policy.errors import ContractMismatch, VipaError
from vipa_policy.nodes import recorder_topics
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import FREE, Declaration, real, values_of, whole
from vipa_policy.nodes.recorder_facts import EpisodeFacts
from vipa_policy.nodes.recorder_topics import RecordedTopic

CHECK_PERIOD = 0.5  # s of wall time between two looks at the disk

DECLARATIONS: tuple[Declaration, ...] = (
    ("directory", "data/episodes", "folder in which episode folders are made", FREE),
    ("camera_names", ["scene"], "views to record, by the contract's names for them", FREE),
    ("camera_topics", ["camera/camera"], "topic prefixes, one for each of camera_names", FREE),
    ("base_frame", "fr3_link0", "TF frame the arm stands in", FREE),
    ("tip_frame", "fr3_hand_tcp", "TF frame that is demonstrated", FREE),
    ("contract", "", "JSON file of the action contract to keep with episodes; empty: from policy/chunk", FREE),
    ("flush_period", 0.25, "s between two writes to the disk: what a kill may lose", real(0.05, 0.75)),
    ("minimum_free_mb", 500, "MB the disk must have left to begin an episode", whole(0, 1_000_000)),
)


class RecorderNode(ManagedNode):
    """Records episodes while active."""

    def __init__(self, **options: object) -> None:
        super().__init__("recorder", DECLARATIONS, **options)
        self._session: RecordingSession | None = None
        self._topics: list[RecordedTopic] = []
        self._inputs: list[Any] = []
        self._latched: dict[str, list[bytes]] = {}
        self._contract: ActionContract | None = None
        self._facts = EpisodeFacts(None)
        self._active = False
        self._services_made = [
            self.create_service(StartEpisode, "recorder/start_episode", self._start),
            self.create_service(EndEpisode, "recorder/end_episode", self._end),
        ]
        # Not the ROS clock: a simulator that stands still must not hide a full disk.
        self._check_timer = self.create_timer(CHECK_PERIOD, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters; fails where they, or a message package, are not as expected."""
        values = values_of(self, self.declarations)
        try:
            cameras = recorder_topics.camera_namespaces(values["camera_names"] or (), values["camera_topics"] or ())
            self._topics = [
                *(topic for view, space in cameras.items() for topic in recorder_topics.camera_topics(view, space)),
                *recorder_topics.COMMON,
            ]
            for topic in self._topics:
                recorder_topics.describe(self, topic)
            self._contract = _read_contract(values["contract"])
            self._session = RecordingSession(
                SessionConfig(
                    directory=Path(values["directory"]).expanduser(),
                    cameras=recorder_topics.resolved_cameras(self, cameras),
                    topics={topic.role: self._resolved(topic) for topic in recorder_topics.COMMON},
                    base_frame=values["base_frame"],
                    tip_frame=values["tip_frame"],
                    required=[self._resolved(topic) for topic in self._topics if topic.required],
                    flush_period=values["flush_period"],
                    minimum_free=values["minimum_free_mb"] * MEGABYTE,
                )
            )
        except VipaError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
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

    def begin_finish(self, reason: str) -> None:
        """End a running episode as interrupted before the node ends."""
        self.interrupt(reason)

    def diagnostic_values(self) -> Mapping[str, str]:
        """Where the running episode lies and how many messages of each topic it has."""
        writer = self._session.writer if self._session is not None else None
        if writer is None:
            return {}
        return {"path": str(writer.path)} | {name: str(count) for name, count in sorted(writer.counts.items())}

    def interrupt(self, reason: str) -> None:
        """End a running episode that nobody ended."""
        ending = self._session.interrupt(reason, self._stamp()) if self._session is not None else None
        if ending is not None:
            self.get_logger().warning(f"episode interrupted ({reason}): {ending.message}")

    def _take(self, topic: RecordedTopic, data: bytes) -> None:
        name = self._resolved(topic)
        if topic.qos.durability == recorder_topics.LATCHED_QOS.durability:
            self._remember(name, data)
        if self._session is not None and self._session.recording:
            self._record(self._session, topic, name, data)

    def _record(self, session: RecordingSession, topic: RecordedTopic, name: str, data: bytes) -> None:
        try:
            session.take(name, partial(recorder_topics.describe, self, topic), self._stamp(), data)
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
            path = self._session.start(request.instruction, request.demonstrator, self._stamp())
        except VipaError as error:
            response.message = str(error)
            return response
        self._facts = EpisodeFacts(self._contract)
        self._session.note(**self._facts.fields())
        for topic in self._topics:
            for data in self._latched.get(self._resolved(topic), []):
                self._record(self._session, topic, self._resolved(topic), data)
        silent = [
            self._resolved(topic) for topic in self._topics if topic.required and not self._publisher_count(topic)
        ]
        response.success, response.path = True, str(path.absolute())
        response.message = f"recording; nobody publishes {', '.join(silent)} yet" if silent else "recording"
        self.get_logger().info(f"{path}: {response.message}: {request.instruction!r}")
        return response

    def _end(self, request: EndEpisode.Request, response: EndEpisode.Response) -> EndEpisode.Response:
        if self._session is None:
            response.message = "no episode is being recorded; the recorder is not active"
            return response
        try:
            ending = self._session.end(request.outcome, request.note, self._stamp())
        except VipaError as error:
            response.message = str(error)
            return response
        response.success, response.message = ending.usable, ending.message
        response.path = str(ending.path.absolute())
        if ending.usable:
            self.get_logger().info(f"episode ended: {ending.message}")
        else:
            self.get_logger().warning(f"episode ended: {ending.message}")
        return response

    def _check(self) -> None:
        """Look at the disk and tell the diagnostics."""
        trouble = self._session.trouble() if self._session is not None else ""
        if self._session is not None and self._session.must_end():
            self.interrupt(self._session.must_end())
        if trouble:
            message = f"nothing reaches the disk, keeping messages in memory: {trouble}"
            self.get_logger().error(message, throttle_duration_sec=2.0)
            self.diagnostics.report(DiagnosticStatus.ERROR, message)
        elif self._active:
            recording = self._session is not None and self._session.recording
            self.diagnostics.report(DiagnosticStatus.OK, "recording" if recording else "ready")
        elif self._session is not None:
            self.diagnostics.report(DiagnosticStatus.WARN, "inactive: nothing can be recorded")

    def _publisher_count(self, topic: RecordedTopic) -> int:
        return int(self.count_publishers(self._resolved(topic)))

    def _resolved(self, topic: RecordedTopic) -> str:
        return str(self.resolve_topic_name(topic.name))

    def _stamp(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def _read_contract(place: str) -> ActionContract | None:
    if not place:
        return None
    try:
        return ActionContract.from_json(Path(place).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ContractMismatch(f"the parameter contract names {place}, which cannot be read: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the recorder until it is asked to end; returns the exit status."""
    return run(RecorderNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
