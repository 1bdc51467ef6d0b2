"""Words and what becomes of them: in force with the next inference, and told for every chunk."""

from __future__ import annotations

import math
import threading

import pytest
from graph.fakes import CONTRACT, FakePolicy
from graph.node_rig import Rig, rig

from vipa_msgs.msg import InstructionUse, PolicyStatus
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.observation import Chunk

pytestmark = pytest.mark.graph


class SlowPolicy(FakePolicy):
    """Answers for "reach the red block" only once it is let go on."""

    def __init__(self) -> None:
        super().__init__(CONTRACT)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.asked: list[str] = []

    def predict(self, observation, instruction: str, **options) -> Chunk:
        self.asked.append(instruction)
        if instruction == "reach the red block":
            self.begun.set()
            assert self.go_on.wait(20.0)
        return super().predict(observation, instruction, **options)


def uses(made: Rig) -> list[InstructionUse]:
    return made.world.statuses[-1].history


def test_new_words_drop_the_inference_in_progress_and_are_used_by_the_next_one() -> None:
    policy = SlowPolicy()
    with rig(policy=policy, with_arm=False) as made:
        world = made.world
        world.run(10)
        world.say("reach the red block")
        assert world.run(100, until=policy.begun.is_set)
        world.say("go left")
        assert world.wait(lambda: made.world.statuses[-1].instruction == "go left")
        policy.go_on.set()
        assert world.run(100, until=lambda: len(world.chunks) >= 2)
        assert {chunk.instruction for chunk in world.chunks} == {"go left"}
        # The prediction for the old words was over before: the very next one was for the new ones.
        assert policy.asked[:2] == ["reach the red block", "go left"]


def test_the_status_tells_which_chunks_used_which_words() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(10)
        for words in ("reach the red block", "go left", "stop", "reach the red block"):
            before = len(world.chunks)
            world.say(words)
            if words != "stop":
                assert world.run(100, until=lambda: len(world.chunks) >= before + 3), made.status()  # noqa: B023
            else:
                assert world.run(50, until=lambda: made.status()[0] == PolicyStatus.STOPPED)
        assert world.wait(lambda: len(uses(made)) == 4 and uses(made)[-1].last_chunk > 0)
        told = uses(made)
        assert [use.instruction for use in told] == ["reach the red block", "go left", "stop", "reach the red block"]
        for chunk in world.chunks:
            fitting = [use for use in told if use.first_chunk <= chunk.id <= max(use.last_chunk, use.first_chunk)]
            if chunk.id <= told[-1].first_chunk:
                assert [use.instruction for use in fitting] == [chunk.instruction]
            assert chunk.run == world.statuses[-1].run
        for use in told:
            if use.instruction == "stop":
                assert (use.first_chunk, use.last_chunk) == (0, 0)
                assert math.isnan(use.latency)
                continue
            first = next(chunk for chunk in world.chunks if chunk.id == use.first_chunk)
            assert seconds_of(use.first_published) == pytest.approx(seconds_of(first.timings.published), abs=1e-6)
            assert use.latency == pytest.approx(seconds_of(use.first_published) - seconds_of(use.heard), abs=1e-4)
            assert 0.0 <= use.latency < 0.5


def test_the_status_never_says_that_a_chunk_for_other_words_used_these() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(10)
        world.say("reach the red block")
        assert world.run(100, until=lambda: len(world.chunks) >= 3)
        world.say("go left")
        assert world.run(100, until=lambda: world.chunks[-1].instruction == "go left")
        of_chunk = {chunk.id: chunk.instruction for chunk in world.chunks}
        world.wait(lambda: world.statuses[-1].chunk_id in of_chunk and world.statuses[-1].instruction == "go left")
        for status in world.statuses:
            if status.chunk_id:
                assert of_chunk[status.chunk_id] == status.instruction
        # Between hearing the words and the first chunk for them no chunk had used them.
        assert any(status.instruction == "go left" and status.chunk_id == 0 for status in world.statuses)


def test_two_runs_of_the_node_tell_their_chunks_apart() -> None:
    names = set()
    for _ in range(2):
        with rig(with_arm=False) as made:
            made.world.run(10)
            made.world.say("go left")
            assert made.world.run(100, until=lambda: bool(made.world.chunks))
            assert made.world.chunks[0].id == 1
            names.add(made.world.chunks[0].run)
    assert len(names) == 2
    assert "" not in names
