"""Changes of colour that leave geometry alone; crops and flips would break the tie between pixels and points."""

from __future__ import annotations

import dataclasses

import numpy as np

from vipa_training.dataset import Batch


def jitter_colours(batch: Batch, strength: float, random: np.random.Generator) -> Batch:
    """Return the batch with each frame's brightness, contrast and tint changed by up to ``strength`` (relative)."""
    if strength <= 0.0:
        return batch
    frames = len(batch.rgb)
    shape = (frames, 1, 1, 1, 1)
    brightness = random.uniform(-strength, strength, shape) * 128
    contrast = random.uniform(1 - strength, 1 + strength, shape)
    tint = random.uniform(1 - strength / 3, 1 + strength / 3, (frames, 1, 1, 1, 3))
    noise = random.normal(0.0, 3.0, batch.rgb.shape).astype(np.float32)
    changed = ((batch.rgb.astype(np.float32) - 128) * contrast + 128 + brightness) * tint + noise
    return dataclasses.replace(batch, rgb=np.clip(changed, 0, 255).astype(np.uint8))
