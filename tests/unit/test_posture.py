"""The watch on joint limits, singularities and joint velocities: when it slows, when it holds, when it lets go."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.control.posture import LEAST_FACTOR, PostureSettings, PostureWatch, Verdict
from vipa_policy.geometry import Array
from vipa_sim.description import robot_description
from vipa_sim.model import HOME

ARM = Kinematics(robot_description(), "fr3_link0", "fr3_hand_tcp")
START = np.array(HOME)
STILL = np.zeros(7)
SINGULAR = np.array([1.63267, 0.0, -1.71476, -0.32967, 0.52135, 2.05541, 2.14795])
PERIOD = 0.05
numbers = st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7).map(np.array)
postures = numbers.map(lambda share: 0.5 * (ARM.lower + ARM.upper) + 0.5 * share * (ARM.upper - ARM.lower))


def at(joint: int, angle: float) -> Array:
    joints = START.copy()
    joints[joint] = angle
    return joints


def moving(joint: int, speed: float) -> Array:
    return speed * np.eye(7)[joint]


def sweep(watch: PostureWatch, values: Array, joint: int = 0, speed: float = 0.0) -> list[Verdict]:
    return [watch.look(at(joint, value), moving(joint, speed), PERIOD * tick) for tick, value in enumerate(values)]


def test_the_home_posture_is_fine() -> None:
    verdict = PostureWatch(ARM).look(START, STILL, 0.0)
    assert (verdict.factor, verdict.hold, verdict.reason) == (1.0, False, "")
    assert verdict.singular_value > 0.1
    assert verdict.margin == pytest.approx(0.727, abs=1e-3)


@pytest.mark.parametrize("joint", range(7))
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_towards_a_limit_it_slows_then_holds_and_says_which(joint: int, side: str) -> None:
    # Of the thresholds, only the margin's may matter here.
    watch = PostureWatch(ARM, PostureSettings(hold_singular_value=0.0, slow_singular_value=1e-9))
    limit, way = (ARM.lower[joint], -1.0) if side == "lower" else (ARM.upper[joint], 1.0)
    verdicts = sweep(watch, limit - way * np.linspace(0.3, 0.0, 61), joint)
    factors = [verdict.factor for verdict in verdicts]
    assert factors[0] == 1.0
    assert factors[-1] == 0.0
    assert all(after <= before for before, after in pairwise(factors))
    slowed = [verdict for verdict in verdicts if 0.0 < verdict.factor < 1.0]
    assert slowed
    for verdict in (slowed[-1], verdicts[-1]):
        assert f"fr3_joint{joint + 1} is" in verdict.reason
        assert f"{side} limit" in verdict.reason
    assert verdicts[-1].hold
    # Of where it was when the hold began, not of where it has got to since.
    assert next(verdict for verdict in verdicts if verdict.hold).reason == verdicts[-1].reason


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_fast_joint_is_stopped_before_a_slow_one(side: str) -> None:
    margins = np.linspace(0.3, 0.0, 121)
    limit, way = (ARM.lower[4], -1.0) if side == "lower" else (ARM.upper[4], 1.0)

    def held_at(speed: float) -> float:
        verdicts = sweep(PostureWatch(ARM), limit - way * margins, 4, way * speed)
        return float(margins[[verdict.hold for verdict in verdicts].index(True)])

    assert held_at(0.0) == pytest.approx(0.04, abs=0.003)
    assert held_at(0.5) == pytest.approx(0.04 + 0.5**2 / 10.0, abs=0.003)


def test_a_hold_ends_only_well_inside() -> None:
    watch = PostureWatch(ARM)
    assert sweep(watch, ARM.upper[0] - np.linspace(0.2, 0.03, 20))[-1].hold
    trembling = sweep(watch, ARM.upper[0] - 0.04 + 0.01 * (-1.0) ** np.arange(30))
    assert all(verdict.hold for verdict in trembling)
    back = sweep(watch, ARM.upper[0] - np.linspace(0.04, 0.3, 53))
    changes = sum(before.hold != after.hold for before, after in pairwise(back))
    assert changes == 1
    released = next(verdict for verdict in back if not verdict.hold)
    assert released.margin == pytest.approx(0.04 + 0.3 * 0.11, abs=0.006)
    assert back[-1].reason == ""


def test_slowing_ends_only_a_little_beyond_where_it_began() -> None:
    watch = PostureWatch(ARM)
    assert "slower" in sweep(watch, ARM.upper[0] - np.linspace(0.2, 0.149, 10))[-1].reason
    trembling = sweep(watch, ARM.upper[0] - 0.153 + 0.004 * (-1.0) ** np.arange(30))
    assert all("slower" in verdict.reason for verdict in trembling)
    assert sweep(watch, ARM.upper[0] - np.linspace(0.153, 0.17, 10))[-1].reason == ""


def test_after_a_reset_a_verdict_depends_on_its_measurement_alone() -> None:
    watch = PostureWatch(ARM)
    near = at(0, ARM.upper[0] - 0.06)
    assert watch.look(START, STILL, 0.0).factor == 1.0
    assert watch.look(near, STILL, PERIOD).factor > 0.5  # the pace bends, it does not jump
    watch.reset()
    assert watch.look(near, STILL, 2 * PERIOD) == PostureWatch(ARM).look(near, STILL, 0.0)
    watch.look(at(0, ARM.upper[0] - 0.01), STILL, 3 * PERIOD)
    watch.reset()
    assert watch.look(START, STILL, 4 * PERIOD).factor == 1.0


def test_easing_tells_that_the_arm_leaves() -> None:
    watch = PostureWatch(ARM)
    joints = at(0, ARM.upper[0] - 0.02)
    assert not watch.look(joints, STILL, 0.0).easing
    assert not watch.look(joints, moving(0, 0.1), 0.05).easing
    leaving = watch.look(joints, moving(0, -0.1), 0.1)
    assert leaving.hold
    assert leaving.easing


def test_towards_a_singularity_it_slows_then_holds_then_eases() -> None:
    watch = PostureWatch(ARM, PostureSettings(hold_velocity=1.5, slow_velocity=1.4))
    way = SINGULAR - START
    shares = np.concatenate([np.linspace(0.0, 1.0, 101), np.linspace(0.99, 0.5, 50)])
    verdicts = [
        watch.look(START + share * way, (0.2 if tick < 101 else -0.2) * way, PERIOD * tick)
        for tick, share in enumerate(shares)
    ]
    assert any(0.0 < verdict.factor < 1.0 for verdict in verdicts[:101])
    assert verdicts[100].hold
    assert "singularity" in verdicts[100].reason
    assert not verdicts[95].easing
    assert verdicts[105].easing
    assert not verdicts[-1].hold


def test_a_joint_near_its_velocity_limit_is_slowed_and_one_at_it_held() -> None:
    watch = PostureWatch(ARM)
    middle = 0.5 * (ARM.lower + ARM.upper)
    middle[1] = -0.5
    assert watch.look(middle, moving(0, 0.6 * 2.62), 0.0).factor == 1.0
    slowed = watch.look(middle, moving(0, 0.8 * 2.62), 0.05)
    assert slowed.factor < 1.0
    assert "fr3_joint1 moves at 80%" in slowed.reason
    held = watch.look(middle, moving(0, 1.0 * 2.62), 0.1)
    assert held.hold
    assert held.velocity_share == pytest.approx(1.0)


def test_slowing_for_velocity_settles_where_the_joint_is_fast_enough() -> None:
    """In the loop: the joint moves at 90 % of its limit times the factor that was told."""
    watch = PostureWatch(ARM)
    middle = 0.5 * (ARM.lower + ARM.upper)
    middle[1] = -0.5
    factor, factors = 1.0, []
    for tick in range(200):
        factor = watch.look(middle, moving(0, 0.9 * 2.62 * factor), PERIOD * tick).factor
        factors.append(factor)
    assert factors[-1] == pytest.approx(0.7 / 0.9, abs=0.02)
    assert np.ptp(factors[-40:]) < 0.02


@given(st.lists(st.tuples(postures, numbers), min_size=2, max_size=8))
@settings(max_examples=40, deadline=None)
def test_whatever_is_measured_the_verdict_is_consistent(measurements: list[tuple[Array, Array]]) -> None:
    watch = PostureWatch(ARM)
    before: float | None = None
    for tick, (joints, share) in enumerate(measurements):
        verdict = watch.look(joints, 3.0 * share, PERIOD * tick)
        assert verdict.hold == (verdict.factor == 0.0)
        assert verdict.hold or LEAST_FACTOR <= verdict.factor <= 1.0 or (before == 0.0 and verdict.factor > 0.0)
        if verdict.hold or (verdict.factor < 1.0 and before is None):
            assert verdict.reason
        if before is not None:
            assert verdict.factor <= before + 1.0 * PERIOD + 1e-9
            assert verdict.hold or verdict.factor >= before - 4.0 * PERIOD - 1e-9
        assert verdict.margin == pytest.approx(float(np.minimum(joints - ARM.lower, ARM.upper - joints).min()))
        if verdict.margin < 0.04 or verdict.singular_value < 0.015:
            assert verdict.hold
        before = verdict.factor


@pytest.mark.parametrize("joints", [np.zeros(3), np.full(7, np.nan)])
def test_what_is_no_measurement_holds(joints: Array) -> None:
    watch = PostureWatch(ARM)
    verdict = watch.look(joints, np.zeros(len(joints)), 0.0)
    assert verdict.hold
    assert "joint states cannot be used" in verdict.reason
    assert watch.look(START, np.full(7, np.inf), 0.1).hold
    assert not watch.look(START, STILL, 0.2).hold


def test_reset_forgets() -> None:
    watch = PostureWatch(ARM)
    assert watch.look(at(0, ARM.upper[0] - 0.01), STILL, 0.0).hold
    watch.reset()
    assert watch.look(START, STILL, 0.05).factor == 1.0


@pytest.mark.parametrize(
    "values",
    [
        {"hold_margin": 0.2},
        {"hold_singular_value": 0.05},
        {"slow_velocity": 1.0},
        {"hold_margin": -0.1},
        {"braking": 0.0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PostureSettings(**values)
