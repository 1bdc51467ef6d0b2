"""In-painting: frozen rows come out as they were given, whatever the cameras did; rows nobody knows stay free."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.small_network import make_observation

from vipa_policy import geometry
from vipa_policy.errors import ContractMismatch, ObservationError
from vipa_policy.model.inpainting import Guidance, guide, soft_weights
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.policy import VipaPolicy, measured_state
from vipa_policy.observation import CommittedTail
from vipa_policy.presets import franka_contract

CONTRACT = franka_contract(image_size=64)
PERIOD = CONTRACT.control_period
STAMP = 12.5  # of make_observation
WORDS = "reach the red block"


def rigid(seed):
    random = np.random.default_rng(seed)
    return geometry.transform(random.uniform(-0.4, 0.4, 3), random.normal(size=4))


def tail_of(rows=10, seed=0, first=0.0, delay=3.0, camera_from_base=None, contract=CONTRACT):
    """A smooth motion; the first row due ``first`` periods after the new chunk's first, ``delay`` rows frozen."""
    random = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, :3, 3] = 0.3 + np.cumsum(random.uniform(-0.01, 0.01, (rows, 3)), axis=0)
    turns = np.cumsum(random.uniform(-0.05, 0.05, (rows, 3)), axis=0)
    poses[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
    return CommittedTail(
        contract,
        poses,
        random.uniform(0.0, 0.08, rows),
        STAMP + (1 + first) * PERIOD,
        STAMP + delay * PERIOD,
        rigid(seed + 1) if camera_from_base is None else camera_from_base,
    )


def fitted(seed=3):
    """Statistics unlike the identity, so that a forgotten normalisation shows."""
    generator = torch.Generator().manual_seed(seed)
    normalisation = Normalisation(CONTRACT.horizon)
    normalisation.action_mean.copy_(0.1 * torch.randn(16, 10, generator=generator))
    normalisation.action_deviation.copy_(0.05 + torch.rand(16, 10, generator=generator))
    return normalisation


@pytest.fixture
def policy(checkpoint):
    """A policy whose head answers something (a new one starts at zero)."""
    generator = torch.Generator().manual_seed(5)
    head = checkpoint.network.head
    for parameter in head.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    checkpoint.network.normalisation.load_state_dict(fitted().state_dict())
    return VipaPolicy(checkpoint, torch.device("cpu"), "test")


def in_base(chunk, tail):
    return geometry.inverse(tail.camera_from_base) @ chunk.camera_from_tip


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_frozen_rows_are_reproduced_and_the_rest_is_not(policy, steps):
    tail = tail_of(rows=8, delay=4)
    chunk = policy.predict(make_observation(), WORDS, committed=tail, seed=1, flow_steps=steps)
    assert np.allclose(in_base(chunk, tail)[:4], tail.base_from_tip[:4], atol=2e-6)
    assert np.allclose(chunk.gripper[:4], tail.gripper[:4], atol=2e-6)
    free = policy.predict(make_observation(), WORDS, seed=1, flow_steps=steps)
    apart = np.linalg.norm(in_base(chunk, tail)[:8, :3, 3] - tail.base_from_tip[:, :3, 3], axis=1)
    before = np.linalg.norm(in_base(free, tail)[:8, :3, 3] - tail.base_from_tip[:, :3, 3], axis=1)
    assert np.all(before > 0.01)
    assert np.all(apart[4:] > 1e-4)
    assert np.all(apart[4:] < before[4:])


def test_rows_beyond_the_tail_are_drawn_to_nothing(policy):
    """One Euler step: no row has seen a guided neighbour yet, so rows without a weight are those of a free chunk."""
    free = policy.predict(make_observation(), WORDS, seed=1, flow_steps=1)
    chunk = policy.predict(make_observation(), WORDS, seed=1, flow_steps=1, committed=tail_of(rows=6))
    assert np.allclose(chunk.camera_from_tip[6:], free.camera_from_tip[6:], atol=1e-6)
    assert not np.allclose(chunk.camera_from_tip[5], free.camera_from_tip[5], atol=1e-4)


def test_rows_that_follow_see_what_was_frozen(policy):
    near = policy.predict(make_observation(), WORDS, seed=1, committed=tail_of(rows=4, delay=4))
    free = policy.predict(make_observation(), WORDS, seed=1)
    assert not np.allclose(near.camera_from_tip[4:], free.camera_from_tip[4:], atol=1e-5)


def test_the_same_seed_gives_the_same_chunk(policy):
    first, again = (policy.predict(make_observation(), WORDS, seed=4, committed=tail_of()) for _ in range(2))
    assert np.array_equal(first.camera_from_tip, again.camera_from_tip)


@settings(max_examples=25, deadline=None)
@given(camera=st.integers(0, 10**6), rows=st.integers(1, 40), delay=st.integers(0, 16))
def test_the_tail_stays_where_it_is_in_the_base_frame_however_the_camera_moved(camera, rows, delay):
    """Shorter and longer than the horizon: what is known of it comes back, in base coordinates."""
    moved = rigid(camera)
    tail = tail_of(rows=rows, delay=delay, camera_from_base=moved)
    normalisation, state = fitted(), measured_state(rigid(camera + 1), 0.03)
    found = guide(tail, STAMP, state, CONTRACT, normalisation)
    assert found is not None
    count = min(rows, 16)
    given_back = normalisation.metric(found.action, torch.from_numpy(state.astype(np.float32))).double().numpy()
    rotations = geometry.rotation_from_6d(given_back[:count, 3:9])
    base = geometry.inverse(moved)
    assert np.allclose(
        given_back[:count, :3] @ base[:3, :3].T + base[:3, 3], tail.base_from_tip[:count, :3, 3], atol=3e-6
    )
    assert np.allclose(base[:3, :3] @ rotations, tail.base_from_tip[:count, :3, :3], atol=3e-6)
    assert np.allclose(given_back[:count, 9], tail.gripper[:count], atol=1e-6)
    assert found.frozen == min(delay, count)
    assert torch.all(found.weights[count:] == 0)


@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
def test_between_rows_the_tail_is_read_at_the_new_rows_times(fraction, seed):
    """Captures fall anywhere between two rows of the chunk in force; an even motion is read off exactly."""
    random = np.random.default_rng(seed)
    step, turn = random.uniform(-0.01, 0.01, 3), random.uniform(-0.1, 0.1, 3)
    tail = tail_of(rows=12, first=fraction, camera_from_base=np.eye(4))
    tail.base_from_tip[:, :3, 3] = np.arange(12)[:, None] * step
    tail.base_from_tip[:, :3, :3] = Rotation.from_rotvec(np.arange(12)[:, None] * turn).as_matrix()
    normalisation, state = fitted(), measured_state(rigid(1), 0.03)
    found = guide(tail, STAMP, state, CONTRACT, normalisation)
    assert found is not None
    rows = normalisation.metric(found.action, torch.from_numpy(state.astype(np.float32))).double().numpy()
    for row in range(12):
        place = row - fraction  # from one period before the tail's first row on
        assert np.allclose(rows[row, :3], place * step, atol=2e-6)
        expected = Rotation.from_rotvec(place * turn).as_matrix()
        assert np.allclose(rows[row, 3:9], geometry.rotation_to_6d(expected), atol=2e-6)
        assert (found.weights[row] > 0) == (row < 8)


@settings(max_examples=50, deadline=None)
@given(begin=st.integers(0, 15), known=st.integers(0, 16), delay=st.integers(0, 16))
def test_weights_are_one_while_frozen_then_fall_and_end_with_what_is_known_or_half_the_chunk(begin, known, delay):
    rows = np.arange(16)
    knows = (rows >= begin) & (rows < begin + known)
    weights = soft_weights(knows, rows < delay)
    drawn = knows & (rows < max(8, delay))
    assert np.all((weights > 0) == drawn)
    assert np.all(weights[knows & (rows < delay)] == 1.0)
    soft = weights[drawn & (rows >= delay)]
    assert np.all(soft < 1.0)
    assert np.all(np.diff(soft) < 0)


def test_no_delay_freezes_nothing_and_still_guides():
    found = guide(tail_of(delay=0), STAMP, measured_state(rigid(1), 0.03), CONTRACT, fitted())
    assert found is not None
    assert found.frozen == 0
    assert found.weights[0] > 0.5


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_guidance_is_that_of_real_time_chunking_for_actions_of_unit_deviation(tau):
    """Equations 2 to 4 of arXiv 2506.07339 by automatic differentiation, with the exact denoiser of a unit Gaussian."""
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, 16, 10, generator=generator, requires_grad=True)
    given = torch.randn(16, 10, generator=generator)
    weights = torch.rand(16, 1, generator=generator)
    spread = tau**2 + (1 - tau) ** 2
    action = noisy * tau / spread
    velocity = (action - noisy) / (1 - tau)
    (product,) = torch.autograd.grad(action, noisy, weights * (given - action).detach())
    expected = velocity + (spread / (tau * (1 - tau))) * product
    ours = (Guidance(given, weights)(action) - noisy) / (1 - tau)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_a_tail_of_the_past_or_the_far_future_and_an_empty_one_guide_nothing(policy):
    free = policy.predict(make_observation(), WORDS, seed=1)
    for tail in (tail_of(rows=3, first=-10), tail_of(rows=3, first=30), tail_of(rows=0)):
        assert guide(tail, STAMP, measured_state(rigid(1), 0.03), CONTRACT, fitted()) is None
        chunk = policy.predict(make_observation(), WORDS, seed=1, committed=tail)
        assert np.array_equal(chunk.camera_from_tip, free.camera_from_tip)


def test_a_tail_of_another_contract_is_refused_with_both_sides_named(policy):
    other = dataclasses.replace(CONTRACT, control_period=0.05, tip_frame="fr3_hand")
    with pytest.raises(ContractMismatch, match=r"the policy and the committed tail.*fr3_hand"):
        policy.predict(make_observation(), WORDS, committed=tail_of(contract=other))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_from_tip": np.full((10, 4, 4), np.nan)}, "finite poses"),
        ({"gripper": np.full(10, np.nan)}, "NaN or infinity"),
        ({"base_from_tip": np.zeros((10, 4, 4))}, "none in row 0"),
        ({"gripper": np.zeros(3)}, r"gripper widths \(rows,\)"),
        ({"first_due": float("nan")}, "finite times"),
        ({"frozen_until": float("inf")}, "finite times"),
        ({"camera_from_base": np.zeros((4, 4))}, "camera_from_base"),
    ],
)
def test_a_malformed_tail_is_refused(policy, changes, words):
    with pytest.raises(ObservationError, match=words):
        policy.predict(make_observation(), WORDS, committed=dataclasses.replace(tail_of(), **changes))
