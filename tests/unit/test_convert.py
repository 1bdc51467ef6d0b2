"""Episodes become training sets: what is labelled, what is left out, and that nothing is added twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.synthetic_episode import SECOND, START, Scene, write_synthetic_episode

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.episode import Outcome
from vipa_policy.errors import ContractMismatch, DatasetError
from vipa_policy.presets import franka_contract
from vipa_training.convert import convert, find_episodes, main
from vipa_training.dataset import Dataset
from vipa_training.grounding import named_object
from vipa_training.labels import due_stamps


def contract(**changes: object) -> ActionContract:
    values = franka_contract(image_size=64).__dict__ | {"tip_frame": "tip", "horizon": 8} | changes
    return ActionContract(**values)


def samples(folder: Path) -> Dataset:
    return Dataset([folder])


def test_labels_are_what_the_arm_did_next(tmp_path: Path) -> None:
    scene = Scene(duration=1.5)
    episode = write_synthetic_episode(tmp_path / "episodes", scene, name="one")
    report = convert([episode], tmp_path / "set", contract(), progress=False)
    assert report.episodes == ["one"]
    assert not report.skipped
    assert not report.refused
    part = samples(tmp_path / "set").parts[0]
    assert part.frame_count == len(part.samples) == 22
    assert part.instructions == ["reach the red block"]
    end = START + int(1.6 * SECOND) - SECOND // 200
    for sample, stamp in zip(part.samples, scene.image_stamps(), strict=True):
        camera_from_world = geometry.inverse(scene.world_from_camera((stamp - START) / SECOND))
        for row, due in enumerate(due_stamps(int(stamp), contract())):
            seconds = (min(int(due), end) - START) / SECOND
            true = camera_from_world @ scene.base_from_tip(seconds)
            np.testing.assert_allclose(sample["action"][row, :3], true[:3, 3], atol=1e-5)
            np.testing.assert_allclose(sample["action"][row, 3:9], geometry.rotation_to_6d(true[:3, :3]), atol=1e-5)
            assert abs(sample["action"][row, 9] - scene.width(seconds)) < 1e-5
            assert sample["valid"][row] == (due <= end)
        seconds = (stamp - START) / SECOND
        assert sample["pointed_known"]
        pointed = geometry.apply(camera_from_world, scene.grasp_point(seconds))
        np.testing.assert_allclose(sample["pointed"], pointed, atol=1e-5)


def test_without_ground_truth_nothing_is_pointed_at(tmp_path: Path) -> None:
    episode = write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4, objects=False))
    convert([episode], tmp_path / "set", contract(), progress=False)
    assert not samples(tmp_path / "set").parts[0].samples["pointed_known"].any()


def test_rows_for_other_words_are_not_valid(tmp_path: Path) -> None:
    words = [(1.0, "reach the blue block")]
    episode = write_synthetic_episode(tmp_path / "episodes", Scene(duration=2.0, words=words))
    convert([episode], tmp_path / "set", contract(), progress=False)
    part = samples(tmp_path / "set").parts[0]
    stamps = Scene(duration=2.0).image_stamps()
    kept = part.frames["stamp"][part.samples["frame"]]
    for sample, seconds in zip(part.samples, kept, strict=True):
        index = int(np.argmin(np.abs(np.array(stamps) * 1e-9 - seconds)))
        due = due_stamps(stamps[index], contract())
        if part.instructions[sample["instruction"]] == "reach the red block":
            np.testing.assert_array_equal(sample["valid"], due <= START + SECOND)


def test_frames_under_a_stop_are_left_out(tmp_path: Path) -> None:
    scene = Scene(duration=1.0, words=[(0.5, "stop")])
    episode = write_synthetic_episode(tmp_path / "episodes", scene)
    report = convert([episode], tmp_path / "set", contract(), progress=False)
    after = sum(stamp >= START + SECOND // 2 for stamp in scene.image_stamps())
    assert report.skipped == {"no instruction in force": after}
    assert report.frames == len(scene.image_stamps()) - after


def test_running_again_adds_nothing_and_new_ones_are_added(tmp_path: Path) -> None:
    first = write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="first")
    convert([first], tmp_path / "set", contract(), progress=False)
    second = write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="second")
    report = convert([first, second], tmp_path / "set", contract(), progress=False)
    assert (report.already, report.episodes) == (["first"], ["second"])
    assert len(samples(tmp_path / "set")) == 12


def test_an_episode_that_is_cut_off_is_taken_out_and_done_again(tmp_path: Path) -> None:
    episodes = [
        write_synthetic_episode(tmp_path / "episodes", Scene(duration=duration), name=name)
        for name, duration in (("a", 0.4), ("b", 0.8))
    ]
    seen = 0

    def stopping() -> bool:
        nonlocal seen
        seen += 1
        return seen > 10

    report = convert(episodes, tmp_path / "set", contract(), stopping=stopping, progress=False)
    assert report.stopped
    assert report.episodes == ["a"]
    assert len(samples(tmp_path / "set")) == 6
    # What a kill would have left: rows of the second episode, saved but not said to be complete.
    meta_file = tmp_path / "set" / "meta.json"
    meta = json.loads(meta_file.read_text())
    for name in ("rgb", "depth", "frames", "samples"):
        path = tmp_path / "set" / f"{name}.bin"
        data = path.read_bytes()
        path.write_bytes(data + data[: len(data) // 6 * 3])
    meta_file.write_text(json.dumps(meta | {"frames": 9, "samples": 9}))
    report = convert(episodes, tmp_path / "set", contract(), progress=False)
    assert (report.already, report.episodes) == (["a"], ["b"])
    assert len(samples(tmp_path / "set")) == 6 + 12
    assert (tmp_path / "set" / "samples.bin").stat().st_size % 18 == 0


def test_a_bad_episode_stops_none_of_the_others(tmp_path: Path) -> None:
    good = write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="good")
    failed = write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="failed", outcome=Outcome.FAILURE)
    blind = write_synthetic_episode(
        tmp_path / "episodes", Scene(duration=0.4, drop=lambda topic, _: "depth" in topic), name="blind"
    )
    other = write_synthetic_episode(
        tmp_path / "episodes", Scene(duration=0.4), name="other", contract=contract(control_period=0.2)
    )
    report = convert([blind, failed, other, good], tmp_path / "set", contract(), progress=False)
    assert report.episodes == ["good"]
    assert set(report.refused) == {"blind", "failed", "other"}
    assert "outcome is 'failure'" in report.refused["failed"]
    assert "none of its 6 images can be used: {'no depth" in report.refused["blind"]
    assert "control_period" in report.refused["other"]
    assert len(samples(tmp_path / "set")) == 6


def test_a_set_of_another_contract_is_refused(tmp_path: Path) -> None:
    episode = write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4))
    convert([episode], tmp_path / "set", contract(), progress=False)
    with pytest.raises(ContractMismatch, match="horizon"):
        convert([episode], tmp_path / "set", contract(horizon=4), progress=False)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="a")
    write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="b", outcome=Outcome.FAILURE)
    write_synthetic_episode(tmp_path / "episodes", Scene(duration=0.4), name="c", outcome=Outcome.DISCARD)
    (tmp_path / "contract.json").write_text(contract().to_json())
    arguments = [
        str(tmp_path / "episodes"),
        "--out",
        str(tmp_path / "set"),
        "--contract",
        str(tmp_path / "contract.json"),
    ]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "6 images of 1 episodes added, 0 there before, 1 refused" in captured.out
    assert "b: its outcome is 'failure'" in captured.err
    assert main([*arguments, "--outcome", "success", "--outcome", "failure"]) == 0
    assert "6 images of 1 episodes added, 1 there before, 0 refused" in capsys.readouterr().out
    assert main([str(tmp_path / "set"), "--out", str(tmp_path / "more")]) == 1
    assert "holds no episode" in capsys.readouterr().err


def test_discarded_episodes_are_not_found(tmp_path: Path) -> None:
    write_synthetic_episode(tmp_path, Scene(duration=0.2), name="kept")
    write_synthetic_episode(tmp_path, Scene(duration=0.2), name="thrown", outcome=Outcome.DISCARD)
    assert [path.name for path in find_episodes([tmp_path, tmp_path / "kept"])] == ["kept"]
    with pytest.raises(DatasetError, match="holds no episode"):
        find_episodes([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("reach the red block", "red_block"),
        ("Put the blue block in the white bowl.", "blue_block"),
        ("put it in the white  bowl", "white_bowl"),
        ("reach the green block", None),
        ("reach the redblock", None),
        ("", None),
    ],
)
def test_words_name_objects(words: str, expected: str | None) -> None:
    assert named_object(words, ["red_block", "blue_block", "white_bowl"]) == expected
    assert named_object(words, []) is None


def test_the_longer_of_two_names_is_meant() -> None:
    assert named_object("take the red block tower", ["red_block", "red_block_tower"]) == "red_block_tower"
