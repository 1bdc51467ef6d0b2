"""Human hands as tips and back; which embodiment is meant; one network for several of them."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.small_network import make_observation, small_config

from unit.test_network import WORDS, encoded, inputs_of, targets_of
from vipa_policy import geometry
from vipa_policy.errors import CheckpointError, ContractMismatch, EmbodimentError, ObservationError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import embodiments, load_policy
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.embodiments import Embodiment, Embodiments
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.presets import franka_contract, human_hand_contract

numbers = st.floats(-1.0, 1.0, allow_nan=False)
vectors = st.tuples(numbers, numbers, numbers).map(np.array)


@st.composite
def poses(draw):
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.rotation_from_vector(3.0 * draw(vectors))
    matrix[:3, 3] = draw(vectors)
    return matrix


def hand(pinch=0.06, side="right"):
    """A right hand, palm down: fingers along x, thumb on the left (y), back up (z); a left one is its mirror image."""
    joints = np.zeros((21, 3))
    for finger, y in enumerate((0.04, 0.02, 0.0, -0.02, -0.04)):  # thumb to little finger
        for part in range(4):
            joints[1 + 4 * finger + part] = [0.09 + 0.025 * part, y, -0.01 * part]
    joints[embodiments.INDEX_TIP] = [0.12, 0.02, -0.04 + pinch / 2]
    joints[embodiments.THUMB_TIP] = [0.12, 0.02, -0.04 - pinch / 2]
    return joints if side == "right" else joints * [1.0, -1.0, 1.0]


@given(poses(), st.sampled_from(["right", "left"]))
def test_tip_and_wrist_round_trip(camera_from_wrist, side):
    contract = human_hand_contract(side)
    tip, _ = embodiments.tip_from_hand(camera_from_wrist, hand(), contract)
    assert np.allclose(embodiments.wrist_of_tip(tip, contract), camera_from_wrist, atol=1e-9)
    assert geometry.is_rotation(tip)


@given(st.floats(0.0, 0.08))
def test_opening_and_distance_round_trip_and_clip(opening):
    contract = human_hand_contract()
    distance = embodiments.distance_from_opening(opening, contract)
    assert contract.hand.closed_distance <= distance <= contract.hand.open_distance
    assert embodiments.opening_from_distance(distance, contract) == pytest.approx(opening, abs=1e-12)
    assert embodiments.opening_from_distance(0.0, contract) == contract.gripper_minimum
    assert embodiments.opening_from_distance(0.19, contract) == contract.gripper_maximum


@given(poses(), st.floats(0.02, 0.1))
def test_a_moved_camera_moves_the_tip_and_not_the_opening(new_from_old, pinch):
    contract, joints = human_hand_contract(), hand(pinch)
    moved = geometry.apply(new_from_old, joints)
    tip, opening = embodiments.tip_from_hand(embodiments.wrist_frame(joints), joints, contract)
    tip_moved, opening_moved = embodiments.tip_from_hand(embodiments.wrist_frame(moved), moved, contract)
    assert np.allclose(tip_moved, new_from_old @ tip, atol=1e-9)
    assert opening_moved == pytest.approx(float(opening), abs=1e-9)
    assert opening == pytest.approx(pinch - 0.02, abs=1e-9)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_tip_lies_between_the_fingers_with_the_axes_of_the_gripper(side):
    """Approach (z) where the fingers point, opening (y) out of the hand's back, whichever hand it is."""
    joints = hand(side=side)
    tip, _ = embodiments.tip_from_hand(embodiments.wrist_frame(joints), joints, human_hand_contract(side))
    between = (joints[embodiments.THUMB_TIP] + joints[embodiments.INDEX_TIP]) / 2
    assert np.linalg.norm(tip[:3, 3] - between) < 0.01
    assert tip[:3, 2] @ [1, 0, 0] > 0.95
    assert tip[:3, 1] @ [0, 0, 1] > 0.95


def test_many_frames_at_once_are_each_alone():
    joints = np.stack([hand(pinch) for pinch in (0.02, 0.05, 0.09)])
    wrists = embodiments.wrist_frame(joints)
    tips, openings = embodiments.tip_from_hand(wrists, joints, human_hand_contract())
    for index in range(3):
        tip, opening = embodiments.tip_from_hand(wrists[index], joints[index], human_hand_contract())
        assert np.allclose(tips[index], tip)
        assert np.allclose(openings[index], opening)


def test_hands_that_are_none_are_refused():
    contract, wrist = human_hand_contract(), np.eye(4)
    with pytest.raises(ObservationError, match="in m and in the order of OpenPose"):
        embodiments.tip_from_hand(wrist, 1000.0 * hand(), contract)
    with pytest.raises(ObservationError, match=r"expected finite joints \(..., 21, 3\)"):
        embodiments.tip_from_hand(wrist, hand()[:20], contract)
    with pytest.raises(ObservationError, match="expected finite joints"):
        embodiments.tip_from_hand(wrist, np.where(hand() > 0.1, np.nan, hand()), contract)
    with pytest.raises(ObservationError, match="expected rigid poses"):
        embodiments.tip_from_hand(2 * wrist, hand(), contract)
    flat = hand()
    flat[embodiments.LITTLE_KNUCKLE] = flat[embodiments.INDEX_KNUCKLE] + [0.01, 0.0, 0.0]
    flat[embodiments.MIDDLE_KNUCKLE] = [0.1, 0.0, 0.0]
    with pytest.raises(ObservationError, match="span a palm"):
        embodiments.wrist_frame(flat)
    with pytest.raises(ContractMismatch, match="got the one of 'franka'"):
        embodiments.tip_from_hand(wrist, hand(), franka_contract())
    with pytest.raises(ContractMismatch, match="got 'middle'"):
        human_hand_contract("middle")


CONTRACTS = (franka_contract(image_size=64), human_hand_contract(image_size=64))


def statistics(seed):
    normalisation = Normalisation(16)
    generator = torch.Generator().manual_seed(seed)
    action, state = torch.randn(50, 16, 10, generator=generator), torch.randn(50, 10, generator=generator)
    normalisation.fit((1 + seed) * action, state + seed, torch.zeros(50, 3))
    return normalisation


def two_bodies():
    return Embodiments([Embodiment(contract, statistics(seed)) for seed, contract in enumerate(CONTRACTS)], 16)


def shared_network(vocabulary, bodies):
    torch.manual_seed(0)
    config = small_config()
    config = dataclasses.replace(config, head=dataclasses.replace(config.head, embodiments=len(bodies)))
    network = VipaNetwork(config, vocabulary.image_token, bodies.normalisation).eval()
    torch.nn.init.normal_(network.head.action_out.weight, generator=torch.Generator().manual_seed(1))
    for block in network.head.blocks:
        torch.nn.init.normal_(block.modulation[1].weight, std=0.1, generator=torch.Generator().manual_seed(2))
    return network


def test_embodiments_are_found_by_name():
    bodies = two_bodies()
    assert [bodies.index(name) for name in bodies.names] == [0, 1]
    assert embodiments.index_of("", CONTRACTS[:1]) == 0
    with pytest.raises(EmbodimentError, match=r"\(franka, human_right_hand\), got 'ur5'"):
        bodies.index("ur5")
    with pytest.raises(EmbodimentError, match="got none named"):
        bodies.index("")


def test_embodiments_that_cannot_share_a_network_are_refused():
    one = Embodiment(CONTRACTS[0], statistics(0))
    short = Embodiment(dataclasses.replace(CONTRACTS[1], horizon=8), Normalisation(8))
    with pytest.raises(ContractMismatch, match=r"horizon of 16 rows in the contract of 'human_right_hand', got 8"):
        Embodiments([one, short], 16)
    with pytest.raises(EmbodimentError, match="franka twice"):
        Embodiments([one, one], 16)
    with pytest.raises(EmbodimentError, match="at least one"):
        Embodiments([], 16)


def test_one_embodiment_adds_nothing_to_the_state_dict(vocabulary):
    alone = shared_network(vocabulary, Embodiments(two_bodies()[:1], 16))
    both = shared_network(vocabulary, two_bodies())
    assert set(both.state_dict()) - set(alone.state_dict()) == {"head.embodiment"}
    plain = VipaNetwork(small_config(), vocabulary.image_token, Normalisation(16)).state_dict()
    assert {name: value.shape for name, value in alone.state_dict().items()} == {
        name: value.shape for name, value in plain.items()
    }


def test_each_embodiment_has_its_own_statistics_and_starts_as_the_network_of_one(vocabulary):
    bodies = two_bodies()
    network = shared_network(vocabulary, bodies)
    inputs, (words, mask) = inputs_of(0, 0), encoded(vocabulary, 2)
    state = torch.full((2, 10), 0.1)

    def draw(which, network=network):
        return network.sample(inputs, words, mask, state, 2, torch.Generator().manual_seed(3), which)[0]

    together = draw(torch.tensor([0, 1]))
    for index, body in enumerate(bodies):
        alone = shared_network(vocabulary, Embodiments([body], 16))
        expected = draw(None, alone)[index]
        assert torch.allclose(together[index], expected, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
    before = draw(torch.tensor([1, 1]))
    torch.nn.init.normal_(network.head.embodiment)
    assert not torch.allclose(draw(torch.tensor([1, 1])), before, atol=1e-3)
    with pytest.raises(EmbodimentError, match="which of 2 embodiments"):
        draw(None)


def test_the_vector_of_an_embodiment_learns_from_its_own_samples(vocabulary):
    network = shared_network(vocabulary, two_bodies())
    words, mask = encoded(vocabulary, 2, WORDS[:2])
    losses = network.loss(
        inputs_of(0, 1), words, mask, torch.zeros(2, 10), targets_of(2, 2), draws=2, embodiment=torch.tensor([1, 1])
    )
    losses["flow"].backward()
    gradient = network.head.embodiment.grad
    assert torch.count_nonzero(gradient[0]) == 0
    assert gradient[1].abs().sum() > 0


def test_a_checkpoint_of_two_embodiments_survives_and_is_told_which(vocabulary, tmp_path):
    network = shared_network(vocabulary, two_bodies())
    saved = Checkpoint(network.config, CONTRACTS[0], vocabulary, network, {}, CONTRACTS[1:])
    torch.nn.init.normal_(network.head.embodiment)
    checkpoints.save(saved, tmp_path / "two")
    assert checkpoints.load(tmp_path / "two").contracts == CONTRACTS
    inputs, (words, mask), state = inputs_of(0), encoded(vocabulary, 1), torch.full((1, 10), 0.1)
    chunks = {}
    for index, contract in enumerate(CONTRACTS):
        one = embodiments.for_embodiment(checkpoints.load(tmp_path / "two"), contract.embodiment)
        draw = (inputs, words, mask, state, 2)
        expected = network.sample(*draw, torch.Generator().manual_seed(3), torch.tensor([index]))[0]
        got = one.network.sample(*draw, torch.Generator().manual_seed(3))[0]
        assert torch.allclose(got, expected, atol=1e-5)
        checkpoints.save(one, tmp_path / "one")
        assert checkpoints.load(tmp_path / "one").contracts == (contract,)
        policy = load_policy(str(tmp_path / "two"), "cpu", embodiment=contract.embodiment)
        assert policy.contract == contract
        chunks[contract.embodiment] = policy.predict(make_observation(), WORDS[0], seed=1).camera_from_tip
    assert not np.allclose(chunks["franka"], chunks["human_right_hand"], atol=1e-3)
    with pytest.raises(EmbodimentError, match="got 'ur5'"):
        load_policy(str(tmp_path / "two"), "cpu", embodiment="ur5")
    (tmp_path / "two" / "embodiments.json").unlink()
    with pytest.raises(CheckpointError, match="contracts of 2 embodiments"):
        checkpoints.load(tmp_path / "two")
