"""The action head whatever its weights: shapes, masks, types, gradients, times; its parts make up the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.errors import CheckpointError, ContractMismatch
from vipa_policy.model.config import HeadConfig
from vipa_policy.model.head import ActionHead, draw_times, time_features

HORIZON, STATE, TOKENS, COUNT = 5, 10, 3, 4


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = ActionHead(HeadConfig(width=32, layers=4, heads=2), HORIZON, STATE)
    for name, parameter in head.named_parameters():  # what starts at zero would hide what it multiplies
        if "modulation" in name or "action_out" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return head


def inputs(dtype=torch.float32, count=COUNT):
    generator = torch.Generator().manual_seed(1)
    shapes = {"noisy": (count, HORIZON, 10), "state": (count, STATE), "condition": (count, TOKENS, 32)}
    values = {name: torch.randn(*shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    return values | {"tau": torch.linspace(0.0, 0.9, count)}


@pytest.mark.parametrize("count", [1, 4])
def test_shapes_and_parts_make_up_the_whole(head, count):
    given_ = inputs(count=count)
    whole = head(**given_)
    assert whole.shape == given_["noisy"].shape
    cache = head.condition_cache(given_["condition"])
    assert [key.shape for key, _ in cache] == [(count, 2, TOKENS, 16)] * 2  # every other block attends to it
    modulations = head.modulations(given_["tau"])
    assert len(modulations) == 4
    parts = head.denoise(given_["noisy"], head.state_token(given_["state"]), modulations, cache)
    assert torch.equal(parts, whole)


def test_one_time_serves_all_chunks(head):
    given_ = inputs() | {"tau": torch.full((COUNT,), 0.5)}
    token, cache = head.state_token(given_["state"]), head.condition_cache(given_["condition"])
    once = head.denoise(given_["noisy"], token, head.modulations(torch.tensor([0.5])), cache)
    assert torch.allclose(once, head(**given_), atol=1e-6)


@pytest.mark.parametrize("name", ["noisy", "state", "condition", "tau"])
def test_every_input_matters_and_chunks_do_not_see_each_other(head, name):
    given_ = inputs()
    changed = {key: value.clone() for key, value in given_.items()}
    changed[name][1] += 0.05
    before, after = head(**given_), head(**changed)
    assert not torch.allclose(before[1], after[1], atol=1e-4)
    others = [0, 2, 3]
    assert torch.allclose(before[others], after[others], atol=1e-6)


def test_rows_see_each_other_and_know_their_place(head):
    given_ = inputs()
    changed = given_ | {"noisy": given_["noisy"].clone()}
    changed["noisy"][:, -1] += 1.0
    assert not torch.allclose(head(**given_)[:, 0], head(**changed)[:, 0], atol=1e-4)
    reversed_ = given_ | {"noisy": given_["noisy"].flip(1)}
    assert not torch.allclose(head(**reversed_).flip(1), head(**given_), atol=1e-4)


def test_masked_condition_tokens_are_as_if_they_were_not_there(head):
    given_ = inputs()
    mask = torch.tensor([[True, True, False]]).expand(COUNT, -1)
    spoiled = given_ | {"condition": given_["condition"].clone()}
    spoiled["condition"][:, 2] = 100.0
    shorter = given_ | {"condition": given_["condition"][:, :2]}
    masked = head(**spoiled, condition_mask=mask)
    assert torch.allclose(masked, head(**shorter), atol=1e-5)
    assert not torch.allclose(masked, head(**given_), atol=1e-4)
    assert torch.allclose(head(**given_, condition_mask=torch.ones_like(mask)), head(**given_), atol=1e-6)
    noise = given_["noisy"]
    sampled = head.sample(noise, spoiled["state"], spoiled["condition"], 3, mask)
    assert torch.allclose(sampled, head.sample(noise, shorter["state"], shorter["condition"], 3), atol=1e-5)


def test_sampling_is_euler_steps_from_noise_at_zero(head):
    """The velocity is (action - a_tau) / (1 - tau); K steps of 1 / K each."""
    given_ = inputs()
    for steps in (1, 4, 7):
        noisy = given_["noisy"]
        for index in range(steps):
            tau = torch.full((COUNT,), index / steps)
            velocity = (head(noisy, tau, given_["state"], given_["condition"]) - noisy) / (1 - index / steps)
            noisy = noisy + velocity / steps
        sampled = head.sample(given_["noisy"], given_["state"], given_["condition"], steps)
        assert torch.allclose(sampled, noisy, atol=1e-5)
    with pytest.raises(ValueError, match="at least 1 Euler step, got 0"):
        head.sample(given_["noisy"], given_["state"], given_["condition"], 0)


def test_the_loss_is_that_of_the_velocity(head):
    """Away from the bound on 1 - tau: || v - (action - noise) ||^2 over valid rows, as the paper's equation has it."""
    given_ = inputs()
    action, noise = torch.randn(COUNT, HORIZON, 10), given_["noisy"]
    tau = torch.tensor([0.0, 0.2, 0.5, 0.79])[:, None, None]
    valid = torch.tensor([[True, True, True, False, False]]).expand(COUNT, -1)
    mixed = (1 - tau) * noise + tau * action
    predicted = (head(mixed, tau.flatten(), given_["state"], given_["condition"]) - mixed) / (1 - tau)
    expected = (predicted - (action - noise)).square()[valid].mean()
    loss = head.flow_loss(action, given_["state"], given_["condition"], valid, noise, tau.flatten())
    assert torch.allclose(loss, expected, rtol=1e-4)
    nothing = head.flow_loss(
        action, given_["state"], given_["condition"], torch.zeros_like(valid), noise, tau.flatten()
    )
    assert nothing == 0.0


def loss_of(head, dtype=torch.float32):
    given_ = inputs(dtype)
    valid = torch.ones(COUNT, HORIZON, dtype=torch.bool)
    action = torch.randn(COUNT, HORIZON, 10, generator=torch.Generator().manual_seed(2))
    return head.flow_loss(action, given_["state"], given_["condition"], valid, given_["noisy"].float(), given_["tau"])


def test_gradients_reach_every_weight_and_the_condition(head):
    given_ = inputs()
    condition = given_["condition"].requires_grad_()
    state = given_["state"].requires_grad_()
    head(given_["noisy"], given_["tau"], state, condition).square().sum().backward()
    silent = [name for name, weight in head.named_parameters() if not weight.grad.abs().sum() > 0]
    assert silent == []
    assert all(values.grad.abs().sum() > 0 for values in (condition, state))


def test_a_new_head_predicts_zero_and_learns_its_output_first():
    head = ActionHead(HeadConfig(width=32, layers=2, heads=2), HORIZON, STATE)
    assert torch.count_nonzero(head(**inputs())) == 0
    loss_of(head).backward()
    assert head.action_out.weight.grad.abs().sum() > 0


def test_autocast_to_bf16_stays_near_and_integrates_in_float32(head):
    given_ = inputs()
    exact = head(**given_)
    with torch.autocast("cpu", torch.bfloat16):
        near = head(**given_)
        loss = loss_of(head)
        sampled = head.sample(given_["noisy"], given_["state"], given_["condition"], 4)
    assert near.dtype == loss.dtype == sampled.dtype == torch.float32
    assert torch.allclose(near, exact, atol=0.05 * float(exact.detach().abs().max()))
    assert not torch.equal(near, exact)
    assert loss.item() == pytest.approx(loss_of(head).item(), rel=0.05)
    loss.backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in head.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_head_of_bf16_weights_takes_what_a_float32_network_gives(head, dtype):
    exact = head(**inputs())
    half = head.to(torch.bfloat16)(**inputs(dtype))
    assert half.dtype == dtype
    assert torch.allclose(half.float(), exact, atol=0.1 * float(exact.abs().max()))


@given(st.integers(0, 2**31), st.sampled_from(["uniform", "beta"]))
def test_times_lie_between_noise_and_action(seed, distribution):
    times = draw_times(distribution, 100, torch.Generator().manual_seed(seed), torch.device("cpu"))
    assert times.shape == (100,)
    assert ((times >= 0) & (times <= 1)).all()


def test_times_are_distributed_as_they_are_named():
    """Quantiles of 200 000 draws: tau of U(0, 1), and tau = 0.999 (1 - b), b ~ Beta(1.5, 1) with P(b < x) = x^1.5."""
    shares = np.linspace(0.05, 0.95, 19)
    device = torch.device("cpu")
    uniform = draw_times("uniform", 200_000, torch.Generator().manual_seed(0), device).numpy()
    assert np.allclose(np.quantile(uniform, shares), shares, atol=0.005)
    beta = draw_times("beta", 200_000, torch.Generator().manual_seed(0), device).numpy()
    assert np.allclose(np.quantile(beta, shares), 0.999 * (1 - (1 - shares) ** (2 / 3)), atol=0.005)
    assert beta.max() <= 0.999
    assert beta.mean() < 0.45  # towards the noise, which is at 0
    with pytest.raises(CheckpointError, match="'uniform' or 'beta', got 'normal'"):
        draw_times("normal", 1, None, device)


def test_times_a_thousandth_apart_can_be_told_apart():
    features = time_features(torch.linspace(0.0, 1.0, 1001), 32)
    assert features.shape == (1001, 32)
    assert (features.diff(dim=0).norm(dim=-1) > 0.1).all()


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"width": 30, "heads": 4}, "head.width divisible by head.heads, got 30 and 4"),
        ({"width": 33, "heads": 3}, "an even head.width"),
        ({"heads": 0}, "head.heads of at least 1, got 0"),
        ({"layers": 0}, "head.layers of at least 1, got 0"),
        ({"queries": 0}, "head.queries of at least 1, got 0"),
        ({"flow_steps": 0}, "head.flow_steps of at least 1, got 0"),
        ({"embodiments": 0}, "head.embodiments of at least 1, got 0"),
        ({"temperature": -1.0}, "head.temperature of at least 0, got -1.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, complaint):
    with pytest.raises(CheckpointError, match=complaint):
        ActionHead(HeadConfig(**sizes), HORIZON, STATE)


def test_another_horizon_is_refused_and_both_are_named(head):
    given_ = inputs()
    longer = torch.zeros(COUNT, HORIZON + 1, 10)
    valid = torch.ones(COUNT, HORIZON + 1, dtype=torch.bool)
    with pytest.raises(ContractMismatch, match=r"chunks of 5 rows.*got 6 x 10"):
        head.sample(longer, given_["state"], given_["condition"], 4)
    with pytest.raises(ContractMismatch, match=r"chunks of 5 rows.*got 6 x 10"):
        head.flow_loss(longer, given_["state"], given_["condition"], valid, longer, given_["tau"])
