import dataclasses
import json
from pathlib import Path

import pytest

from vipa_policy import contract as contracts
from vipa_policy.contract import FIRST_EMBODIMENT, VERSION, ActionContract, CameraSpec, HandMapping, ProprioceptionField
from vipa_policy.errors import ContractMismatch
from vipa_policy.presets import HANDS, franka_contract, human_hand_contract

HAND = HANDS["right"]
OTHERS = {
    "reference_camera": "wrist",
    "tip_frame": "fr3_link8",
    "control_period": 0.05,
    "horizon": 8,
    "cameras": (CameraSpec("scene", 112, 112), CameraSpec("wrist", 224, 224)),
    "proprioception": (),
    "mode": "delta",
    "position_unit": "mm",
    "rotation": "quaternion",
    "gripper": "open_is_one",
    "gripper_minimum": 0.01,
    "gripper_maximum": 0.1,
    "normalisation": "minimum_maximum",
    "embodiment": "human_right_hand",
    "hand": HAND,
    "version": 0,
}


def two_cameras():
    return dataclasses.replace(franka_contract(("scene", "wrist")))


@pytest.mark.parametrize("contract", [two_cameras(), human_hand_contract("left", ("head", "chest"), 448)])
def test_json_round_trip(contract):
    assert ActionContract.from_json(contract.to_json()) == contract


def test_version_1_reads_as_the_only_embodiment_there_was():
    values = json.loads(two_cameras().to_json())
    del values["embodiment"], values["hand"]
    read = ActionContract.from_dict(values | {"version": 1})
    assert (read.embodiment, read.hand, read.version) == (FIRST_EMBODIMENT, None, VERSION)
    contracts.check(read, "the old checkpoint", two_cameras(), "the new dataset")
    with pytest.raises(ContractMismatch, match=r"embodiment: 'franka' / 'human_right_hand'.*hand: None / HandMapping"):
        contracts.check(read, "the checkpoint", human_hand_contract(cameras=("scene", "wrist")), "the hands")


def test_version_1_in_the_checkpoint_that_is_shipped_reads():
    text = (Path(__file__).resolve().parents[2] / "models" / "vipa-tiny" / "contract.json").read_text()
    contracts.check(ActionContract.from_json(text), "vipa-tiny", franka_contract(), "its preset")


def test_every_field_is_compared():
    assert set(OTHERS) == {field.name for field in dataclasses.fields(ActionContract)}


@pytest.mark.parametrize("field", sorted(OTHERS))
def test_a_difference_in_any_field_is_refused_and_named(field):
    ours = two_cameras()
    theirs = dataclasses.replace(ours, **{field: OTHERS[field]})
    with pytest.raises(ContractMismatch) as caught:
        contracts.check(ours, "the checkpoint", theirs, "the dataset")
    message = str(caught.value)
    assert field in message
    assert "the checkpoint" in message
    assert "the dataset" in message
    assert repr(OTHERS[field]) in message


def test_equal_contracts_pass():
    contracts.check(two_cameras(), "one", two_cameras(), "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"reference_camera": "ceiling"},
        {"mode": "relative"},
        {"control_period": 0.0},
        {"horizon": 0},
        {"gripper_maximum": 0.0},
        {"tip_frame": ""},
        {"embodiment": ""},
        {"cameras": (CameraSpec("scene", 64, 64), CameraSpec("scene", 64, 64))},
        {"proprioception": (ProprioceptionField("tip", 3, "", "mm"),)},
        {"proprioception": (ProprioceptionField("tip", 0, "", "m"),)},
        {"proprioception": 2 * (ProprioceptionField("tip", 3, "", "m"),)},
        {"hand": dataclasses.replace(HAND, rotation=(0.0, 0.0, 0.0, 2.0))},
        {"hand": dataclasses.replace(HAND, closed_distance=0.2)},
        {"hand": dataclasses.replace(HAND, closed_distance=20.0, open_distance=100.0)},
        {"hand": dataclasses.replace(HAND, translation=(120.0, 0.0, 40.0))},
        {"hand": dataclasses.replace(HAND, translation=(float("nan"), 0.0, 0.0))},
        {"hand": HandMapping((0.0, 0.0), (0.0, 0.0, 0.0, 1.0), 0.0, 0.1)},
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(changes):
    with pytest.raises(ContractMismatch, match="contradicts itself"):
        dataclasses.replace(two_cameras(), **changes)


def test_newer_version_unknown_and_missing_fields_are_refused():
    values = two_cameras().to_dict()
    with pytest.raises(ContractMismatch, match="update vipa_policy"):
        ActionContract.from_dict(values | {"version": 99})
    with pytest.raises(ContractMismatch, match=r"unknown fields.*colour"):
        ActionContract.from_dict(values | {"colour": "red"})
    with pytest.raises(ContractMismatch, match=r"incomplete.*closed_distance"):
        ActionContract.from_dict(values | {"hand": {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1]}})
    with pytest.raises(ContractMismatch, match="got version 'two'"):
        ActionContract.from_dict(values | {"version": "two"})
    del values["horizon"]
    with pytest.raises(ContractMismatch, match="incomplete"):
        ActionContract.from_dict(values)
    with pytest.raises(ContractMismatch, match="as JSON"):
        ActionContract.from_json("{")
