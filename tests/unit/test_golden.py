"""Checkpoints written by earlier versions must keep loading and keep predicting the same numbers.

Each folder of tests/data/golden holds a small random checkpoint as its version wrote it, and what that version
predicted. Tolerance: 2e-5 m (and unit vector components), room for another processor's rounding and no more.
"""

from pathlib import Path

import numpy as np
import pytest
from support.small_network import COLOURS, make_observation

from vipa_policy.model import load_policy

GOLDEN = Path(__file__).resolve().parent.parent / "data" / "golden"
TOLERANCE = 2e-5


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_a_golden_checkpoint_predicts_what_it_always_did(folder):
    policy = load_policy(str(folder), "cpu")
    expected = np.load(folder / "expected.npz")
    for seed, colour in enumerate(COLOURS):
        chunk = policy.predict(make_observation(seed), f"reach the {colour} block", seed=seed)
        assert np.allclose(chunk.camera_from_tip, expected[f"poses_{seed}"], atol=TOLERANCE, rtol=0)
        assert np.allclose(chunk.gripper, expected[f"gripper_{seed}"], atol=TOLERANCE, rtol=0)
        assert np.allclose(chunk.pointed, expected[f"pointed_{seed}"], atol=TOLERANCE, rtol=0)


def test_golden_files_stay_small():
    assert sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file()) < 1_000_000
