"""The full-size model on a CUDA device: chunk latency, its split, its memory, its share of a roofline; training steps.

    python -m vipa_policy.bench.gpu [--save docs/results]

needs torch 2.11 and transformers 5.17 or newer, and nothing of ROS or MuJoCo. The shape is ``vipa-2b``
(vipa_policy.model.config: InternVL3.5-2B, the head 16 blocks of 1536) with random weights in bf16, PI0 is
transformers' own at its published shape. The roofline's peaks are measured in the same run; the last line is JSON.
Without a CUDA device it says so and exits with 3. ``--smoke`` runs the same code at tiny shapes on any device: its
figures mean nothing. Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from vipa_policy.bench import peaks, rival, subject, training
from vipa_policy.bench.model import versions
from vipa_policy.bench.reporting import rounded
from vipa_policy.bench.timing import Stopwatch, clock, median, quantile, take_turns
from vipa_policy.model.config import FusionConfig, HeadConfig, ModelConfig, SemanticConfig, SpatialConfig, vipa_2b
from vipa_policy.model.engine import EngineOptions
from vipa_policy.model.sizing.operators import Call
from vipa_policy.model.sizing.roofline import Card, inference_seconds, part_seconds

NO_DEVICE, TOO_OLD = 3, 4
NEEDED = {"torch": (2, 11), "transformers": (5, 17)}
LATENCY_TARGET, ROOFLINE_TARGET = 30.0, 4.0  # ms of an H100-class card with one view; times the roofline


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        config: the shape.
        pi0: arguments of a PI0Config; none for the published shape.
        turns: predictions of each kind.
        views: numbers of views.
        batch: observations of a training step.
        matrix, traffic: edge of the matrices and bytes of the copy that the peaks are measured with.
    """

    config: ModelConfig
    pi0: dict[str, Any]
    turns: int = 50
    views: tuple[int, ...] = (1, 2)
    batch: int = 8
    matrix: int = 8192
    traffic: int = 2**30


def smoke_config() -> ModelConfig:
    """Return the smallest shape with every part the full one has."""
    return ModelConfig(
        name="smoke",
        semantic=SemanticConfig(
            image_size=56, patch_size=14, vision_width=32, vision_layers=1, vision_heads=2, language_width=32,
            language_layers=2, language_heads=2, language_key_value_heads=1, language_head_size=16,
            language_feedforward=64, vocabulary_size=64,
        ),
        spatial=SpatialConfig(image_size=112, width=32, layers=1, heads=2, fine_width=16),
        fusion=FusionConfig(width=32, heads=2, dropout=0.1, undisturbed=True),
        head=HeadConfig(queries=2, width=32, layers=2, heads=2, grounding="none"),
    )  # fmt: skip


def full_scale() -> Scale:
    """Return what is measured on a device."""
    return Scale(subject.unpublished(vipa_2b()), {})


def smoke_scale() -> Scale:
    """Return what a test can run on a processor."""
    config = smoke_config()
    return Scale(config, rival.same_size(config, rival.READINGS[0]), 2, (1, 2), 2, 256, 2**20)


def too_old() -> str:
    """Return which package is older than needed, "" where none is."""
    have = {"torch": torch.__version__, "transformers": transformers.__version__}
    old = [
        f"{name} {have[name]} (expected {needed[0]}.{needed[1]} or newer)"
        for name, needed in NEEDED.items()
        if tuple(int(part) for part in re.findall(r"\d+", have[name])[:2]) < needed
    ]
    return ", ".join(old)


def release(device: torch.device) -> None:
    """Let go of memory nobody holds, and begin to count its peak anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def variants(device: torch.device) -> dict[str, EngineOptions]:
    """Return the ways of running the network that are compared."""
    ways = {
        "eager": EngineOptions(precision="bf16", graphs=False),
        "graphed": EngineOptions(precision="bf16", graphs=True),
        "compiled_graphed": EngineOptions(precision="bf16", graphs=True, compile=True),
    }
    if device.type != "cuda":
        del ways["compiled_graphed"]  # there is nothing to compile for
    return ways


def inference(scale: Scale, card: Card, device: torch.device) -> dict[str, Any]:
    """Return the figures of every way of running the network, for every number of views."""
    figures: dict[str, Any] = {f"views_{views}": {} for views in scale.views}
    for name, options in variants(device).items():
        release(device)
        made = subject.subject(scale.config, options, device)
        for views in scale.views:
            figures[f"views_{views}"][name] = way(subject.with_views(made, views), scale, device)
        del made
    for views in scale.views:
        call = Call(views=views, words=rival.WORDS)
        least = 1e3 * inference_seconds(scale.config, call, card)
        parts = part_seconds(scale.config, call, card)
        section = figures[f"views_{views}"]
        section["roofline_ms"] = least
        section["roofline_parts_ms"] = {part: 1e3 * value for part, value in parts.items()}
        for name in variants(device):
            if "latency_ms_p50" in section[name]:
                section[name]["times_roofline"] = section[name]["latency_ms_p50"] / least
    return figures


def way(made: subject.Subject, scale: Scale, device: torch.device) -> dict[str, Any]:
    """Return latency, memory and, where parts can be told apart, the split of one way of running the network."""
    steps = scale.config.head.flow_steps
    release(device)
    try:
        times = take_turns({"chunk": lambda: made.predict(steps)}, scale.turns, warm_up=3, now=clock(device))["chunk"]
    except Exception as error:  # noqa: BLE001 - a compiler that is missing must not take the other figures with it
        return {"not_measured": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
    figures: dict[str, Any] = {
        "latency_ms_p50": median(times),
        "latency_ms_p99": quantile(times, 0.99),
        "peak_memory_gb": training.peak_memory(device),
    }
    options = made.engine.options
    if not options.compile and not (options.graphs and device.type == "cuda"):
        watch = Stopwatch(clock(device))
        parts = subject.split_of(made.engine, lambda: made.predict(steps), steps, scale.turns, watch)
        figures |= {"split_ms": parts, "head_share": subject.head_share(parts)}
    return figures


def rivals(scale: Scale, device: torch.device) -> dict[str, Any]:
    """Return the figures of PI0, for every number of views."""
    return {f"views_{views}": rival_figures(scale, device, views) for views in scale.views}


def rival_figures(scale: Scale, device: torch.device, views: int) -> dict[str, Any]:
    """Return the figures of PI0 for a number of views; nothing of it stays in memory."""
    release(device)
    model = rival.build(scale.pi0, torch.bfloat16, device, views)
    steps = {"default": model.default_steps, "equal": scale.config.head.flow_steps}
    actions = {name: partial(model.predict, count) for name, count in steps.items()}
    times = take_turns(actions, max(scale.turns // 2, 1), warm_up=2, now=clock(device))
    return {
        "image_tokens": model.image_tokens,
        "parameters": model.parameters,
        "default_steps": model.default_steps,
        "ms_default_steps": median(times["default"]),
        "ms_equal_steps": median(times["equal"]),
        "peak_memory_gb": training.peak_memory(device),
    }


def steps_of_training(scale: Scale, card: Card, device: torch.device) -> dict[str, Any]:
    """Return the figures of the training steps."""
    figures = {}
    for name in training.PLANS:
        release(device)
        turns = max(scale.turns // 10, 1)
        figures[name] = training.measure(name, scale.config, device, card.flops, scale.batch, turns, True)
    return figures


def measure(scale: Scale, device: torch.device) -> dict[str, Any]:
    """Measure everything at a scale; see the module."""
    began = time.perf_counter()
    card = peaks.measure(device, torch.bfloat16, scale.matrix, scale.traffic)
    ours = inference(scale, card, device)
    theirs = rivals(scale, device)
    best = min(
        section["latency_ms_p50"]
        for section in ours["views_1"].values()
        if isinstance(section, dict) and "latency_ms_p50" in section
    )
    return {
        "device": card.name,
        "shape": scale.config.name,
        "head": {"width": scale.config.head.width, "layers": scale.config.head.layers},
        "flow_steps": scale.config.head.flow_steps,
        "dtype": "bf16",
        "matrix_tflops": 1e-12 * card.flops,
        "bandwidth_gb_per_s": 1e-9 * card.bandwidth,
        "latency_ms_p50": best,
        "times_roofline": best / ours["views_1"]["roofline_ms"],
        "ratio_pi0_default": best / theirs["views_1"]["ms_default_steps"],
        "ratio_pi0_equal_steps": best / theirs["views_1"]["ms_equal_steps"],
        "inference": ours,
        "pi0": theirs,
        "training": steps_of_training(scale, card, device),
        "versions": versions(),
        "took_s": time.perf_counter() - began,
    }


def save(figures: dict[str, Any], folder: Path) -> Path:
    """Write figures as gpu_<device>.json into a folder; return where."""
    name = re.sub(r"[^a-z0-9]+", "_", str(figures["device"]).lower()).strip("_")
    path = folder / f"gpu_{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return path


def report(figures: dict[str, Any]) -> None:
    """Print the figures that there are targets for, and everything as one line of JSON."""
    print(
        f"{figures['shape']} on {figures['device']}: {figures['latency_ms_p50']:.2f} ms a chunk with one view (target "
        f"{LATENCY_TARGET:.0f}), {figures['times_roofline']:.2f} times its roofline (target {ROOFLINE_TARGET:.0f})"
    )
    print(json.dumps(figures))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 3 without a CUDA device, 4 with packages that are too old."""
    parser = argparse.ArgumentParser(description="The full-size model on a CUDA device.")
    parser.add_argument("--smoke", action="store_true", help="tiny shapes on any device; the figures mean nothing")
    parser.add_argument("--save", type=Path, help="folder to keep the figures in, as gpu_<device>.json")
    parser.add_argument("--turns", type=int, help="predictions of each kind")
    parser.add_argument("--batch", type=int, help="observations of a training step")
    chosen = parser.parse_args(arguments)
    old = too_old()
    if old:
        print(f"bench-gpu: {old}; install newer ones with: pip install -U torch transformers", file=sys.stderr)
        return TOO_OLD
    if not torch.cuda.is_available() and not chosen.smoke:
        print(
            "bench-gpu: torch sees no CUDA device, so there is nothing to measure; run it on a machine with one (the "
            "same code at tiny shapes: python -m vipa_policy.bench.gpu --smoke)",
            file=sys.stderr,
        )
        return NO_DEVICE
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scale = smoke_scale() if chosen.smoke else full_scale()
    changes = {name: getattr(chosen, name) for name in ("turns", "batch") if getattr(chosen, name)}
    figures = rounded(measure(dataclasses.replace(scale, **changes), device))
    report(figures)
    if chosen.save is not None:
        print(f"kept in {save(figures, chosen.save)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
