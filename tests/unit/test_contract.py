import dataclasses

import pytest

from vipa_policy import contract as contracts
from vipa_policy.contract import ActionContract, CameraSpec
from vipa_policy.errors import ContractMismatch
from vipa_policy.presets import franka_contract

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
    "version": 0,
}


def two_cameras():
    return dataclasses.replace(franka_contract(("scene", "wrist")))


def test_json_round_trip():
    assert ActionContract.from_json(two_cameras().to_json()) == two_cameras()


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
    del values["horizon"]
    with pytest.raises(ContractMismatch, match="incomplete"):
        ActionContract.from_dict(values)
    with pytest.raises(ContractMismatch, match="as JSON"):
        ActionContract.from_json("{")
