"""``python -m vipa_policy.model.describe vipa-2b``: a model's size, cost and memory, from its configuration alone.

Takes a preset's name, a checkpoint's folder, or a config.json. docs/sizing.md explains the arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vipa_policy.errors import CheckpointError, VipaError
from vipa_policy.model.checkpoint import read_config
from vipa_policy.model.config import PRESETS, ModelConfig, preset
from vipa_policy.model.hub import find_folder
from vipa_policy.model.sizing.flops import inference_flops, part_flops, training_flops
from vipa_policy.model.sizing.memory import ADAPTER_RANK, MODES, estimate, trained_parameters
from vipa_policy.model.sizing.operators import PREFIX, STEP, Call, count_tokens
from vipa_policy.model.sizing.parameters import adapter_parameters, count_parameters
from vipa_policy.model.sizing.roofline import CARDS, inference_seconds, part_seconds

CONFIG = "config.json"
WORDS = {"words": 8, "published": 64}  # text tokens of an instruction where none are given: ours, a chat template's


def find_config(name: str) -> ModelConfig:
    """Return a preset, or the configuration in a checkpoint's folder or config.json; raises CheckpointError."""
    if name in PRESETS and not Path(name).exists():
        return preset(name)
    path = Path(name)
    folder = path.parent if path.name == CONFIG else find_folder(name)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"expected {CONFIG} in {folder}, there is none; copy the whole checkpoint folder again")
    return read_config(folder)


def describe(config: ModelConfig, call: Call, training_batch: int, rank: int = ADAPTER_RANK) -> dict[str, Any]:
    """Return everything that is known on paper, as plain JSON types.

    Args:
        config: sizes and choices.
        call: one inference.
        training_batch: observations of a training step.
        rank: of LoRA's adapters.
    """
    flops = part_flops(config, call)  # first: it refuses encoders that would have to be loaded to be counted
    parameters = count_parameters(config)
    steps = call.steps or config.head.flow_steps
    step = dataclasses.replace(call, batch=training_batch)
    memory = {"inference": dataclasses.asdict(estimate(config, parameters, call, "inference"))}
    training: dict[str, Any] = {}
    for mode in MODES:
        if mode == "inference":
            continue
        training[mode] = {
            "parameters": trained_parameters(config, parameters, mode, rank),
            "flops": training_flops(
                config, step, MODES[mode], adapter_parameters(config, rank) if mode == "lora" else 0
            ),
        }
        for name, checkpointing in ((mode, False), (f"{mode}_checkpointing", True)):
            memory[name] = dataclasses.asdict(estimate(config, parameters, step, mode, rank, checkpointing))
    for needed in memory.values():
        needed["total"] = sum(needed.values())
    cards = {}
    for card in CARDS:
        best = inference_seconds(config, call, card)
        times = part_seconds(config, call, card)
        cards[card.name] = {
            "inference_ms": 1e3 * best,
            "parts_ms": {part: 1e3 * value for part, value in times.items()},
            "flops_share": inference_flops(config, call) / card.flops / best,
            "fits": [name for name, needed in memory.items() if needed["total"] < card.memory],
            "source": card.source,
        }
    return {
        "name": config.name,
        "call": {**dataclasses.asdict(call), "steps": steps},
        "training_batch": training_batch,
        "adapter_rank": rank,
        "parameters": {**parameters, "total": sum(parameters.values())},
        "tokens": dataclasses.asdict(count_tokens(config, call)),
        "flops": {
            **flops,
            "prefix": sum(flops[part] for part in PREFIX) + flops["head once"],
            "per_step": flops[STEP],
            "total": inference_flops(config, call),
        },
        "training": training,
        "memory": memory,
        "cards": cards,
    }


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows aligned in columns, the first to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def text(values: dict[str, Any]) -> str:
    """Return what ``describe`` found, for people."""
    call, tokens, flops = values["call"], values["tokens"], values["flops"]
    parameters, names = values["parameters"], list(values["cards"])
    batch = f"batch {values['training_batch']}"
    lines = [
        f"{values['name']}: {parameters['total'] / 1e6:,.1f} M parameters; {call['batch']} observation of "
        f"{call['views']} view, {call['words']} text tokens, {call['steps']} flow steps",
        "",
        "Parameters (M)",
        table([[part, f"{count / 1e6:,.2f}"] for part, count in parameters.items()]),
        "",
        "Tokens of an observation",
        table([[part, f"{count:,}"] for part, count in tokens.items()]),
        "",
        "One inference: GFLOP, and the least time in ms by each card's peaks",
        table(
            [["part", "GFLOP", *names]]
            + [
                [
                    part,
                    f"{flops[part] / 1e9:,.2f}",
                    *(f"{values['cards'][name]['parts_ms'][part]:.3f}" for name in names),
                ]
                for part in (*PREFIX, "head once", STEP)
            ]
            + [["total", f"{flops['total'] / 1e9:,.2f}", *(f"{values['cards'][n]['inference_ms']:.3f}" for n in names)]]
        ),
        "",
        f"Memory (GB); training with {batch}, LoRA of rank {values['adapter_rank']}",
        table(
            [["mode", "trained M", "weights", "gradients", "AdamW", "activations", "total", "fits on"]]
            + [memory_row(name, needed, values) for name, needed in values["memory"].items()]
        ),
        "",
        f"A training step, {batch}: TFLOP forward and backward",
        table([[mode, f"{cost['flops'] / 1e12:,.2f}"] for mode, cost in values["training"].items()]),
        "",
        *(f"{name}: {card['source']}" for name, card in values["cards"].items()),
    ]
    return "\n".join(lines)


def memory_row(name: str, needed: dict[str, int], values: dict[str, Any]) -> list[str]:
    """Return a row of the table of memory."""
    trained = values["training"].get(name.removesuffix("_checkpointing"), {"parameters": 0})["parameters"]
    sizes = [f"{needed[part] / 1e9:.2f}" for part in ("weights", "gradients", "moments", "activations", "total")]
    fits = [card for card, found in values["cards"].items() if name in found["fits"]]
    return [name, f"{trained / 1e6:,.1f}", *sizes, ", ".join(fits) or "none"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is known; returns 2 where the model cannot be found or sized."""
    parser = argparse.ArgumentParser(prog="python -m vipa_policy.model.describe", description=__doc__.splitlines()[0])
    parser.add_argument("model", help=f"a preset ({', '.join(PRESETS)}), a checkpoint's folder or a config.json")
    parser.add_argument("--batch", type=int, default=1, help="observations of an inference (default 1)")
    parser.add_argument("--views", type=int, default=1, help="cameras (default 1)")
    parser.add_argument("--words", type=int, default=0, help="text tokens (default 8; 64 with a published tokenizer)")
    parser.add_argument("--flow-steps", type=int, default=0, help="Euler steps (default: the configuration's)")
    parser.add_argument("--training-batch", type=int, default=8, help="observations of a training step (default 8)")
    parser.add_argument("--rank", type=int, default=ADAPTER_RANK, help=f"of LoRA (default {ADAPTER_RANK})")
    parser.add_argument("--spatial", default="", help="size another kind of spatial encoder: pointmap or none")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    chosen = parser.parse_args(arguments)
    try:
        config = find_config(chosen.model)
        if chosen.spatial:
            config = dataclasses.replace(config, spatial=dataclasses.replace(config.spatial, kind=chosen.spatial))
        words = chosen.words or WORDS[config.semantic.tokenizer]
        call = Call(chosen.batch, chosen.views, words, steps=chosen.flow_steps)
        values = describe(config, call, chosen.training_batch, chosen.rank)
    except VipaError as error:
        print(f"describe: {error}", file=sys.stderr)
        return 2
    print(json.dumps(values) if chosen.json else text(values))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
