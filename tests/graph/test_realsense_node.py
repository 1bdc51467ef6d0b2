"""The RealSense node: on a recording through librealsense's own pipeline, and on a made-up driver that is unplugged."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Empty
from support.camera_recordings import CAMERA, COLOUR_FROM_DEPTH, instants, played, write_recording
from support.processes import ManagedProcess, ProcessStarter
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_policy import geometry
from vipa_policy.camera.driver import CameraDescription, CameraFrame
from vipa_policy.camera.optics import StreamCalibration
from vipa_policy.errors import CameraError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import (
    depth_from_image,
    intrinsics_from_camera_info,
    matrix_from_transform,
    nanoseconds_of,
    rgb_from_image,
    seconds_of,
)
from vipa_policy.nodes.realsense_node import RealSenseNode
from vipa_policy.synchroniser import Synchroniser

pytestmark = pytest.mark.graph
pytest.importorskip("pyrealsense2")

NUMBERS = range(1, 41)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
PREFIX = "camera/camera"
COLOUR, INFO = f"{PREFIX}/color/image_raw", f"{PREFIX}/color/camera_info"
DEPTH = f"{PREFIX}/aligned_depth_to_color/image_raw"
DEPTH_INFO = f"{PREFIX}/aligned_depth_to_color/camera_info"
ROOT, OPTICAL = "camera_link", "camera_color_optical_frame"
TOPICS: dict[str, type] = {COLOUR: Image, DEPTH: Image, INFO: CameraInfo, DEPTH_INFO: CameraInfo}


class Listener:
    """Whoever uses the camera: subscribed best effort, with TF and diagnostics."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received: dict[str, list[Any]] = {topic: [] for topic in TOPICS}
        self.health: list[DiagnosticStatus] = []
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.received[topic].append, BEST_EFFORT)
        self.node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, 10)
        self.buffer = Buffer(node=self.node)
        self.tf = TransformListener(self.buffer, self.node)

    def wait(self, condition: Callable[[], Any], what: str, patience: float = 60.0) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; {self.health[-1:]}"
            self.executor.spin_once(timeout_sec=0.02)

    def forget(self) -> None:
        for messages in self.received.values():
            messages.clear()
        self.health.clear()

    def stamps(self) -> list[int]:
        """Stamps (ns) for which all four topics have spoken."""
        by_topic = [{nanoseconds_of(item.header.stamp) for item in items} for items in self.received.values()]
        return sorted(set.intersection(*by_topic))

    def at(self, topic: str, stamp: int) -> Any:
        return next(item for item in self.received[topic] if nanoseconds_of(item.header.stamp) == stamp)

    def between(self, target: str, source: str) -> Array | None:
        """target_from_source of TF."""
        try:
            return matrix_from_transform(self.buffer.lookup_transform(target, source, Time()).transform)
        except TransformException:
            return None

    def reports(self, words: str, level: bytes) -> bool:
        return any(words in status.message and status.level == level for status in self.health)

    def facts(self) -> dict[str, str]:
        return {item.key: item.value for item in self.health[-1].values}

    def call(self, name: str) -> None:
        client = self.node.create_client(Empty, name)
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(Empty.Request())
        self.wait(future.done, f"an answer of {name}")
        self.node.destroy_client(client)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.health += [status for status in message.status if status.name == "realsense"]


@pytest.fixture(scope="module")
def listener(ros_domain_id: int) -> Iterator[Listener]:
    made = Listener(ros_domain_id)
    yield made
    made.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "camera.db3"
    write_recording(path, instants(CAMERA, NUMBERS), CAMERA, paced=True)
    return path


def start_node(starter: ProcessStarter, **parameters: Any) -> ManagedProcess:
    options = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return starter(sys.executable, "-m", "vipa_policy.nodes.realsense_node", "--ros-args", *options)


@pytest.fixture(scope="module")
def node(module_launch_process: ProcessStarter, listener: Listener, recording: Path) -> ManagedProcess:
    process = start_node(module_launch_process, recording=recording)
    process.wait_for_output("streaming: Recorded RGB-D camera 123456789012 at 30 Hz")
    listener.wait(lambda: len(listener.stamps()) >= 10, "ten whole frames")
    return process


def test_what_is_published_is_what_the_driver_reads(node: ManagedProcess, listener: Listener, recording: Path) -> None:
    # Which frames come is up to the pace; what comes must be one of them, bit for bit.
    known = {frame.rgb.tobytes(): frame for frame in played(recording, NUMBERS)[1]}
    stamps = listener.stamps()
    for stamp in stamps:
        frame = known[rgb_from_image(listener.at(COLOUR, stamp)).tobytes()]
        depth = listener.at(DEPTH, stamp)
        assert (depth.encoding, depth.width, depth.height, depth.step) == ("16UC1", 160, 120, 320)
        np.testing.assert_array_equal(np.frombuffer(depth.data, np.uint16).reshape(120, 160), frame.depth)
        np.testing.assert_allclose(depth_from_image(depth), frame.depth * 0.001, rtol=1e-6)
        for topic in TOPICS:
            assert listener.at(topic, stamp).header.frame_id == OPTICAL


def test_calibration_is_the_factory_s(node: ManagedProcess, listener: Listener) -> None:
    stamp = listener.stamps()[0]
    for topic in (INFO, DEPTH_INFO):
        info = listener.at(topic, stamp)
        np.testing.assert_allclose(intrinsics_from_camera_info(info, 160, 120), CAMERA.colour.matrix, rtol=1e-6)
        assert (info.distortion_model, list(info.d)) == ("plumb_bob", [0.0] * 5)
        np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], np.reshape(info.k, (3, 3)))


def test_factory_extrinsics_stand_in_tf(node: ManagedProcess, listener: Listener) -> None:
    listener.wait(lambda: listener.between(ROOT, OPTICAL) is not None, "TF of the camera")
    colour_from_depth = listener.between(OPTICAL, "camera_depth_optical_frame")
    root_from_depth = listener.between(ROOT, "camera_depth_optical_frame")
    assert colour_from_depth is not None
    assert root_from_depth is not None
    np.testing.assert_allclose(colour_from_depth, COLOUR_FROM_DEPTH, atol=1e-6)
    np.testing.assert_allclose(root_from_depth, geometry.LINK_FROM_OPTICAL, atol=1e-9)


def test_the_product_s_synchroniser_takes_it(node: ManagedProcess, listener: Listener) -> None:
    parts = {"colour": COLOUR, "depth": DEPTH, "intrinsics": INFO}
    synchroniser = Synchroniser({("scene", part): topic for part, topic in parts.items()}, 0.02, 5.0, 10.0)
    begun = time.time()
    listener.forget()

    def is_whole() -> bool:
        for part, topic in parts.items():
            for message in listener.received[topic]:
                synchroniser.add(("scene", part), seconds_of(message.header.stamp), message, time.time())
            listener.received[topic].clear()
        return synchroniser.has_new()

    listener.wait(is_whole, "an observation's camera parts")
    taken = synchroniser.take(time.time())
    assert taken is not None
    assert taken.skew == 0.0
    # Dated by now, not by when it was recorded.
    assert begun - 1.0 < taken.stamp < time.time() + 0.05


def test_it_goes_on_past_the_end_of_the_recording(node: ManagedProcess, listener: Listener) -> None:
    def frames() -> int:
        return int(listener.facts()["frames"])

    listener.forget()
    listener.wait(lambda: listener.health, "diagnostics")
    before = frames()
    listener.wait(lambda: frames() > before + 2 * len(NUMBERS), "two more rounds")
    facts = listener.facts()
    assert (facts["losses"], facts["hardware resets"]) == ("0", "0")
    assert facts["clock"].startswith("recording, offset ")
    assert listener.health[-1].level == DiagnosticStatus.OK
    stamps = [nanoseconds_of(item.header.stamp) for item in listener.received[COLOUR]]
    assert stamps == sorted(set(stamps)), "stamps run backwards where the recording begins again"


def test_a_reset_that_is_impossible_is_told_and_the_picture_comes_back(
    node: ManagedProcess, listener: Listener
) -> None:
    listener.forget()
    listener.call(f"{PREFIX}/hw_reset")
    words = "hardware reset (as asked for by service): a recording has no hardware that could be reset"
    listener.wait(lambda: listener.health and listener.facts()["last loss"] == words, "the reason")
    listener.received[COLOUR].clear()
    listener.wait(lambda: listener.received[COLOUR], "a picture after the reset")
    listener.wait(lambda: listener.health[-1].level == DiagnosticStatus.OK, "health")
    assert int(listener.facts()["losses"]) == 1


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"serial": "_none"}, "no RealSense camera with serial number none; there is: "),
        ({"recording": "/nowhere/camera.db3"}, "expected a recording at /nowhere/camera.db3, there is none"),
    ],
)
def test_without_a_camera_the_node_stays_up_and_looks_for_it(
    launch_process: ProcessStarter, node: ManagedProcess, listener: Listener, parameters: dict[str, str], words: str
) -> None:
    # The module's node steps aside: both would report under one name.
    if node.returncode is None:
        node.stop()
    listener.forget()
    process = start_node(launch_process, **parameters)
    listener.wait(lambda: listener.reports(f"no camera: {words}", DiagnosticStatus.ERROR), "the reason")
    listener.wait(lambda: float(listener.facts()["next attempt in"].split()[0]) > 0.0, "a further attempt")
    assert process.returncode is None


class UnpluggableDriver:
    """A made-up camera whose plug the test holds."""

    LENS = StreamCalibration(8, 6, np.diag([10.0, 10.0, 1.0]), "plumb_bob", (0.0,) * 5)

    def __init__(self) -> None:
        self.plugged = threading.Event()
        self.broken = False
        self.description = CameraDescription(
            "Made up", "1", "5.1", "USB 3.2", "", 30.0, self.LENS, self.LENS, np.eye(4), 1e-3
        )
        self.number = 0

    def open(self) -> CameraDescription:
        if not self.plugged.is_set():
            raise CameraError("no RealSense camera; plug one in")
        return self.description

    def read(self, timeout: float) -> CameraFrame | None:
        time.sleep(0.01)
        if self.broken:
            raise ValueError("something nobody foresaw")
        if not self.plugged.is_set():
            return None
        self.number += 1
        pixels = np.full((6, 8, 3), self.number % 256, np.uint8)
        return CameraFrame(pixels, pixels[..., 0].astype(np.uint16), time.time_ns(), 0.0, self.number)

    def reset(self) -> None:
        self.plugged.clear()

    def close(self) -> None:
        pass

    def trouble(self) -> str:
        return ""

    def facts(self) -> dict[str, str]:
        return {}


@contextmanager
def in_process(listener: Listener, driver: UnpluggableDriver, **parameters: Any) -> Iterator[RealSenseNode]:
    """A started node on a made-up camera, in this process."""
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    made = RealSenseNode(lambda settings: driver, context=listener.context, parameter_overrides=overrides)
    listener.executor.add_node(made)
    listener.forget()
    made.start()
    try:
        yield made
    finally:
        made.begin_finish("test over")
        listener.executor.remove_node(made)
        made.destroy_node()


@pytest.fixture
def fake(listener: Listener) -> Iterator[UnpluggableDriver]:
    """The camera of a node in this process that is quick to give up and to try again."""
    driver = UnpluggableDriver()
    with in_process(listener, driver, silence=0.2, retry_first=0.05, retry_longest=0.1, settled=0.1):
        yield driver


def streams(listener: Listener) -> None:
    listener.forget()
    listener.wait(lambda: listener.stamps(), "a whole frame")
    listener.wait(lambda: listener.health and listener.health[-1].level == DiagnosticStatus.OK, "health")


def test_plugged_in_late_unplugged_and_plugged_in_again(fake: UnpluggableDriver, listener: Listener) -> None:
    listener.wait(lambda: listener.reports("no camera: no RealSense camera", DiagnosticStatus.ERROR), "the reason")
    fake.plugged.set()
    streams(listener)
    fake.plugged.clear()
    listener.wait(lambda: listener.health[-1].level == DiagnosticStatus.ERROR, "the loss")
    listener.wait(lambda: listener.facts()["last loss"].startswith("no frame for 0.2 s: nothing comes"), "its reason")
    # Another camera takes its place: its own extrinsics count from then on.
    moved = geometry.transform([0.03, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0])
    fake.description = replace(fake.description, serial="2", colour_from_depth=moved)
    fake.plugged.set()
    streams(listener)
    assert (listener.facts()["serial"], listener.facts()["losses"], listener.facts()["reconnects"]) == ("2", "1", "1")

    def has_moved() -> bool:
        transform = listener.between(OPTICAL, "camera_depth_optical_frame")
        return transform is not None and bool(np.allclose(transform, moved, atol=1e-9))

    listener.wait(has_moved, "the other camera's extrinsics in TF")


def test_an_error_nobody_foresaw_does_not_end_the_node(fake: UnpluggableDriver, listener: Listener) -> None:
    fake.plugged.set()
    streams(listener)
    fake.broken = True
    words = "no camera: unexpected ValueError: something nobody foresaw"
    listener.wait(lambda: listener.reports(words, DiagnosticStatus.ERROR), "the reason")
    fake.broken = False
    streams(listener)


def test_a_hardware_reset_comes_by_service(fake: UnpluggableDriver, listener: Listener) -> None:
    fake.plugged.set()
    streams(listener)
    listener.call(f"{PREFIX}/hw_reset")
    listener.wait(lambda: not fake.plugged.is_set(), "the reset")
    fake.plugged.set()
    streams(listener)
    assert listener.facts()["hardware resets"] == "1"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"colour_profile": "big"}, "expected a stream profile like '640x480x30'"),
        ({"nearest": 1.0, "farthest": 0.5}, "expected farthest beyond nearest"),
        ({"retry_first": 9.0}, "expected retry_longest of at least retry_first"),
        ({"use_sim_time": True}, "expected use_sim_time false"),
    ],
)
def test_contradictions_leave_the_node_up_and_unconfigured(
    listener: Listener, parameters: dict[str, Any], words: str
) -> None:
    with in_process(listener, UnpluggableDriver(), **parameters):
        listener.wait(lambda: listener.reports(f"not configured: {words}", DiagnosticStatus.ERROR), "the reason")


def test_the_launch_file_plays_a_recording(
    launch_process: ProcessStarter, recording: Path, node: ManagedProcess
) -> None:
    if node.returncode is None:
        node.stop()
    process = launch_process(
        "ros2", "launch", "vipa_bringup", "realsense.launch.py", f"recording:={recording}", "serial:=123456789012"
    )
    process.wait_for_output("streaming: Recorded RGB-D camera 123456789012 at 30 Hz", 60.0)


@pytest.mark.parametrize(
    ("argument", "words"),
    [("recoding:=a.db3", "unknown launch argument"), ("params_file:=/no.yaml", "expected a parameter file")],
)
def test_a_mistaken_launch_argument_is_refused(launch_process: ProcessStarter, argument: str, words: str) -> None:
    process = launch_process("ros2", "launch", "vipa_bringup", "realsense.launch.py", argument)
    assert process.wait_for_exit(60.0) == 1
    assert words in process.output
