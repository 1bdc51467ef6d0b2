"""The recorder node among publishers it does not know: what it writes, what it answers, how it ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from support.processes import ManagedProcess, ProcessStarter
from support.recorded_messages import serialise
from support.synthetic_episode import CAMERA, SECOND, Scene, recording
from tf2_msgs.msg import TFMessage

from vipa_msgs.msg import ActionChunk, CellState, ExecutionState
from vipa_msgs.srv import EndEpisode, StartEpisode
from vipa_policy.episode import EpisodeInfo, EpisodeReader, Outcome, RecordedMessage
from vipa_policy.nodes.conversions import contract_to_message
from vipa_policy.presets import franka_contract
from vipa_training.episodes import Demonstration

pytestmark = pytest.mark.graph

RELIABLE = QoSProfile(depth=100)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS: dict[str, tuple[Any, QoSProfile]] = {
    CAMERA.color: (Image, RELIABLE),
    CAMERA.depth: (Image, BEST_EFFORT),
    CAMERA.camera_info: (CameraInfo, RELIABLE),
    "/joint_states": (JointState, RELIABLE),
    "/tf": (TFMessage, RELIABLE),
    "/tf_static": (TFMessage, LATCHED),
    "/instruction": (String, RELIABLE),
    "/cell/state": (CellState, RELIABLE),
    "/arm/execution_state": (ExecutionState, RELIABLE),
    "/policy/chunk": (ActionChunk, RELIABLE),
}
REMAPPED = {
    "/camera/camera/color/image_raw": CAMERA.color,
    "/camera/camera/aligned_depth_to_color/image_raw": CAMERA.depth,
    "/camera/camera/color/camera_info": CAMERA.camera_info,
}


class Graph:
    """Everything but the recorder: publishers of all topics, clients of its services."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("everybody_else", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.publishers = {name: self.node.create_publisher(kind, name, qos) for name, (kind, qos) in TOPICS.items()}

    def wait(self, condition: Callable[[], bool], what: str, patience: float = 30.0) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def wait_until_heard(self) -> None:
        self.wait(
            lambda: all(publisher.get_subscription_count() == 1 for publisher in self.publishers.values()),
            "the recorder's subscriptions",
        )

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(kind.Request(**fields))
        self.wait(future.done, f"an answer of {name}")
        self.node.destroy_client(client)
        return future.result()

    def start(self, instruction: str = "reach the red block") -> StartEpisode.Response:
        return self.call(StartEpisode, "recorder/start_episode", instruction=instruction, demonstrator="tester")

    def end(self, outcome: str = "success", note: str = "") -> EndEpisode.Response:
        return self.call(EndEpisode, "recorder/end_episode", outcome=outcome, note=note)

    def play(self, scene: Scene) -> list[tuple[str, Any]]:
        """Publish a scene at the pace it happened; returns what was published."""
        published = []
        for arrival, topic, item in recording(scene):
            message = deserialize_message(serialise(item), TOPICS[topic][0])
            delay = (arrival - time.time_ns()) / SECOND
            if delay > 0:
                time.sleep(delay)
            self.publishers[topic].publish(message)
            published.append((topic, message))
        return published

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope="module")
def graph(ros_domain_id: int) -> Iterator[Graph]:
    everybody = Graph(ros_domain_id)
    yield everybody
    everybody.close()


def decode(message: RecordedMessage) -> Any:
    # Not compared as bytes: what the middleware leaves between two fields to align them is arbitrary.
    return deserialize_message(bytes(message.data), TOPICS[message.topic.name][0])


def start_recorder(starter: ProcessStarter, directory: Path) -> ManagedProcess:
    remaps = [word for old, new in REMAPPED.items() for word in ("-r", f"{old}:={new}")]
    parameters = {"directory": str(directory), "base_frame": "base", "tip_frame": "tip", "minimum_free_mb": 1}
    options = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return starter(sys.executable, "-m", "vipa_policy.nodes.recorder_node", "--ros-args", *options, *remaps)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("episodes")


@pytest.fixture(scope="module")
def recorder(module_launch_process: ProcessStarter, graph: Graph, directory: Path) -> ManagedProcess:
    process = start_recorder(module_launch_process, directory)
    process.wait_for_output("ready to record")
    graph.wait_until_heard()
    return process


def test_what_is_published_is_what_is_recorded(graph: Graph, recorder: ManagedProcess) -> None:
    scene = Scene(
        start=time.time_ns() + SECOND // 2, duration=1.0, execution=True, words=[(0.1, "Reach the red block.")]
    )
    answer = graph.start()
    assert answer.success, answer.message
    assert answer.message == "recording"
    chunk = ActionChunk(id=1, contract=contract_to_message(franka_contract()))
    graph.publishers["/policy/chunk"].publish(chunk)
    published = graph.play(scene)
    graph.wait(lambda: Path(answer.path, "episode.json").is_file(), "the episode's folder")
    ended = graph.end(note="well done")
    assert ended.success, ended.message
    assert ended.path == answer.path

    with EpisodeReader(ended.path) as reader:
        info = reader.info
        recorded = [(message.topic.name, decode(message)) for message in reader.messages()]
    for topic in TOPICS:
        expected = [chunk] if topic == "/policy/chunk" else [item for name, item in published if name == topic]
        got = [item for name, item in recorded if name == topic]
        assert got == expected, topic
    assert info.outcome is Outcome.SUCCESS
    assert (info.instruction, info.demonstrator, info.note) == ("reach the red block", "tester", "well done")
    assert info.seed == 7
    assert info.contract == franka_contract()
    assert info.calibration["cameras"]["scene"]["width"] == 160
    assert {item["child"] for item in info.calibration["static_transforms"]} == {"base", "tip"}
    assert info.started_ns < scene.start < info.ended_ns
    assert not info.lost


def test_the_recording_opens_as_a_rosbag2(graph: Graph, recorder: ManagedProcess, directory: Path) -> None:
    (path,) = (place.parent for place in directory.glob("*/episode.json"))
    with AnyReader([path]) as bag:
        topics = {connection.topic: connection for connection in bag.connections}
        assert set(topics) == set(TOPICS)
        hashes = {topic: bag.typestore.hash_rihs01(connection.msgtype) for topic, connection in topics.items()}
        assert {topic: connection.digest for topic, connection in topics.items()} == hashes
        qos = {topic: connection.ext.offered_qos_profiles for topic, connection in topics.items()}
        assert qos["/tf_static"][0].durability.name == "TRANSIENT_LOCAL"
        assert qos[CAMERA.depth][0].reliability.name == "BEST_EFFORT"
        words = [bag.deserialize(data, c.msgtype) for c, _, data in bag.messages([topics["/instruction"]])]
    assert [vars(item)["data"] for item in words] == ["Reach the red block."]


def test_the_recording_becomes_observations(graph: Graph, recorder: ManagedProcess, directory: Path) -> None:
    (path,) = (place.parent for place in directory.glob("*/episode.json"))
    info = EpisodeInfo.load(path)
    info.contract = None
    info.save(path)
    contract = franka_contract()
    contract = type(contract)(**{**contract.__dict__, "tip_frame": "tip"})
    with Demonstration(path, contract) as demonstration:
        frames = list(demonstration.frames())
    assert len(frames) == 15, dict(demonstration.skipped)
    scene = Scene()
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.observation.views[0].rgb, scene.rgb(index))
        assert frame.instruction == "reach the red block"


def test_clear_refusals(graph: Graph, recorder: ManagedProcess) -> None:
    answer = graph.end()
    assert not answer.success
    assert "no episode is being recorded" in answer.message
    answer = graph.start("  ")
    assert not answer.success
    assert "expected the words of the task" in answer.message
    first = graph.start()
    second = graph.start("pick up the red block")
    assert not second.success
    assert f"already recording {first.path}" in second.message
    answer = graph.end("great")
    assert not answer.success
    assert "got 'great'; still recording" in answer.message
    assert graph.end("discard").success


def test_silence_is_told(graph: Graph, recorder: ManagedProcess) -> None:
    first = graph.start()
    ended = graph.end()
    assert not ended.success
    assert f"nothing arrived on {CAMERA.color}" in ended.message
    assert ended.path == first.path
    # What was latched before the episode is in it all the same.
    with EpisodeReader(ended.path) as reader:
        assert [message.topic.name for message in reader.messages()] == ["/tf_static"]


def test_discarding_moves_the_episode(graph: Graph, recorder: ManagedProcess, directory: Path) -> None:
    first = graph.start()
    ended = graph.end("discard")
    assert ended.success, ended.message
    assert Path(ended.path) == directory / "discarded" / Path(first.path).name
    assert EpisodeInfo.load(Path(ended.path)).outcome is Outcome.DISCARD


def test_deactivating_ends_the_episode(graph: Graph, recorder: ManagedProcess) -> None:
    first = graph.start()

    def change(transition: int) -> bool:
        request = Transition(id=transition)
        return graph.call(ChangeState, "recorder/change_state", transition=request).success

    assert change(Transition.TRANSITION_DEACTIVATE)
    info = EpisodeInfo.load(Path(first.path))
    assert (info.outcome, info.reason) == (Outcome.INTERRUPTED, "the recorder was deactivated")
    refused = graph.start()
    assert not refused.success
    assert "activate it" in refused.message
    assert change(Transition.TRANSITION_ACTIVATE)
    graph.wait_until_heard()
    assert graph.start().success
    assert graph.end("discard").success


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_recorder_keeps_the_episode(
    launch_process: ProcessStarter,
    graph: Graph,
    recorder: ManagedProcess,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    # The module's recorder steps aside: two of them would answer the same services.
    if recorder.returncode is None:
        recorder.stop()
    graph.wait(lambda: graph.publishers["/tf"].get_subscription_count() == 0, "the other recorder's end")
    process = start_recorder(launch_process, tmp_path)
    process.wait_for_output("ready to record")
    graph.wait_until_heard()
    answer = graph.start()
    assert answer.success, answer.message
    scene = Scene(start=time.time_ns(), duration=2.0)
    published = graph.play(scene)
    process.send_signal(number)
    killed_at = time.time_ns()
    status = process.wait_for_exit()
    assert status == (-number if number is signal.SIGKILL else 0), process.output
    with EpisodeReader(answer.path) as reader:
        info = reader.info
        recorded = list(reader.messages())
        newest = recorded[-1].stamp_ns
        got = [decode(message) for message in recorded if message.topic.name == "/joint_states"]
    assert info.outcome is Outcome.INTERRUPTED
    assert info.recovered is (number is signal.SIGKILL)
    assert newest >= killed_at - SECOND
    sent = [item for topic, item in published if topic == "/joint_states"]
    assert got == sent[: len(got)]
    if number is not signal.SIGKILL:
        assert f"received {number.name}" in info.reason
        # All but what was on its way to the recorder when the signal came.
        assert len(got) >= len(sent) - 10
