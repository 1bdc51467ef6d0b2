"""The policy node with real messages: every bad input has a clear reason, nothing is predicted from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graph.fakes import BASE_FROM_CAMERA, CONTRACT, START, FakePolicy
from graph.node_rig import Rig, rig

from vipa_msgs.msg import PolicyStatus
from vipa_policy.contract import ActionContract, CameraSpec
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.policy_interface import Loading

pytestmark = pytest.mark.graph


def test_words_and_a_whole_observation_make_chunks_of_that_instant() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(20)
        assert made.status()[0] == PolicyStatus.WAITING
        world.say("Reach  the red block.")
        assert world.run(200, until=lambda: len(world.chunks) >= 3)
        chunk = world.chunks[-1]
        assert made.status() == (PolicyStatus.RUNNING, "")
        assert chunk.instruction == "reach the red block"
        assert chunk.header.frame_id == "camera_color_optical_frame"
        assert len(chunk.poses) == CONTRACT.horizon
        assert [one.id for one in world.chunks] == list(range(1, len(world.chunks) + 1))
        stamps = [seconds_of(one.header.stamp) for one in world.chunks]
        assert stamps == sorted(set(stamps))
        assert chunk.timings.captured == chunk.header.stamp
        assert chunk.timings.skew <= 0.02
        seen = made.policy.observations[-1]
        assert seen.gripper_width == pytest.approx(0.05)
        assert seen.views[0].depth.dtype == np.float32
        assert seen.views[0].depth[0, 0] == pytest.approx(0.8)


def test_tip_pose_is_taken_at_the_image_stamp() -> None:
    """The tip moves 1 mm a step; the observation must hold where it was at the image, to the step."""
    with rig(with_arm=False) as made:
        world = made.world
        places: dict[int, float] = {}
        world.run(10)
        world.say("reach the red block")
        for _ in range(60):
            world.base_from_tip = START.copy()
            world.base_from_tip[0, 3] += 0.001 * (world.steps + 1)
            places[world.steps + 1] = world.base_from_tip[0, 3]
            world.run(1)
        assert world.wait(lambda: len(made.policy.observations) >= 4)
        for seen in [one for one in made.policy.observations if round(one.stamp / 0.01) in places]:
            base_from_tip = BASE_FROM_CAMERA @ seen.camera_from_tip
            assert base_from_tip[0, 3] == pytest.approx(places[round(seen.stamp / 0.01)], abs=1e-6)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"colour", "depth", "info"}, "no colour of camera scene"),
        ({"depth"}, "no depth of camera scene"),
        ({"info"}, "depth without CameraInfo"),
        ({"joints"}, "no joint states"),
        ({"tf"}, "TF from fr3_hand_tcp to camera_color_optical_frame at the image's stamp is missing"),
        ({"future tf"}, "in the future"),
        ({"nan"}, "expected depth"),
        ({"size"}, "expected an image of 64 x 48 pixels"),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else None,
)
def test_from_the_start_a_broken_input_means_no_inference_and_a_reason(broken: set[str], words: str) -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.broken = broken
        world.run(30)
        world.say("reach the red block")
        world.run(30)
        assert world.run(100, until=lambda: words in made.status()[1]), made.status()
        assert made.status()[0] == PolicyStatus.NO_OBSERVATION
        assert world.wait(lambda: words in world.health["policy"]), world.health
        assert world.chunks == []
        world.broken = set()
        assert world.run(200, until=lambda: len(world.chunks) > 0), made.status()
        assert made.status()[0] == PolicyStatus.RUNNING


def test_a_lost_camera_is_told_within_150_ms_and_no_old_image_is_used() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(10)
        world.say("reach the red block")
        assert world.run(200, until=lambda: len(world.chunks) >= 3)
        world.broken = {"colour", "depth", "info"}
        lost = seconds_of(world.chunks[-1].header.stamp)
        assert world.run(60, until=lambda: made.status()[0] == PolicyStatus.NO_OBSERVATION)
        assert seconds_of(world.statuses[-1].header.stamp) - lost <= 0.15
        assert "no colour of camera scene: nothing for" in made.status()[1]
        count = len(world.chunks)
        world.run(40)
        assert len(world.chunks) == count


def test_unknown_words_are_refused_with_the_library_s_message() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(10)
        world.say("juggle the red block")
        assert world.run(100, until=lambda: made.status()[0] == PolicyStatus.REFUSED)
        assert "unknown words in 'juggle the red block'" in made.status()[1]
        world.run(30)
        assert world.chunks == []
        world.say("reach the red block")
        assert world.run(100, until=lambda: len(world.chunks) > 0)


def test_a_stop_latches_against_repeats_of_the_words() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(10)
        world.say("reach the red block")
        assert world.run(100, until=lambda: len(world.chunks) > 0)
        world.say("")
        assert world.run(50, until=lambda: made.status()[0] == PolicyStatus.STOPPED)
        count = len(world.chunks)
        for _ in range(3):
            world.say("reach the red block")
            world.say("stop")
            world.run(20)
        assert made.status()[0] == PolicyStatus.STOPPED
        assert len(world.chunks) == count
        world.say("go left")
        assert world.run(100, until=lambda: len(world.chunks) > count)
        assert world.chunks[-1].instruction == "go left"


def test_a_model_that_fails_is_told_and_tried_again() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        made.policy.fail = True
        world.run(10)
        world.say("reach the red block")
        assert world.run(100, until=lambda: made.status()[0] == PolicyStatus.FAILED)
        assert "out of memory" in made.status()[1]
        made.policy.fail = False
        assert world.run(100, until=lambda: made.status()[0] == PolicyStatus.RUNNING)


def expect_unconfigured(made: Rig, words: str) -> None:
    assert made.world.wait(lambda: bool(made.world.statuses))
    state, reason = made.status()
    assert state == PolicyStatus.FAILED
    assert words in reason
    made.world.say("reach the red block")
    made.world.run(20)  # the node is alive: its clock follows, or this fails
    assert made.world.chunks == []


def test_a_missing_checkpoint_leaves_the_node_up_and_says_so(tmp_path: Path) -> None:
    from vipa_policy.nodes.policy_node import load

    with rig(loader=load, with_arm=False, checkpoint=str(tmp_path / "nowhere")) as made:
        expect_unconfigured(made, "nowhere")


def test_a_checkpoint_that_was_cut_short_leaves_the_node_up_and_says_so(tmp_path: Path) -> None:
    from vipa_policy.nodes.policy_node import load

    whole = Path(__file__).parents[2] / "models" / "vipa-tiny"
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in whole.glob("*") if whole.is_dir() else ():
        content = file.read_bytes()
        cut.joinpath(file.name).write_bytes(content[: len(content) // 2] if "safetensors" in file.name else content)
    if not whole.is_dir():
        cut.joinpath("model.safetensors").write_bytes(b"\x10\x00")
    with rig(loader=load, with_arm=False, checkpoint=str(cut)) as made:
        expect_unconfigured(made, "cut")


def test_how_the_network_runs_reaches_what_loads_it() -> None:
    asked: list[Loading] = []

    def note(wanted: Loading) -> FakePolicy:
        asked.append(wanted)
        return FakePolicy()

    with rig(loader=note, with_arm=False, precision="bf16", compile=True, threads=2, embodiment="left", device="cpu"):
        assert asked == [Loading("vipa-tiny", "cpu", 2, "bf16", True, "left")]


def test_a_precision_there_is_not_is_refused_with_those_there_are() -> None:
    from vipa_policy.nodes.policy_node import load

    golden = Path(__file__).parents[1] / "data" / "golden" / "version_1"
    with rig(loader=load, with_arm=False, checkpoint=str(golden), precision="int3") as made:
        expect_unconfigured(made, "int3")


def test_a_device_that_runs_out_of_memory_leaves_the_node_up_and_says_so() -> None:
    def fail(wanted: Loading) -> FakePolicy:
        raise RuntimeError("CUDA out of memory")

    with rig(loader=fail, with_arm=False) as made:
        expect_unconfigured(made, "RuntimeError: CUDA out of memory")


def test_a_contract_with_a_camera_nobody_publishes_is_refused_with_both_sides_named() -> None:
    contract = ActionContract.from_dict(
        {
            **CONTRACT.to_dict(),
            "cameras": [dataclasses.asdict(c) for c in (*CONTRACT.cameras, CameraSpec("left", 8, 8))],
        }
    )
    with rig(policy=FakePolicy(contract), with_arm=False) as made:
        expect_unconfigured(made, "the checkpoint wants ['scene', 'left'], the policy node has topics for")
