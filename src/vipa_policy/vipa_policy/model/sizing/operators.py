"""The matrix products of one forward pass, listed from a configuration alone.

The single place for which products the network is made of and of what shape; FLOPs, the roofline and the memory model
read this list. A product's FLOPs count a multiplication and an addition as two; norms, activations and softmax are left
out (under 1 % of the FLOPs; their traffic is in docs/sizing.md). tests/unit/test_sizing.py compares the list with
what torch.utils.flop_counter sees, so a network that changes without it is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE, ModelConfig
from vipa_policy.model.network import ANCHOR_BANDS, OFFSET_BANDS
from vipa_policy.model.semantic import internvl_config
from vipa_policy.model.spatial.pointmap import FINE_STRIDE, TOKEN_STRIDE, PointmapEncoder

STEM_WIDTH = 24  # channels of the pointmap encoder's first convolution
SPATIAL_FEEDFORWARD = 3  # times its width, of the pointmap encoder's transformer
PREFIX = ("vision", "spatial", "fusion", "projector", "language", "condition")  # once an observation
STEP = "head per step"
PARTS = (*PREFIX, "head once", STEP)


@dataclass(frozen=True)
class Call:
    """What one inference is asked.

    Attributes:
        batch: observations.
        views: cameras of each.
        words: text tokens of an instruction, chat template included.
        instructions: for each observation.
        steps: of the flow; 0 takes the configuration's.
    """

    batch: int = 1
    views: int = 1
    words: int = 8
    instructions: int = 1
    steps: int = 0

    def __post_init__(self) -> None:
        wrong = [f"{name} {value}" for name, value in vars(self).items() if value < (0 if name == "steps" else 1)]
        if wrong:
            raise CheckpointError(f"expected at least one observation, view, word and instruction, got {wrong[0]}")


@dataclass(frozen=True)
class Tokens:
    """How many tokens pass where, for one observation.

    Attributes:
        patches: of the vision tower, all views, without class tokens.
        image: of the language model, all views.
        words, queries: of one instruction.
        language: the language model's whole sequence.
        spatial: of the spatial encoder, all views.
        fine: features for pointing, all views.
        condition: what the head cross-attends to.
        head: state and rows of the chunk.
    """

    patches: int
    image: int
    words: int
    queries: int
    language: int
    spatial: int
    fine: int
    condition: int
    head: int


@dataclass(frozen=True)
class Operator:
    """A matrix product, a convolution or an attention, done ``times`` times (layers, observations, views).

    Attributes:
        part: one of PARTS.
        name: what it is for.
        flops: of once.
        weights: values of weights read once.
        values: values of activations read and written once.
        times: how often in a forward pass (in a step, for the head's steps).
    """

    part: str
    name: str
    flops: int
    weights: int
    values: int
    times: int = 1


def linear(part: str, name: str, tokens: int, inputs: int, outputs: int, times: int = 1) -> Operator:
    """A matrix of weights on ``tokens`` rows."""
    return Operator(part, name, 2 * tokens * inputs * outputs, inputs * outputs, tokens * (inputs + outputs), times)


def attention(part: str, queries: int, keys: int, width: int, times: int, batch: int = 1) -> Operator:
    """Scores and weighted sum, heads together ``width`` wide; a causal mask saves nothing here, as in torch's count."""
    flops, values = 4 * queries * keys * width, 2 * (queries + keys) * width
    return Operator(part, "attention", batch * flops, 0, batch * values, times)


def convolution(
    part: str, name: str, side: int, inputs: int, outputs: int, kernel: int, stride: int, batch: int
) -> Operator:
    """A square convolution whose output is ``side`` pixels wide."""
    weights, pixels = kernel**2 * inputs * outputs, batch * side**2
    return Operator(part, name, 2 * pixels * weights, weights, pixels * (stride**2 * inputs + outputs))


def vision_sizes(config: ModelConfig) -> Any:
    """Return transformers' configuration of the vision tower, a published model's own where it is one."""
    return internvl_config(config.semantic, image_token=0).vision_config


def text_sizes(config: ModelConfig) -> Any:
    """Return transformers' configuration of the language model, a published model's own where it is one."""
    return internvl_config(config.semantic, image_token=0).text_config


def count_tokens(config: ModelConfig, call: Call) -> Tokens:
    """Return how many tokens an observation makes."""
    vision = vision_sizes(config)
    patches = (
        call.views * (vision.image_size[0] // vision.patch_size[0]) * (vision.image_size[1] // vision.patch_size[1])
    )
    side = 0 if config.spatial.kind == "none" else config.spatial.image_size
    points = config.head.grounding == "pointing"
    return Tokens(
        patches=patches,
        image=patches // 4,
        words=call.words,
        queries=config.head.queries,
        language=patches // 4 + call.instructions * (call.words + config.head.queries),
        spatial=call.views * (side // TOKEN_STRIDE) ** 2,
        fine=call.views * (side // FINE_STRIDE) ** 2,
        condition=config.head.queries + points,
        head=config.horizon + 1,
    )


def operators(config: ModelConfig, call: Call) -> list[Operator]:
    """List the products of one inference; raises CheckpointError for a spatial encoder that is not ours to count."""
    tokens = count_tokens(config, call)
    listed = [*vision_operators(config, call, tokens), *language_operators(config, call, tokens)]
    if config.spatial.kind == "pointmap":
        listed += [*pointmap_operators(config, call), *fusion_operators(config, call, tokens)]
    elif config.spatial.kind != "none":
        raise CheckpointError(
            f"expected spatial.kind 'pointmap' or 'none' for sizing, got {config.spatial.kind!r}: a pretrained "
            "encoder's sizes are its own; size the rest with --spatial pointmap or none"
        )
    return [*listed, *condition_operators(config, call, tokens), *head_operators(config, call, tokens)]


def vision_operators(config: ModelConfig, call: Call, tokens: Tokens) -> Iterator[Operator]:
    """InternViT and, behind the pixel shuffle, the projector."""
    vision, text = vision_sizes(config), text_sizes(config)
    images, layers, width = call.batch * call.views, vision.num_hidden_layers, vision.hidden_size
    one = tokens.patches // call.views + 1  # the class token runs along
    pixels = 3 * vision.patch_size[0] * vision.patch_size[1]
    yield linear("vision", "patches", images * (one - 1), pixels, width)
    yield linear("vision", "query, key, value, output", images * one, width, width, 4 * layers)
    yield attention("vision", one, one, width, layers, images)
    yield linear("vision", "feed-forward", images * one, width, vision.intermediate_size, 2 * layers)
    yield linear("projector", "first", call.batch * tokens.image, 4 * width, text.hidden_size)
    yield linear("projector", "second", call.batch * tokens.image, text.hidden_size, text.hidden_size)


def language_operators(config: ModelConfig, call: Call, tokens: Tokens) -> Iterator[Operator]:
    """The language model over image, words and action queries; no logits are computed."""
    text = text_sizes(config)
    rows, layers, width = call.batch * tokens.language, text.num_hidden_layers, text.hidden_size
    own, shared = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    yield linear("language", "query, output", rows, width, own, 2 * layers)
    yield linear("language", "key, value", rows, width, shared, 2 * layers)
    yield attention("language", tokens.language, tokens.language, own, layers, call.batch)
    yield linear("language", "gated feed-forward", rows, width, text.intermediate_size, 3 * layers)


def pointmap_operators(config: ModelConfig, call: Call) -> Iterator[Operator]:
    """The pointmap encoder (vipa_policy.model.spatial.pointmap)."""
    spatial, images = config.spatial, call.batch * call.views
    side, fine, width = spatial.image_size, spatial.fine_width, spatial.width
    one = (side // TOKEN_STRIDE) ** 2
    yield linear("spatial", "back-projection", images * side**2, 3, 3)
    yield convolution("spatial", "stride 2", side // 2, 7, STEM_WIDTH, 3, 2, images)
    yield convolution("spatial", "stride 4", side // 4, STEM_WIDTH, fine, 3, 2, images)
    yield convolution("spatial", "stride 8", side // 8, fine, 2 * fine, 3, 2, images)
    yield convolution("spatial", "stride 16", side // 16, 2 * fine, width, 3, 2, images)
    yield linear("spatial", "position", images * one, 6 * PointmapEncoder.BANDS, width)
    yield linear("spatial", "query, key, value, output", images * one, width, width, 4 * spatial.layers)
    yield attention("spatial", one, one, width, spatial.layers, images)
    yield linear("spatial", "feed-forward", images * one, width, SPATIAL_FEEDFORWARD * width, 2 * spatial.layers)
    yield convolution("spatial", "lateral, stride 8", side // 8, 2 * fine, fine, 1, 1, images)
    yield convolution("spatial", "lateral, stride 16", side // 16, width, fine, 1, 1, images)
    yield convolution("spatial", "refine", side // 4, fine, fine, 3, 1, images)


def fusion_operators(config: ModelConfig, call: Call, tokens: Tokens) -> Iterator[Operator]:
    """Cross-attention of semantic patches onto spatial tokens."""
    width, semantic = config.fusion.width, vision_sizes(config).hidden_size
    yield linear("fusion", "query, output", call.batch * tokens.patches, semantic, width, 2)
    yield linear("fusion", "key, value", call.batch * tokens.spatial, config.spatial.width, width, 2)
    yield attention("fusion", tokens.patches, tokens.spatial, width, 1, call.batch)


def condition_operators(config: ModelConfig, call: Call, tokens: Tokens) -> Iterator[Operator]:
    """Pointing, where there is, and what the head is told."""
    language, head = text_sizes(config).hidden_size, config.head.width
    asked = call.batch * call.instructions
    yield linear("condition", "queries", asked * tokens.queries, language, head)
    if config.head.grounding != "pointing":
        return
    fine, features = config.spatial.fine_width, call.batch * tokens.fine
    yield linear("condition", "pointing query", asked, language, fine)
    yield linear("condition", "pointing key, first of vote", features, fine, fine, 2)
    yield linear("condition", "second of vote", features, fine, 3)
    yield attention("condition", asked, tokens.fine, fine, 1)
    yield linear("condition", "anchor", asked, 6 * ANCHOR_BANDS + fine, head)


def head_operators(config: ModelConfig, call: Call, tokens: Tokens) -> Iterator[Operator]:
    """The flow-matching transformer: what is computed once, and one step."""
    width, layers = config.head.width, config.head.layers
    chunks = call.batch * call.instructions
    crossing = (layers + 1) // 2
    state = STATE_SIZE + (6 * OFFSET_BANDS if config.head.grounding == "pointing" else 0)
    rows = chunks * tokens.head
    yield linear("head once", "state, first", chunks, state, width)
    yield linear("head once", "state, second", chunks, width, width)
    yield linear("head once", "keys, values of the condition", chunks * tokens.condition, width, 2 * width, crossing)
    yield linear(STEP, "time", 1, width, width, 2)
    yield linear(STEP, "modulation", 1, width, 6 * width, layers)
    yield linear(STEP, "action in, out", chunks * config.horizon, ACTION_SIZE, width, 2)
    yield linear(STEP, "query, output", rows, width, width, 2 * layers)
    yield linear(STEP, "key, value", rows, width, width, 2 * (layers - crossing))
    yield attention(STEP, tokens.head, tokens.condition, width, crossing, chunks)
    yield attention(STEP, tokens.head, tokens.head, width, layers - crossing, chunks)
    yield linear(STEP, "feed-forward", rows, width, 4 * width, 2 * layers)
