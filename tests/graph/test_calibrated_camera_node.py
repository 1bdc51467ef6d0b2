"""The node of a calibrated camera: TF without double parents, the episode's record, a bump that holds the arm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from graph.board_stage import BASE, HAND, LATCHED, LINK, OPTICAL, Stage, on_stage, stage
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from support.board_scene import Rig, finished
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_msgs.msg import HandEyeCalibration
from vipa_msgs.srv import EndEpisode, StartEpisode
from vipa_policy import geometry
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.calibration.result import Calibration, Frames
from vipa_policy.geometry import Array
from vipa_policy.nodes.calibrated_camera_node import CalibratedCameraNode
from vipa_policy.nodes.conversions import matrix_from_pose, matrix_from_transform, seconds_of
from vipa_policy.nodes.recorder_node import RecorderNode

pytestmark = pytest.mark.graph

COLOUR = "camera_color_frame"
LINK_FROM_COLOUR = geometry.transform((0.0, 0.015, 0.0), Rotation.from_rotvec([0.0, 0.003, 0.001]).as_quat())
COLOUR_FROM_OPTICAL = geometry.transform((0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5))
FACTORY = ((LINK, COLOUR, LINK_FROM_COLOUR), (COLOUR, OPTICAL, COLOUR_FROM_OPTICAL))
HAND_POSES = 4


@pytest.fixture
def scene() -> Iterator[Stage]:
    with stage() as made:
        yield made


def write(folder: Path, calibration: Calibration) -> str:
    path = folder / "calibration.yaml"
    calibration.save(path)
    return str(path)


class Show:
    """A rig on the stage: the arm takes one pose after the other; ``bump`` moves the camera, ``hide`` the board."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.seen = [rig.camera_from_board(rig.random.normal(0.0, 0.2, 3)) for _ in range(HAND_POSES)]
        self.hands = [rig.hand_for(item) for item in self.seen]
        self.pictures = [rig.picture(item) for item in self.seen]

    def bump(self, moved: Array) -> None:
        """The camera's new pose in its old one."""
        self.pictures = [self.rig.picture(geometry.inverse(moved) @ item) for item in self.seen]

    def play(self, tick: int) -> tuple[np.ndarray, Array]:
        index = tick // 15 % HAND_POSES
        return self.pictures[index], self.hands[index]


def status(scene: Stage) -> tuple[bytes, str]:
    return scene.health.get("calibrated_camera", (b"", ""))


@pytest.mark.parametrize("mode", list(Mode))
def test_the_camera_is_in_tf_once_and_where_it_was_calibrated(scene: Stage, tmp_path: Path, mode: Mode) -> None:
    calibration = finished(mode)
    results: list[HandEyeCalibration] = []
    scene.create_subscription(HandEyeCalibration, "calibration/result", results.append, LATCHED)
    buffer = Buffer(node=scene)
    listener = TransformListener(buffer, scene)
    parent = calibration.frames.parent(mode)
    with on_stage(scene, CalibratedCameraNode, file=write(tmp_path, calibration), watch="off", settle_time=0.2):
        scene.wait(lambda: "waiting for tf_static" in status(scene)[1], "the node to miss the driver")
        assert not results
        scene.hang(*FACTORY)
        scene.wait(lambda: bool(results), "the calibration")
        scene.wait(lambda: buffer.can_transform(parent, OPTICAL, Time()), "the camera in TF")
        found = matrix_from_transform(buffer.lookup_transform(parent, OPTICAL, Time()).transform)
        scene.wait(lambda: status(scene) == (DiagnosticStatus.OK, "not watched"), "good health")
        scene.run(3.0)
    listener.unregister()
    assert np.allclose(found, calibration.parent_from_camera, atol=1e-9)
    parents = {child: {edge[0] for edge in scene.edges if edge[1] == child} for _, child, _ in scene.edges}
    assert parents == {LINK: {parent}, COLOUR: {LINK}, OPTICAL: {COLOUR}}
    message = results[0]
    assert (message.mode, message.header.frame_id, message.root_frame) == (mode.value, parent, LINK)
    assert np.allclose(matrix_from_pose(message.parent_from_camera), calibration.parent_from_camera)
    assert (message.poses, message.held_out_reprojection) == (15, 0.15)
    assert seconds_of(message.created) == calibration.created.timestamp()
    assert scene.values["calibrated_camera"]["age (days)"] == "0.00"
    assert scene.stops == 0


def test_a_frame_that_has_a_parent_is_left_alone(scene: Stage, tmp_path: Path) -> None:
    scene.hang(*FACTORY, ("world", LINK, np.eye(4)))
    with on_stage(scene, CalibratedCameraNode, file=write(tmp_path, finished(Mode.EYE_TO_HAND)), watch="off"):
        scene.wait(lambda: "must not have two parents" in status(scene)[1], "the rival to be told")
        assert status(scene)[0] == DiagnosticStatus.ERROR
        scene.run(12.0)
    assert {edge[0] for edge in scene.edges if edge[1] == LINK} == {"world"}
    assert scene.stops == 0


def test_a_second_parent_that_comes_later_holds_the_arm(scene: Stage, tmp_path: Path) -> None:
    scene.hang(*FACTORY)
    file = write(tmp_path, finished(Mode.EYE_TO_HAND))
    with on_stage(scene, CalibratedCameraNode, file=file, watch="off", settle_time=0.2):
        scene.wait(lambda: any(edge[1] == LINK for edge in scene.edges), "the calibration in TF")
        scene.hang((HAND, LINK, np.eye(4)))
        scene.wait(lambda: scene.stops > 0, "the arm to be stopped")
        scene.wait(lambda: "must not have two parents" in status(scene)[1], "the rival to be told")


@pytest.mark.parametrize("mode", list(Mode))
def test_a_bumped_camera_holds_the_arm_and_a_still_one_does_not(scene: Stage, tmp_path: Path, mode: Mode) -> None:
    show = Show(Rig(mode, 5))
    scene.scene = show.play
    scene.hang(*FACTORY)
    file = write(tmp_path, finished(mode, show.rig))
    with on_stage(scene, CalibratedCameraNode, file=file, rate=5.0, settle_time=0.2):
        scene.wait(lambda: status(scene) == (DiagnosticStatus.OK, "the camera is in place"), "comparisons")
        scene.run(15.0)
        assert scene.stops == 0
        assert status(scene)[0] == DiagnosticStatus.OK
        # A knock of a degree and a half: a centimetre and a half at the board.
        turned = np.eye(4)
        turned[:3, :3] = Rotation.from_euler("y", 1.5, degrees=True).as_matrix()
        show.bump(turned)
        scene.wait(lambda: scene.stops > 0, "the arm to be stopped")
        scene.wait(lambda: status(scene)[0] == DiagnosticStatus.ERROR, "the bump to be told")
        assert "camera_color_optical_frame was bumped: the board is seen" in status(scene)[1]
        assert "camera_color_optical_frame was bumped: the board is seen" in scene.reasons[0]
        assert "then call arm/resume" in status(scene)[1]
        # Who resumes without mending it is stopped again.
        before = scene.stops
        scene.wait(lambda: scene.stops > before, "the arm to be stopped again")
        show.bump(np.eye(4))
        scene.wait(lambda: status(scene) == (DiagnosticStatus.OK, "the camera is in place"), "the camera to be back")
        stopped = scene.stops
        scene.run(10.0)
        assert scene.stops == stopped


@pytest.mark.parametrize("reaction", ["slow", "report"])
def test_a_bumped_camera_slows_the_arm_or_leaves_it_alone_where_that_is_asked_for(
    scene: Stage, tmp_path: Path, reaction: str
) -> None:
    show = Show(Rig(Mode.EYE_TO_HAND, 5))
    scene.scene = show.play
    scene.hang(*FACTORY)
    file = write(tmp_path, finished(Mode.EYE_TO_HAND, show.rig))
    options = {"rate": 5.0, "settle_time": 0.2, "on_bump": reaction, "slow_speed": 0.3}
    with on_stage(scene, CalibratedCameraNode, file=file, **options):
        scene.wait(lambda: status(scene) == (DiagnosticStatus.OK, "the camera is in place"), "comparisons")
        turned = np.eye(4)
        turned[:3, :3] = Rotation.from_euler("y", 1.5, degrees=True).as_matrix()
        show.bump(turned)
        scene.wait(lambda: status(scene)[0] == DiagnosticStatus.ERROR, "the bump to be told")
        if reaction == "slow":
            scene.wait(lambda: bool(scene.speeds), "the arm to be slowed down")
            assert scene.speeds[0][:2] == ("calibrated_camera", 0.3)
            assert "was bumped" in scene.speeds[0][2]
        show.bump(np.eye(4))
        scene.wait(lambda: status(scene) == (DiagnosticStatus.OK, "the camera is in place"), "the camera to be back")
        if reaction == "slow":
            scene.wait(lambda: scene.speeds[-1] == ("calibrated_camera", 1.0, ""), "the arm to be let go")
        else:
            assert scene.speeds == []
    assert scene.stops == 0


def test_a_board_that_stands_beside_the_arm_is_learnt_and_watched(scene: Stage, tmp_path: Path) -> None:
    rig = Rig(Mode.EYE_TO_HAND, 6)
    standing = rig.camera_from_board((0.2, 0.1, 0.0))
    hand = rig.hand_for(standing)
    pictures = [rig.picture(standing)]
    scene.scene = lambda tick: (pictures[0], hand)
    scene.hang(*FACTORY)
    # Where the board was on the hand does not matter any more.
    calibration = replace(finished(Mode.EYE_TO_HAND, rig), carrier_from_board=np.eye(4))
    file = write(tmp_path, calibration)
    with on_stage(scene, CalibratedCameraNode, file=file, watch="standing", rate=5.0, settle_time=0.2):
        scene.wait(lambda: status(scene) == (DiagnosticStatus.OK, "the camera is in place"), "comparisons")
        assert scene.stops == 0
        moved = np.eye(4)
        moved[0, 3] = 0.01
        pictures[0] = rig.picture(geometry.inverse(moved) @ standing)
        scene.wait(lambda: scene.stops > 0, "the arm to be stopped")


def test_no_board_and_a_hand_in_motion_are_told_and_stop_nothing(scene: Stage, tmp_path: Path) -> None:
    show = Show(Rig(Mode.EYE_TO_HAND, 7))
    scene.scene = lambda tick: (np.full_like(show.pictures[0], 90), show.hands[0])
    scene.hang(*FACTORY)
    file = write(tmp_path, finished(Mode.EYE_TO_HAND, show.rig))
    with on_stage(scene, CalibratedCameraNode, file=file, rate=5.0, settle_time=0.2):
        scene.wait(lambda: "not checked: expected at least 6 corners" in status(scene)[1], "the board to be missed")
        scene.moving = True
        scene.scene = lambda tick: (show.pictures[0], show.hands[0])
        scene.wait(lambda: "the hand moves at 0.10 m/s" in status(scene)[1], "the motion to be told")
        scene.run(10.0)
        assert status(scene)[0] == DiagnosticStatus.WARN
        assert scene.stops == 0


def test_an_old_calibration_is_warned_of(scene: Stage, tmp_path: Path) -> None:
    scene.hang(*FACTORY)
    old = replace(finished(Mode.EYE_TO_HAND), created=datetime.now(UTC) - timedelta(days=40))
    with on_stage(scene, CalibratedCameraNode, file=write(tmp_path, old), watch="off", settle_time=0.2):
        scene.wait(lambda: "is 40 days old, expected at most 30" in status(scene)[1], "the age to be told")
        assert status(scene)[0] == DiagnosticStatus.WARN


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "cannot be read"),
        ({"watch": "closely"}, "expected watch to be"),
        ({"on_bump": "run"}, "expected on_bump to"),
    ],
)
def test_what_cannot_be_used_leaves_it_unconfigured(
    scene: Stage, tmp_path: Path, values: dict[str, str], words: str
) -> None:
    file = str(tmp_path / "nowhere.yaml") if not values else write(tmp_path, finished(Mode.EYE_TO_HAND))
    with on_stage(scene, CalibratedCameraNode, file=file, **values):
        scene.wait(lambda: words in status(scene)[1], "the refusal")
        assert status(scene)[0] == DiagnosticStatus.ERROR
        scene.run(2.0)
    assert not scene.edges


def test_every_episode_holds_the_calibration(scene: Stage, tmp_path: Path) -> None:
    scene.hang(*FACTORY)
    scene_camera = finished(Mode.EYE_TO_HAND)
    frames = Frames(BASE, HAND, "wrist_color_optical_frame", "wrist_color_optical_frame")
    wrist = finished(Mode.EYE_IN_HAND, frames=frames)
    (tmp_path / "wrist").mkdir()
    options = {"watch": "off", "settle_time": 0.2}
    with (
        on_stage(scene, CalibratedCameraNode, file=write(tmp_path, scene_camera), **options),
        on_stage(scene, CalibratedCameraNode, file=write(tmp_path / "wrist", wrist), **options),
        on_stage(scene, RecorderNode, directory=str(tmp_path / "episodes"), minimum_free_mb=1) as recorder,
    ):
        published = ("camera_link", "wrist_color_optical_frame")
        scene.wait(lambda: {edge[1] for edge in scene.edges} >= set(published), "both cameras in TF")
        scene.wait(lambda: len(recorder._latched.get("/calibration/result", [])) == 2, "the recorder to hear of them")
        scene.wait(lambda: recorder.now > 0.0, "the recorder's clock")
        started, ended = StartEpisode.Response(), EndEpisode.Response()
        recorder._start(StartEpisode.Request(instruction="reach the red block", demonstrator="x"), started)
        assert started.success, started.message
        recorder._end(EndEpisode.Request(outcome="failure"), ended)
    kept = json.loads((Path(started.path) / "episode.json").read_text())["calibration"]
    hand_eye = {item["camera"]: item for item in kept["hand_eye"]}
    assert set(hand_eye) == {OPTICAL, "wrist_color_optical_frame"}
    for camera, calibration in ((OPTICAL, scene_camera), ("wrist_color_optical_frame", wrist)):
        item = hand_eye[camera]
        assert item["mode"] == calibration.mode.value
        assert item["parent"] == calibration.frames.parent(calibration.mode)
        assert item["created"] == calibration.created.isoformat()
        assert item["poses"] == 15
        assert item["held_out_position"] == calibration.figures.held_out_position
        pose = geometry.transform(item["parent_from_camera"]["translation"], item["parent_from_camera"]["rotation"])
        assert np.allclose(pose, calibration.parent_from_camera)
    edges = {item["child"]: item["parent"] for item in kept["static_transforms"]}
    assert edges[LINK] == BASE
    assert edges["wrist_color_optical_frame"] == HAND


def test_the_cameras_place_is_unknown_to_others_while_inactive(scene: Stage, tmp_path: Path) -> None:
    scene.hang(*FACTORY)
    file = write(tmp_path, finished(Mode.EYE_TO_HAND))
    with on_stage(scene, CalibratedCameraNode, file=file, watch="off", settle_time=0.2) as node:
        scene.wait(lambda: any(edge[1] == LINK for edge in scene.edges), "the calibration in TF")
        node.trigger_deactivate()
        scene.wait(lambda: "inactive" in status(scene)[1], "the node to be inactive")
        buffer = Buffer(node=scene)
        listener = TransformListener(buffer, scene)
        scene.wait(lambda: buffer.can_transform(LINK, OPTICAL, Time()), "the driver's own tree")
        with pytest.raises(TransformException):
            buffer.lookup_transform(BASE, OPTICAL, Time())
        listener.unregister()
        node.trigger_activate()
        before = len(scene.edges)
        scene.wait(lambda: any(edge[1] == LINK for edge in scene.edges[before:]), "the calibration in TF again")
        node.trigger_deactivate()
        node.trigger_cleanup()
