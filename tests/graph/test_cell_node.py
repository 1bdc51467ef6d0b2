"""The cell node as its neighbours see it: clock, transforms, pictures, targets, gripper, layouts, trials."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from graph.cell_graph import LATCHED, NodeProcess, Observer, stamps
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer

from vipa_msgs.action import MoveGripper
from vipa_msgs.msg import CellState, TrialStatus
from vipa_msgs.srv import ResetCell, StartTrial
from vipa_policy.geometry import Array, interpolate
from vipa_policy.nodes.conversions import (
    depth_from_image,
    intrinsics_from_camera_info,
    matrix_from_pose,
    matrix_from_transform,
    pose_stamped,
    rgb_from_image,
)
from vipa_sim.cell import Cell, CellConfig
from vipa_sim.nodes.cell_parameters import DECLARATIONS
from vipa_sim.nodes.launched_graph import free_domain
from vipa_sim.scene import sample_layout

pytestmark = pytest.mark.graph

COLOUR = "camera/camera/color"
DEPTH = "camera/camera/aligned_depth_to_color"
TICK = 4_000_000
SECOND = 1_000_000_000


class Graph(Observer):
    """The running cell and what it has said so far."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.domain = domain
        self.joints = self.listen(JointState, "joint_states")
        self.states = self.listen(CellState, "cell/state")
        self.trials = self.listen(TrialStatus, "cell/trial", LATCHED)
        self.static = self.listen(TFMessage, "/tf_static", LATCHED)
        self.target = self.node.create_publisher(PoseStamped, "target_pose", QoSProfile(depth=1))
        self.gripper = ActionClient(self.node, MoveGripper, "gripper/move")

    def let_pass(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.wait(lambda: bool(self.joints), "joint states")
        end = stamps(self.joints[-1:])[0] + round(seconds * SECOND)
        self.wait(lambda: stamps(self.joints[-1:])[0] >= end, f"{seconds} simulated s")

    def fresh_state(self) -> CellState:
        count = len(self.states) + 2
        self.wait(lambda: len(self.states) >= count, "the cell's state")
        return self.states[-1]

    def tip(self) -> Array:
        return matrix_from_pose(self.fresh_state().tip)

    def reset(self, seed: int, held_out: bool = False) -> ResetCell.Response:
        return self.call(ResetCell, "cell/reset", ResetCell.Request(seed=seed, held_out=held_out))

    def send_target(self, pose: Array, frame: str = "fr3_link0") -> None:
        self.wait(lambda: self.target.get_subscription_count() == 1, "the cell to listen for targets")
        self.target.publish(pose_stamped(pose, frame, self.joints[-1].header.stamp))

    def set_parameter(self, name: str, value: object) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, "cell/set_parameters", request).results[0]
        return result.successful, result.reason


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    domain = free_domain()
    parameters = {"image_width": 96, "image_height": 72, "seed": 5, "real_time_factor": 2.0}
    cell = NodeProcess("vipa_sim.nodes.cell_node", parameters, domain, tmp_path_factory.mktemp("cell") / "cell.log")
    cell.domain = domain
    yield cell
    assert cell.stop(signal.SIGINT) == 0, cell.text()


@pytest.fixture(scope="module")
def shared(process: NodeProcess) -> Iterator[Graph]:
    with Graph(process.domain) as observer:
        observer.wait(lambda: bool(observer.states), f"the cell; it said: {process.text()}")
        yield observer


@pytest.fixture
def graph(shared: Graph) -> Iterator[Graph]:
    count = shared.listening()
    yield shared
    shared.forget(count)


def test_state_comes_every_tick_of_simulated_time(graph: Graph) -> None:
    clock = graph.listen(Clock, "/clock", QoSProfile(depth=1000))
    transforms = graph.listen(TFMessage, "/tf")
    graph.wait(lambda: len(transforms) > 5, "transforms")
    begin = len(graph.joints)
    transforms.clear()
    graph.let_pass(2.0)
    joint_stamps = stamps(graph.joints[begin:])
    assert {later - earlier for earlier, later in itertools.pairwise(joint_stamps)} == {TICK}
    assert all(len({(t.header.stamp.sec, t.header.stamp.nanosec) for t in m.transforms}) == 1 for m in transforms)
    transform_stamps = [stamps(message.transforms[:1])[0] for message in transforms]
    assert {later - earlier for earlier, later in itertools.pairwise(transform_stamps)} == {TICK}
    assert len(transform_stamps) >= 400
    ticks = [message.clock.sec * SECOND + message.clock.nanosec for message in clock]
    assert ticks == sorted(ticks)
    assert graph.joints[-1].name[-2:] == ["fr3_finger_joint1", "fr3_finger_joint2"]
    assert len(graph.joints[-1].position) == len(graph.joints[-1].velocity) == 9


def test_everything_of_a_frame_bears_its_stamp(graph: Graph) -> None:
    topics = {
        "colour": graph.listen(Image, f"{COLOUR}/image_raw"),
        "depth": graph.listen(Image, f"{DEPTH}/image_raw"),
        "info": graph.listen(CameraInfo, f"{COLOUR}/camera_info"),
        "depth info": graph.listen(CameraInfo, f"{DEPTH}/camera_info"),
    }
    transforms = graph.listen(TFMessage, "/tf")
    graph.wait(lambda: all(topics.values()) and bool(transforms), "pictures")
    graph.let_pass(2.0)
    # The subscriptions were matched one after the other, and the last messages may still be on their way.
    heard = [stamps(messages) for messages in (*topics.values(), graph.states, graph.joints)]
    heard.append([stamps(message.transforms[:1])[0] for message in transforms])
    begin, end = max(one[0] for one in heard), min(one[-1] for one in heard)
    pictures = [stamp for stamp in heard[0] if begin <= stamp <= end]
    assert 24 <= len(pictures) <= 60
    assert all(gap in (64_000_000, 68_000_000) for gap in np.diff(pictures))
    assert all(set(pictures) <= set(one) for one in heard)
    info = topics["info"][-1]
    assert {messages[-1].header.frame_id for messages in topics.values()} == {"camera_color_optical_frame"}
    intrinsics = intrinsics_from_camera_info(info, 96, 72)
    assert (intrinsics[0, 2], intrinsics[1, 2]) == (47.5, 35.5)
    assert rgb_from_image(topics["colour"][-1]).std() > 5.0
    depth = depth_from_image(topics["depth"][-1])
    assert 0.3 < np.median(depth[depth > 0.0]) < 2.0


def test_transforms_at_the_pictures_stamp_lead_to_the_true_tip(graph: Graph) -> None:
    transforms = graph.listen(TFMessage, "/tf")
    graph.wait(lambda: bool(transforms), "transforms")
    state = graph.fresh_state()
    graph.let_pass(0.05)
    buffer = Buffer()
    for transform in (t for message in graph.static for t in message.transforms):
        buffer.set_transform_static(transform, "test")
    for transform in (t for message in transforms for t in message.transforms):
        buffer.set_transform(transform, "test")
    stamp = Time.from_msg(state.header.stamp)
    found = buffer.lookup_transform("world", "fr3_hand_tcp", stamp)
    assert matrix_from_transform(found.transform) == pytest.approx(matrix_from_pose(state.tip), abs=1e-6)
    camera = buffer.lookup_transform("fr3_link0", "camera_color_optical_frame", stamp)
    assert matrix_from_transform(camera.transform) == pytest.approx(
        Cell(CellConfig(image_width=32, image_height=24)).world_from_camera("scene"), abs=1e-6
    )
    assert buffer.can_transform("world", "fr3_leftfinger", stamp)


def test_the_arm_follows_small_steps(graph: Graph) -> None:
    graph.reset(5)
    start = graph.tip()
    goal = start.copy()
    goal[:3, 3] += (0.05, -0.04, -0.06)
    for step in range(1, 41):
        graph.send_target(interpolate(start, goal, step / 40.0))
        graph.let_pass(0.02)
    graph.let_pass(0.5)
    assert graph.tip() == pytest.approx(goal, abs=0.003)


@pytest.mark.parametrize(
    ("frame", "change", "complaint"),
    [
        ("world", {}, "expected a target in 'fr3_link0'"),
        ("fr3_link0", {"x": float("nan")}, "finite"),
        ("fr3_link0", {"z_offset": 0.2}, "jumps"),
        ("fr3_link0", {"w": 0.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}, "unit quaternion"),
    ],
)
def test_a_bad_target_is_refused_in_words_and_moves_nothing(
    graph: Graph, process: NodeProcess, frame: str, change: dict[str, float], complaint: str
) -> None:
    graph.reset(5)
    graph.let_pass(0.3)
    before = graph.tip()
    message = pose_stamped(before, frame, graph.joints[-1].header.stamp)
    message.pose.position.x = change.get("x", message.pose.position.x + 0.01)
    message.pose.position.z += change.get("z_offset", 0.0)
    for axis in "xyz":
        setattr(message.pose.orientation, axis, change.get(f"q{axis}", getattr(message.pose.orientation, axis)))
    message.pose.orientation.w = change.get("w", message.pose.orientation.w)
    graph.wait(lambda: graph.target.get_subscription_count() == 1, "the cell to listen for targets")
    # The complaint is throttled to one a second of wall time, so the target is repeated until it is heard.
    said = len(process.text())

    def refused() -> bool:
        graph.target.publish(message)
        return complaint in process.text()[said:]

    graph.wait(refused, f"'{complaint}' in the log")
    graph.let_pass(0.3)
    assert graph.tip() == pytest.approx(before, abs=1e-4)


def test_a_target_from_before_a_reset_is_ignored(graph: Graph) -> None:
    graph.reset(5)
    graph.let_pass(0.2)
    old = graph.joints[-1].header.stamp
    graph.reset(5)
    graph.let_pass(0.2)
    before = graph.tip()
    lower = before.copy()
    lower[2, 3] -= 0.03
    graph.target.publish(pose_stamped(lower, "fr3_link0", old))
    graph.let_pass(0.5)
    assert graph.tip() == pytest.approx(before, abs=1e-4)
    graph.send_target(lower)
    graph.let_pass(0.8)
    assert graph.tip() == pytest.approx(lower, abs=0.003)


def test_the_gripper_goes_to_a_width_and_tells_how_it_goes(graph: Graph) -> None:
    graph.reset(5)
    graph.wait(graph.gripper.server_is_ready, "the gripper")
    feedback: list[float] = []
    goal = graph.complete(
        graph.gripper.send_goal_async(
            MoveGripper.Goal(width=0.03), feedback_callback=lambda message: feedback.append(message.feedback.width)
        ),
        "acceptance",
    )
    assert goal.accepted
    answer = graph.complete(goal.get_result_async(), "the gripper's result")
    assert answer.status == GoalStatus.STATUS_SUCCEEDED
    assert answer.result.reached
    assert not answer.result.stalled
    assert answer.result.width == pytest.approx(0.03, abs=0.0015)
    assert len(feedback) >= 3
    assert feedback == sorted(feedback, reverse=True)


def test_a_new_gripper_goal_preempts_and_a_cancelled_one_stays(graph: Graph) -> None:
    graph.reset(5)
    graph.wait(graph.gripper.server_is_ready, "the gripper")
    first = graph.complete(graph.gripper.send_goal_async(MoveGripper.Goal(width=0.0, speed=0.01)), "acceptance")
    second = graph.complete(graph.gripper.send_goal_async(MoveGripper.Goal(width=0.01, speed=0.01)), "acceptance")
    assert graph.complete(first.get_result_async(), "the first result").status == GoalStatus.STATUS_ABORTED
    graph.let_pass(0.5)
    graph.complete(second.cancel_goal_async(), "cancellation")
    answer = graph.complete(second.get_result_async(), "the second result")
    assert answer.status == GoalStatus.STATUS_CANCELED
    assert 0.05 < answer.result.width < 0.08
    graph.let_pass(1.0)
    assert graph.fresh_state().gripper_width == pytest.approx(answer.result.width, abs=0.003)


@pytest.mark.parametrize("goal", [{"width": 0.2}, {"width": -0.01}, {"width": float("nan")}, {"speed": -1.0}])
def test_a_gripper_goal_out_of_range_is_rejected(graph: Graph, goal: dict[str, float]) -> None:
    graph.wait(graph.gripper.server_is_ready, "the gripper")
    answer = graph.complete(graph.gripper.send_goal_async(MoveGripper.Goal(**{"width": 0.02, **goal})), "an answer")
    assert not answer.accepted


def test_a_seed_fixes_the_layout(graph: Graph) -> None:
    first = graph.reset(11, held_out=True)
    other = graph.reset(12, held_out=True)
    again = graph.reset(11, held_out=True)
    assert first.success
    assert first.state.objects == again.state.objects
    assert first.state.tip == again.state.tip
    assert first.state.objects != other.state.objects
    expected = sample_layout(11, True)
    assert [item.name for item in again.state.objects] == [item.name for item in (*expected.blocks, *expected.bowls)]
    assert graph.fresh_state().seed == 11


def test_a_negative_seed_is_refused(graph: Graph) -> None:
    before = graph.fresh_state().seed
    response = graph.reset(-1)
    assert not response.success
    assert "-1" in response.message
    assert graph.fresh_state().seed == before


def test_a_trial_that_nobody_works_on_ends_in_time_without_success(graph: Graph) -> None:
    block = next(item for item in graph.reset(5).state.objects if item.kind == "block")
    response = graph.call(
        StartTrial, "cell/start_trial", StartTrial.Request(task="reach", target=block.name, time_limit=1.5)
    )
    assert response.success
    graph.wait(lambda: bool(graph.trials) and graph.trials[-1].finished, "the end of the trial")
    reports = [report for report in graph.trials if report.id == response.id]
    assert not any(report.succeeded for report in reports)
    assert reports[-1].elapsed == pytest.approx(1.5, abs=0.011)
    assert 12 <= len(reports) <= 25
    tip = graph.tip()[:3, 3]
    grasp = np.array([block.grasp_point.x, block.grasp_point.y, block.grasp_point.z])
    assert reports[-1].distance == pytest.approx(float(np.linalg.norm(tip - grasp)), abs=0.002)


def test_a_reset_ends_a_trial(graph: Graph) -> None:
    block = next(item for item in graph.reset(5).state.objects if item.kind == "block")
    request = StartTrial.Request(task="reach", target=block.name, time_limit=60.0)
    response = graph.call(StartTrial, "cell/start_trial", request)
    graph.let_pass(0.2)
    graph.reset(6)
    graph.wait(lambda: graph.trials[-1].id == response.id and graph.trials[-1].finished, "the end of the trial")
    assert not graph.trials[-1].succeeded


@pytest.mark.parametrize(
    ("request_fields", "word"),
    [
        ({"target": "pink_block"}, "pink_block"),
        ({"task": "juggle"}, "juggle"),
        ({"time_limit": 0.0}, "above 0"),
        ({"task": "place"}, "bowl"),
    ],
)
def test_a_trial_that_makes_no_sense_is_refused(graph: Graph, request_fields: dict[str, object], word: str) -> None:
    block = next(item for item in graph.reset(5).state.objects if item.kind == "block")
    fields = {"task": "reach", "target": block.name, "time_limit": 5.0, **request_fields}
    response = graph.call(StartTrial, "cell/start_trial", StartTrial.Request(**fields))
    assert not response.success
    assert word in response.message


def test_the_camera_can_be_moved_and_nonsense_is_refused(graph: Graph) -> None:
    graph.wait(lambda: bool(graph.static), "static transforms")
    before = graph.static[-1]
    for value in ([1.0, 0.0, 0.5], "high up", [1.0, 0.0, float("nan"), 0.0, 0.6, 3.1]):
        successful, reason = graph.set_parameter("camera_pose", value)
        assert not successful
        assert "six finite numbers" in reason
    count = len(graph.static)
    assert graph.set_parameter("camera_pose", "1.0 0.1 0.6 0 0.65 3.14159") == (True, "")
    graph.wait(lambda: len(graph.static) > count, "the new transform")
    moved = {t.child_frame_id: t.transform.translation for t in graph.static[-1].transforms}["camera_link"]
    assert (moved.x, moved.y, moved.z) == (1.0, 0.1, 0.6)
    old = next(t for t in before.transforms if t.child_frame_id == "camera_link").transform.translation
    assert (old.x, old.y, old.z) != (1.0, 0.1, 0.6)


def test_every_parameter_is_described(graph: Graph) -> None:
    names = [name for name, *_ in DECLARATIONS]
    request = DescribeParameters.Request(names=names)
    descriptors = graph.call(DescribeParameters, "cell/describe_parameters", request).descriptors
    assert [descriptor.name for descriptor in descriptors] == names
    assert all(len(descriptor.description) > 10 for descriptor in descriptors)
    successful, reason = graph.set_parameter("real_time_factor", 1000.0)
    assert not successful
    assert reason
