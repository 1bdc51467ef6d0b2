"""The calibration node and the command around it, on pictures that the simulated cell drew."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from graph.board_stage import HAND, LINK, OPTICAL, Scene, Stage, on_stage, stage
from sensor_msgs.msg import Image
from std_msgs.msg import String
from support.board_scene import LENS

from vipa_policy import geometry
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.result import Calibration, Frames
from vipa_policy.geometry import Array
from vipa_policy.nodes import calibrate
from vipa_policy.nodes.calibration_node import CalibrationNode
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_sim.calibration_trials import CalibrationCell

pytestmark = [pytest.mark.graph, pytest.mark.sim]

SIZE = (640, 480)
SHOTS = 26
REST_TICKS = 12  # of the stage: 1.2 s, of which 0.6 must have passed before a picture counts


@dataclass(frozen=True)
class Film:
    """Rendered pictures with the hand's pose, the lens, and where the camera truly is."""

    scenes: list[Scene]
    lens: Lens
    base_from_camera: Array

    def play(self, tick: int) -> Scene:
        """One pose after the other, over and over."""
        return self.scenes[tick // REST_TICKS % len(self.scenes)]


@pytest.fixture(scope="module")
def film() -> Iterator[Film]:
    cell = CalibrationCell(Mode.EYE_TO_HAND, SIZE)
    generator = np.random.default_rng(11)
    cell.place(generator, 3)
    shots = [shot for shot, _ in zip(cell.shots(generator), range(SHOTS), strict=False)]
    yield Film([(shot.rgb, shot.base_from_hand) for shot in shots], cell.lens, cell.parent_from_camera)
    cell.close()


@pytest.fixture
def scene(film: Film) -> Iterator[Stage]:
    with stage(film.lens) as made:
        made.hang((LINK, "camera_color_frame", np.eye(4)), ("camera_color_frame", OPTICAL, np.eye(4)))
        made.hang(("world", LINK, np.eye(4)), ("world", "fr3_link0", np.eye(4)))
        yield made


def errors(calibration: Calibration, film: Film) -> tuple[float, float]:
    """Distance in m and angle in rad from where the camera truly is."""
    difference = calibration.parent_from_camera[:3, 3] - film.base_from_camera[:3, 3]
    angle = geometry.rotation_angle(calibration.parent_from_camera, film.base_from_camera)
    return float(np.linalg.norm(difference)), angle


def test_the_command_collects_until_nothing_is_missing_and_writes(
    scene: Stage, film: Film, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "calibration.yaml"
    options, ros = calibrate.parse(["eye_to_hand", "--out", str(path), "--ros-args", "-p", "use_sim_time:=true"])
    assert ros == ["--ros-args", "-p", "use_sim_time:=true"]
    scene.scene = film.play
    lifetime = Lifetime()
    node = calibrate.make_node(options, use_sim_time=True)
    scene.spinner.add_node(node)
    pictures: list[Image] = []
    scene.create_subscription(Image, "calibration/picture", pictures.append, 5)
    end = scene.create_timer(90.0, lambda: lifetime.end("the test's patience ended"))
    try:
        node.start()
        assert calibrate.collect(node, scene.spinner, lifetime) == 0
    finally:
        lifetime.restore()
        scene.destroy_timer(end)
        scene.spinner.remove_node(node)
        node.destroy_node()
    calibration = Calibration.load(path)
    distance, angle = errors(calibration, film)
    assert distance < 0.001
    assert angle < math.radians(0.1)
    assert calibration.frames == Frames("fr3_link0", HAND, OPTICAL, LINK)
    assert calibration.figures.poses >= 15
    assert calibration.figures.held_out_reprojection < 0.6
    assert pictures
    output = capfd.readouterr().out
    assert "turn the hand about" in output.split("15 poses")[0]
    assert f"written to {path}" in output


def test_services_collect_pose_by_pose_and_refuse_in_words(scene: Stage, film: Film, tmp_path: Path) -> None:
    shown = [0]
    guidance: list[String] = []
    scene.create_subscription(String, "calibration/guidance", guidance.append, LATCHED_QOS)
    path = tmp_path / "calibration.yaml"
    with on_stage(scene, CalibrationNode, automatic=False, output=str(path)) as node:
        assert "no picture" in scene.call("calibration/capture").message
        scene.scene = lambda tick: film.scenes[shown[0]]
        scene.run(2.0)
        assert scene.call("calibration/capture").success
        assert "this pose is known" in scene.call("calibration/capture").message
        scene.moving = True
        scene.run(2.0)
        assert "did not rest" in scene.call("calibration/capture").message
        scene.moving = False
        refused = scene.call("calibration/solve")
        assert not refused.success
        assert "expected 5 poses or more, got 1" in refused.message
        assert "turn the hand about" in refused.message
        assert not path.exists()
        for index in range(1, 8):
            shown[0] = index
            scene.run(1.5)
            answer = scene.call("calibration/capture")
            assert answer.success, answer.message
            assert answer.message.startswith(f"{index + 1} poses; still missing: ")
        assert scene.call("calibration/drop_last").message.startswith("7 poses")
        solved = scene.call("calibration/solve")
        assert solved.success, solved.message
        assert "7 poses; on poses held out" in solved.message
        # Seven poses are few, and the file says so.
        figures = Calibration.load(path).figures
        distance, _ = errors(Calibration.load(path), film)
        assert distance < 0.003
        assert distance < 3.0 * figures.position_error
        assert scene.call("calibration/clear").message.startswith("0 poses")
        assert len(node.collection) == 0
        scene.wait(lambda: any(item.data.startswith("8 poses") for item in guidance), "guidance")


def test_pictures_that_cannot_be_used_are_told_and_survived(scene: Stage, film: Film) -> None:
    blank = np.full_like(film.scenes[0][0], 90)
    scene.scene = lambda tick: (blank, film.scenes[0][1])

    def says(words: str) -> bool:
        level, message = scene.health.get("calibration", (b"", ""))
        return level == DiagnosticStatus.WARN and re.search(words, message) is not None

    with on_stage(scene, CalibrationNode) as node:
        scene.wait(lambda: says("expected at least 6 corners"), "the board to be missed")
        assert "corners" in scene.call("calibration/capture").message
        scene.lens = Lens(LENS.matrix, (), 320, 240)
        scene.wait(lambda: says("belong to different sizes"), "the CameraInfo to be refused")
        scene.lens = Lens(np.full((3, 3), math.nan), (), *SIZE)
        scene.wait(lambda: says("pinhole matrix"), "the intrinsics to be refused")
        scene.lens, scene.scene = film.lens, lambda tick: film.scenes[0]
        scene.wait(lambda: node.collection is not None and len(node.collection) == 1, "one good pose")


@pytest.mark.parametrize(("name", "value"), [("board", "7x5"), ("mode", "eye_on_foot")])
def test_parameters_that_mean_nothing_leave_it_unconfigured(scene: Stage, name: str, value: str) -> None:
    with on_stage(scene, CalibrationNode, **{name: value}) as node:
        scene.wait(lambda: "not configured" in scene.health.get("calibration", (b"", ""))[1], "the refusal")
        assert node.collection is None


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "board.svg"
    assert calibrate.main(["--print", str(page), "--board", "5x4 0.04 0.03 5X5_50"]) == 0
    assert "5x4 0.04 0.03 5X5_50" in page.read_text()
    assert calibrate.main(["--print", str(page), "--board", "5x4 4 3"]) == 1
    assert "measure the print" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        calibrate.parse([])
