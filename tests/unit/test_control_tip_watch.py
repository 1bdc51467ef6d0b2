"""A jump of TF is no motion; a pushed arm, noise and a silence are no jumps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.control.limits import Limits
from vipa_policy.control.tip_watch import TipWatch
from vipa_policy.geometry import Array

LOOK = 0.05


def pose(x: float, angle: float = 0.0) -> Array:
    made = np.eye(4)
    made[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    made[0, 3] = x
    return made


@given(st.floats(-0.4, 0.4), st.floats(-0.02, 0.02))
def test_a_motion_that_an_arm_can_do_is_believed(speed: float, noise: float) -> None:
    watch = TipWatch(Limits())
    for look in range(40):
        shaken = noise if look % 2 else 0.0
        assert watch.look(pose(speed * LOOK * look + 0.4 * shaken), LOOK * look) == ""


@pytest.mark.parametrize("there", [pose(0.15), pose(-0.06), pose(0.0, 0.5)])
def test_a_jump_is_not_believed_until_it_is_undone(there: Array) -> None:
    watch = TipWatch(Limits())
    assert watch.look(pose(0.0), 1.0) == ""
    for look in range(1, 200):
        assert "jumped" in watch.look(there, 1.0 + LOOK * look)
    assert watch.look(pose(0.001), 1.0 + LOOK * 200) == ""


def test_an_arm_that_braked_while_tf_was_wrong_is_found_by_its_command() -> None:
    watch = TipWatch(Limits())
    watch.look(pose(0.0), 1.0)
    assert "jumped" in watch.look(pose(0.15), 1.05, pose(0.01))
    assert "jumped" in watch.look(pose(0.21), 1.1, pose(0.06))
    assert watch.look(pose(0.06), 1.15, pose(0.065)) == ""


def test_a_jump_is_believed_on_somebody_s_word() -> None:
    watch = TipWatch(Limits())
    watch.look(pose(0.0), 1.0)
    assert "jumped 0.150 m and 0.00 rad within 0.05 s" in watch.look(pose(0.15), 1.05)
    watch.believe(pose(0.15), 1.05)
    assert watch.look(pose(0.151), 1.1) == ""


def test_an_arm_that_was_moved_while_tf_was_silent_is_believed() -> None:
    watch = TipWatch(Limits())
    watch.look(pose(0.0), 1.0)
    assert watch.look(pose(0.15), 1.5) == ""
