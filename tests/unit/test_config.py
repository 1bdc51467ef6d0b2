"""Configurations go to JSON and back, presets are found by name, and choices that there are not are refused."""

import dataclasses
import json

import pytest
import torch
from support.small_network import small_config

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import PRESETS, ModelConfig, preset
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = preset(name)
    assert config.name == name
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(CheckpointError, match=r"vipa-tiny, vipa-2b"):
        preset("vipa-7b")


@pytest.mark.parametrize(
    ("section", "changes", "told"),
    [
        ("spatial", {"kind": "lidar"}, "pointmap"),
        ("head", {"time_distribution": "normal"}, "uniform"),
        ("head", {"grounding": "telepathy"}, "pointing"),
        ("semantic", {"tokenizer": "letters"}, "words"),
        ("spatial", {"kind": "none"}, "set head.grounding to 'none'"),
    ],
)
def test_a_choice_that_is_not_there_is_refused(section, changes, told):
    config = small_config()
    with pytest.raises(CheckpointError, match=told):
        dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **changes)})


def test_the_paper_sizes_can_be_built_on_paper():
    """vipa-2b, without memory for its weights: about 2.3 billion of them lie in the published model."""
    config = preset("vipa-2b")
    with torch.device("meta"):
        network = VipaNetwork(config, 151_671, Normalisation(config.horizon))
    published = sum(parameter.numel() for parameter in network.semantic.parameters())
    assert 2.0e9 < published < 2.4e9
    assert network.pointing is None
