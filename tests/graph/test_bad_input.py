"""Bad input while the arm moves: it brakes to a hold that names the reason, nothing crashes, mended input resumes.

docs/faults.md lists every kind of bad input with the test that shows it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from graph.fakes import FakePolicy
from graph.node_rig import rig

from vipa_msgs.msg import PolicyStatus
from vipa_policy.model.vocabulary import TaskTemplate, Vocabulary
from vipa_policy.nodes.policy_node import load

pytestmark = pytest.mark.graph


class FakePolicyWithVocabulary(FakePolicy):
    """Refuses words as a checkpoint does."""

    def __init__(self) -> None:
        super().__init__()
        template = TaskTemplate("reach", "reach the {colour} block", {"colour": ("red", "green")})
        self._vocabulary = Vocabulary.build([template])

    def check_instruction(self, text: str) -> None:
        self._vocabulary.check(text)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"depth"}, "no depth of camera scene"),
        ({"info"}, "depth without CameraInfo"),
        ({"joints"}, "no joint states"),
        ({"nan"}, "expected depth"),
        ({"size"}, "expected an image of 64 x 48 pixels"),
        ({"future tf"}, "in the future"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, set) else None,
)
def test_a_moving_arm_holds_with_the_reason_and_goes_on_once_it_is_mended(broken: set[str], words: str) -> None:
    with rig() as made:
        world = made.world
        made.start_moving()
        world.broken = broken
        assert world.run(150, until=made.holding), world.health
        reasons = {state.hold_reason for state in world.states[-10:]} | {world.health["arm"], world.health["policy"]}
        assert any(words in reason for reason in reasons), reasons
        place = world.base_from_tip[:3, 3].copy()
        world.run(40)
        assert abs(world.base_from_tip[:3, 3] - place).max() < 1e-3
        world.broken = set()
        assert world.run(250, until=made.following), world.health


def test_a_colour_it_does_not_know_holds_a_moving_arm_and_is_named_with_those_it_knows() -> None:
    with rig(policy=FakePolicyWithVocabulary()) as made:
        world = made.world
        made.start_moving()
        world.say("reach the mauve block")
        assert world.run(100, until=made.holding), world.health
        state, reason = made.status()
        assert state == PolicyStatus.REFUSED
        for told in (reason, world.states[-1].hold_reason, world.health["policy"]):
            assert "does not know the word 'mauve' in 'reach the mauve block'" in told
            assert "colour: red green" in told
        world.say("reach the red block")
        assert world.run(100, until=made.following), world.health


def test_without_a_checkpoint_the_arm_stays_where_it_is(tmp_path: Path) -> None:
    with rig(loader=load, policy_configures=False, checkpoint=str(tmp_path / "nowhere")) as made:
        world = made.world
        world.run(30)
        world.say("reach the red block")
        world.run(60)
        assert world.targets == []
        assert made.status()[0] == PolicyStatus.FAILED
        assert "expected a checkpoint folder at" in made.status()[1]
        assert "training/finetune.py" in world.health["policy"]
