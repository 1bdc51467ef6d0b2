"""In-painting in the graph: the policy is told what the arm goes on with, in place and time, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from graph.fakes import BASE_FROM_CAMERA, CONTRACT
from graph.node_rig import Rig, rig

from vipa_policy import geometry
from vipa_policy.nodes.conversions import matrix_from_pose, seconds_of
from vipa_policy.observation import CommittedTail

pytestmark = pytest.mark.graph


def check_tail(made: Rig, tail: CommittedTail) -> None:
    """Check that a tail is the end of a published chunk: as many rows, the same goal, due when they should be.

    Earlier rows carry what is left of the gap at the seam, and are due later where limits slow the arm down.
    """
    first = CONTRACT.horizon - len(tail.base_from_tip)
    late = []
    for chunk in made.world.chunks:
        rows = BASE_FROM_CAMERA @ np.stack([matrix_from_pose(pose) for pose in chunk.poses[first:]])
        if np.allclose(rows[-1], tail.base_from_tip[-1], atol=1e-3) and np.allclose(rows, tail.base_from_tip, atol=0.1):
            due = seconds_of(chunk.header.stamp) + (first + 1) * CONTRACT.control_period
            late.append(tail.first_due - due)
    assert late, f"no published chunk ends in these {len(tail.base_from_tip)} rows"
    assert any(-1e-6 <= one < 3 * CONTRACT.control_period for one in late), late


def test_the_policy_is_given_the_rows_the_arm_still_follows() -> None:
    with rig(inpainting=True) as made:
        made.start_moving()
        assert made.policy.committed[0] is None  # the arm followed nothing yet
        seen = zip(made.policy.observations, made.policy.committed, strict=True)
        tails = [(observation.stamp, tail) for observation, tail in seen if tail is not None]
        assert len(tails) >= 3
        for stamp, tail in tails:
            check_tail(made, tail)
            assert len(tail.base_from_tip) >= CONTRACT.horizon - 6
            assert tail.contract == CONTRACT
            assert tail.gripper == pytest.approx(0.08)
            assert abs(tail.first_due - stamp) < 2 * CONTRACT.control_period
            assert stamp <= tail.frozen_until < stamp + 1.0
            assert np.allclose(tail.camera_from_base, geometry.inverse(BASE_FROM_CAMERA), atol=1e-6)


def test_what_was_begun_for_other_words_is_nothing_to_go_on_with() -> None:
    with rig(inpainting=True) as made:
        made.start_moving()
        count = len(made.world.chunks)
        assert made.policy.committed[-1] is not None
        made.world.say("go left")
        assert made.world.run(100, until=lambda: any(c.instruction == "go left" for c in made.world.chunks[count:]))
        first = next(i for i, chunk in enumerate(made.world.chunks) if chunk.instruction == "go left")
        stamp = seconds_of(made.world.chunks[first].header.stamp)
        index = next(i for i, seen in enumerate(made.policy.observations) if abs(seen.stamp - stamp) < 1e-6)
        assert made.policy.committed[index] is None
        assert made.world.run(60, until=lambda: made.policy.committed[-1] is not None)


def test_without_the_parameter_nothing_is_committed() -> None:
    with rig() as made:
        made.start_moving()
        assert set(made.policy.committed) == {None}
