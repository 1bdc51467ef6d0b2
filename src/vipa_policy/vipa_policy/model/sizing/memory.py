"""Memory of inference and training: weights, their training state, and activations.

The single place for what autograd keeps of each layer. The modes train what vipa_policy.model.stages does: "lora" and
"stage_3" stage 3 with and without adapters, "full" everything. Attention is taken to be of the kind that does not store
its scores (flash, memory-efficient), as torch chooses on every device where it can.
Guarded by tests/unit/test_sizing.py, against tensors counted on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import ModelConfig
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.sizing.flops import PASSED, STILL, TRAINED
from vipa_policy.model.sizing.operators import (
    PREFIX,
    SPATIAL_FEEDFORWARD,
    STEM_WIDTH,
    STEP,
    Call,
    count_tokens,
    text_sizes,
    vision_sizes,
)
from vipa_policy.model.sizing.parameters import adapter_parameters

ADAPTER_RANK = LoraSettings().rank
HALF, SINGLE = 2, 4  # bytes of bfloat16 and float32

EVERYTHING_STILL = dict.fromkeys((*PREFIX, "head once", STEP), STILL)
HEAD_TRAINED = EVERYTHING_STILL | {"condition": TRAINED, "head once": TRAINED, STEP: TRAINED}
MODES: Mapping[str, Mapping[str, int]] = {
    "inference": EVERYTHING_STILL,
    "lora": HEAD_TRAINED | {"language": PASSED},  # gradients pass through to the queries; matrices stay
    "stage_3": HEAD_TRAINED | {"language": TRAINED},  # the paper's post-training
    "full": dict.fromkeys(EVERYTHING_STILL, TRAINED),
}


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of an inference or of a training step.

    Attributes:
        weights: what is multiplied with: bfloat16; in training also the float32 weights that are updated.
        gradients: float32, of what trains.
        moments: AdamW's two, float32, of what trains.
        activations: kept for the backward pass, or alive at the same time in inference.
    """

    weights: int
    gradients: int
    moments: int
    activations: int

    @property
    def total(self) -> int:
        """All of it; the CUDA context and the allocator's reserve (about 1 GB together) come on top."""
        return self.weights + self.gradients + self.moments + self.activations


def factors_of(mode: str) -> Mapping[str, int]:
    """Return what a mode does with each part; raises CheckpointError naming those there are."""
    if mode not in MODES:
        raise CheckpointError(f"expected one of the modes {', '.join(MODES)}, got {mode!r}")
    return MODES[mode]


def trained_parameters(config: ModelConfig, counts: Mapping[str, int], mode: str, rank: int) -> int:
    """Return how many parameters a mode trains, adapters of LoRA included; arguments as of ``estimate``."""
    factors = factors_of(mode)
    trained = sum(count for part, count in counts.items() if factors[network_part(part)] == TRAINED)
    return trained + (adapter_parameters(config, rank) if mode == "lora" else 0)


def network_part(part: str) -> str:
    """Return the part of PARTS that decides whether parameters of a part train."""
    return {"embedding": "language", "head": STEP}.get(part, part)


def estimate(
    config: ModelConfig,
    counts: Mapping[str, int],
    call: Call,
    mode: str,
    rank: int = ADAPTER_RANK,
    checkpointing: bool = False,
) -> Memory:
    """Return the memory of a mode.

    Args:
        config: sizes.
        counts: its parameters, from ``count_parameters``.
        call: the batch.
        mode: one of MODES.
        rank: of LoRA's adapters.
        checkpointing: gradient checkpointing of the vision tower's and the language model's layers.
    """
    trained = trained_parameters(config, counts, mode, rank)
    every = sum(counts.values()) + (adapter_parameters(config, rank) if mode == "lora" else 0)
    weights = HALF * every + SINGLE * trained
    if mode == "inference":
        return Memory(weights, 0, 0, live_activations(config, call, HALF))
    kept = sum(kept_activations(config, call, factors_of(mode), HALF, checkpointing).values())
    return Memory(weights, SINGLE * trained, 2 * SINGLE * trained, kept)


def language_layer(config: ModelConfig, trained: bool, size: int) -> int:
    """Return the bytes autograd keeps of one language layer for one token.

    Two RMS norms over the width and two over heads (each a float32 copy of its input; its normalised value only where
    its scale trains), their outputs as inputs of matrices, queries, keys and values with keys and values repeated to
    as many heads as queries, what attention returns, and four of the gated feed-forward.
    """
    text = text_sizes(config)
    width, feedforward = text.hidden_size, text.intermediate_size
    own, shared = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    copies = SINGLE * (2 * width + own + shared)
    normalised = size * (2 * width + own + shared) if trained else 0
    return copies + normalised + size * (2 * width + 4 * own + 4 * feedforward)


def vision_layer(config: ModelConfig, size: int) -> int:
    """Return the bytes autograd keeps of one vision layer for one token.

    Inputs and outputs of two layer norms, queries, keys and values, what attention returns, both branches before their
    layer scale, and two of the feed-forward.
    """
    vision = vision_sizes(config)
    return int(size * (10 * vision.hidden_size + 2 * vision.intermediate_size))


def pointmap_image(config: ModelConfig, size: int) -> int:
    """Return the bytes autograd keeps of the pointmap encoder for one view.

    Of every convolution its output, that normalised and that after GELU (the input of the next); of a layer as in the
    vision tower, without layer scale.
    """
    spatial = config.spatial
    side, fine, width = spatial.image_size, spatial.fine_width, spatial.width
    channels = ((STEM_WIDTH, 2), (fine, 4), (2 * fine, 8), (width, 16))
    convolutions = sum(3 * count * (side // stride) ** 2 for count, stride in channels)
    tokens = (side // 16) ** 2
    layers = tokens * width * (8 + 2 * SPATIAL_FEEDFORWARD) * spatial.layers
    refine = 3 * fine * (side // 4) ** 2  # what it takes, gives and normalises
    return int(size * (7 * side**2 + convolutions + layers + 2 * tokens * width + refine))


def kept_activations(
    config: ModelConfig, call: Call, factors: Mapping[str, int], size: int, checkpointing: bool = False
) -> dict[str, int]:
    """Return the bytes autograd keeps of each part for the backward pass.

    Args:
        config: sizes.
        call: the batch; every observation has one draw of noise and time.
        factors: as in MODES; a part that stays still keeps nothing.
        size: bytes of a value, HALF or SINGLE.
        checkpointing: of the vision tower's and the language model's layers: each keeps its input, and one at a time is
            computed again.
    """
    tokens, vision, text = count_tokens(config, call), vision_sizes(config), text_sizes(config)
    images = call.batch * call.views
    asked = call.batch * call.instructions
    width, fusion = vision.hidden_size, config.fusion.width
    kept: dict[str, int] = {}

    def layers(rows: int, one: int, values: int, count: int) -> int:
        return rows * (count * size * values + one) if checkpointing else rows * count * one

    if factors["vision"] > STILL:
        rows = call.batch * tokens.patches + images
        pixels = size * call.batch * tokens.patches * 3 * vision.patch_size[0] * vision.patch_size[1]
        kept["vision"] = pixels + layers(rows, vision_layer(config, size), width, vision.num_hidden_layers)
    if factors["spatial"] > STILL and config.spatial.kind == "pointmap":
        kept["spatial"] = images * pointmap_image(config, size)
    if factors["fusion"] > STILL and config.spatial.kind != "none":
        dropped = width + width // size if config.fusion.dropout else 0
        patches = call.batch * tokens.patches * (4 * width + 2 * fusion + dropped)
        kept["fusion"] = size * (patches + call.batch * tokens.spatial * (2 * config.spatial.width + 2 * fusion))
    if factors["projector"] > STILL:
        kept["projector"] = size * call.batch * tokens.image * (8 * width + 2 * text.hidden_size)
    if factors["language"] > STILL:
        one = language_layer(config, factors["language"] == TRAINED, size)
        rows, last = call.batch * tokens.language, (SINGLE + size) * text.hidden_size  # last: the final norm
        mask = size * tokens.language  # additive, the same for all layers
        kept["language"] = rows * (last + mask) + layers(rows, one, text.hidden_size, text.num_hidden_layers)
    if factors["condition"] > STILL:
        pointing = call.batch * tokens.fine * 3 * config.spatial.fine_width * (config.head.grounding == "pointing")
        kept["condition"] = size * (asked * tokens.queries * 2 * text.hidden_size + pointing)
    if factors[STEP] > STILL:
        head, crossing = config.head.width, (config.head.layers + 1) // 2
        rows = 18 * config.head.layers * tokens.head + 2 * (config.head.layers - crossing) * tokens.head
        # Keys and values of the condition, what the time does to every block, and the final norm.
        values = rows + 2 * crossing * tokens.condition + 6 * config.head.layers + 2 * tokens.head
        kept["head"] = size * asked * head * values
    return kept


def live_activations(config: ModelConfig, call: Call, size: int) -> int:
    """Return the bytes of activations alive at the worst moment of an inference, the float32 inputs included.

    The worst moment is a feed-forward or an attention of the vision tower or the language model, or the first
    convolution of the pointmap encoder, beside what later parts still need.
    """
    tokens, vision, text = count_tokens(config, call), vision_sizes(config), text_sizes(config)
    images, width, feedforward = call.batch * call.views, text.hidden_size, text.intermediate_size
    own = text.num_attention_heads * text.head_dim
    spatial = config.spatial
    side = 0 if spatial.kind == "none" else spatial.image_size
    pixels = 3 * vision.image_size[0] * vision.image_size[1]
    inputs = SINGLE * images * (pixels + 6 * spatial.image_size**2)  # colours, depth and rays, whatever reads them
    pointed = call.batch * tokens.fine * (config.head.grounding == "pointing")
    features = pointed * (size * spatial.fine_width + SINGLE * 3)
    patches = size * call.batch * tokens.patches * vision.hidden_size
    moments = {
        "vision": size
        * (call.batch * tokens.patches + images)
        * max(6 * vision.hidden_size, 2 * vision.hidden_size + 2 * vision.intermediate_size),
        # Points, the same scaled; colours and points joined, twice, for the convolutions' layout of memory.
        "spatial": patches + images * side**2 * (SINGLE * 6 + size * (2 * 7 + 2 * STEM_WIDTH // 4)),
        # Image, suffixes, both joined, the residual stream twice, normalised; and the additive mask.
        "language": features
        + size * call.batch * tokens.language * (5 * width + max(6 * own, 3 * feedforward) + tokens.language),
    }
    return int(inputs + max(moments.values()))
