"""How long a chunk takes on this processor, where the time goes, and how that compares with PI0 of the same size.

    python -m vipa_policy.bench.model [--checkpoint vipa-tiny --threads 0 --turns 30] [--shape 1b]

prints a table and one line of JSON. Ours is ``VipaPolicy.predict``, all in, from the camera's image to poses. PI0 is
transformers' own with random weights (vipa_policy.bench.rival) and gets its inputs ready made. Both take turns in one
process, on the same number of threads, each in the format that was faster for it. Ratios are medians over the turns.

With ``--shape 1b`` it is the network alone at the shape of InternVL3.5-1B, both with random weights, which takes about
15 GB of memory and some minutes. Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
import transformers

from vipa_policy.bench import rival, subject
from vipa_policy.bench.reporting import processor, rounded
from vipa_policy.bench.timing import Clock, Stopwatch, median, quantile, ratio, take_turns
from vipa_policy.model import VipaPolicy, load_policy
from vipa_policy.model.config import ModelConfig
from vipa_policy.model.engine import EngineOptions
from vipa_policy.model.policy import measured_state
from vipa_policy.observation import Observation

Model = TypeVar("Model")
WORDS = "reach the red block"
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRIALS = 5  # turns that the choice of a format is made by
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
STRICT = rival.READINGS[0]  # the reading of "the same image tokens" that favours PI0
SHAPES = {"1b": subject.vipa_1b, "2b": subject.vipa_2b}


def fastest(candidates: dict[str, Callable[[], Any]], now: Clock, turns: int = TRIALS) -> tuple[str, dict[str, float]]:
    """Return the name of the fastest of some actions, and the median ms of each."""
    times = {name: median(values) for name, values in take_turns(candidates, turns, warm_up=1, now=now).items()}
    return min(times, key=lambda name: times[name]), times


def versions() -> dict[str, str]:
    """Return what a figure depends on."""
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "processor": processor(),
    }


@dataclass(frozen=True)
class Chosen(Generic[Model]):
    """A model in the format that is fastest here, the format's name, and the median ms of each."""

    model: Model
    dtype: str
    formats_ms: dict[str, float]


def fastest_policy(checkpoint: str, now: Clock) -> Chosen[VipaPolicy]:
    """Return a checkpoint's policy in the format that is fastest here."""
    policies = {name: load_policy(checkpoint, "cpu", options=EngineOptions(precision=name)) for name in FORMATS}
    seen = observation_of(policies["fp32"])
    chosen, times = fastest({name: predictor(policy, seen, None) for name, policy in policies.items()}, now)
    return Chosen(policies[chosen], chosen, times)


def observation_of(policy: VipaPolicy) -> Observation:
    """Return an observation with the views that a policy takes."""
    return subject.observation([camera.name for camera in policy.contract.cameras])


def predictor(policy: VipaPolicy, seen: Observation, steps: int | None) -> Callable[[], Any]:
    """Return an action that predicts one chunk, all in."""
    return lambda: policy.predict(seen, WORDS, seed=0, flow_steps=steps)


def fastest_rival(config: ModelConfig, reading: str, views: int, now: Clock) -> Chosen[rival.Rival]:
    """Return the PI0 of a size in the format that is fastest here, at its own number of steps."""
    arguments = rival.same_size(config, reading)
    models = {name: rival.build(arguments, dtype, views=views) for name, dtype in FORMATS.items()}
    chosen, times = fastest({name: partial(model.predict, model.default_steps) for name, model in models.items()}, now)
    return Chosen(models[chosen], chosen, times)


def network_alone(policy: VipaPolicy, seen: Observation, steps: int) -> Callable[[], Any]:
    """Return an action that predicts one chunk from inputs that are ready, as PI0 gets them."""
    inputs, noise = policy.prepare(seen), policy.engine.noise(0)
    state = torch.from_numpy(measured_state(seen.camera_from_tip, seen.gripper_width).astype("float32"))[None]
    tokens = list(range(5, 5 + rival.WORDS))
    return lambda: policy.engine.predict(inputs, tokens, state, noise, steps)


def name_of(reading: str, steps: int) -> str:
    """Return the name under which a PI0 takes its turns."""
    return f"PI0, {reading}, {steps} steps"


def measure(checkpoint: str, turns: int, now: Clock) -> dict[str, Any]:
    """Measure a checkpoint beside PI0 of the same size under both readings of "the same image tokens"."""
    found = fastest_policy(checkpoint, now)
    policy, config = found.model, found.model.engine.network.config
    seen, own = observation_of(policy), config.head.flow_steps
    rivals = {reading: fastest_rival(config, reading, len(seen.views), now) for reading in rival.READINGS}
    theirs = rivals[STRICT].model.default_steps
    actions = {
        "ours": predictor(policy, seen, own),
        "ours, their steps": predictor(policy, seen, theirs),
        "ours, network": network_alone(policy, seen, own),
    }
    for reading, other in rivals.items():
        actions |= {name_of(reading, steps): partial(other.model.predict, steps) for steps in (theirs, own)}
    times = take_turns(actions, turns, warm_up=3, now=now)
    parts = subject.split_of(policy.engine, actions["ours"], own, turns, Stopwatch(now), policy)
    pi0 = {reading: compared(other, times, reading, own) for reading, other in rivals.items()}
    return {
        "latency_ms_p50": median(times["ours"]),
        "latency_ms_p99": quantile(times["ours"], 0.99),
        "ratio_pi0_default": pi0[STRICT]["ratio_default"],
        "ratio_pi0_equal_steps": pi0[STRICT]["ratio_equal"],
        "head_share": subject.head_share(parts),
        "split_ms": parts,
        "flow_steps": own,
        "dtype": found.dtype,
        "formats_ms": found.formats_ms,
        "folded": policy.engine.fused is not None,
        "parameters": sum(parameter.numel() for parameter in policy.engine.network.parameters()),
        "checkpoint": policy.name,
        "pi0": pi0,
        "headline_reading": STRICT,
    }


def compared(other: Chosen[rival.Rival], times: dict[str, list[float]], reading: str, own: int) -> dict[str, Any]:
    """Return the figures of a PI0 and ours in relation to them; ``own`` is our number of steps."""
    model = other.model
    default, equal = times[name_of(reading, model.default_steps)], times[name_of(reading, own)]
    return {
        "image_tokens": model.image_tokens,
        "parameters": model.parameters,
        "default_steps": model.default_steps,
        "dtype": other.dtype,
        "formats_ms": other.formats_ms,
        "ms_default_steps": median(default),
        "ms_equal_steps": median(equal),
        "ratio_default": ratio(times["ours"], default),
        "ratio_equal": ratio(times["ours"], equal),
        "ratio_equal_at_default_steps": ratio(times["ours, their steps"], default),
        "ratio_default_network_alone": ratio(times["ours, network"], default),
        "ratio_equal_network_alone": ratio(times["ours, network"], equal),
    }


def shape_alone(config: ModelConfig, precision: str, turns: int, now: Clock) -> dict[str, Any]:
    """Return the figures of the network alone at a shape, random weights."""
    made = subject.subject(subject.unpublished(config), EngineOptions(precision=precision))
    own = config.head.flow_steps
    times = take_turns({"ours": lambda: made.predict(own)}, turns, warm_up=1, now=now)["ours"]
    parts = subject.split_of(made.engine, lambda: made.predict(own), own, 1, Stopwatch(now))
    return {
        "latency_ms_p50": median(times),
        "latency_ms_p99": quantile(times, 0.99),
        "head_share": subject.head_share(parts),
        "split_ms": parts,
        "flow_steps": own,
        "dtype": precision,
        "parameters": made.parameters,
        "shape": config.name,
    }


def rival_alone(config: ModelConfig, reading: str, precision: str, turns: int, now: Clock) -> dict[str, Any]:
    """Return the figures of PI0 at a shape, random weights."""
    model = rival.build(rival.same_size(config, reading), FORMATS[precision])
    steps = {"default": model.default_steps, "equal": config.head.flow_steps}
    times = take_turns(
        {name: partial(model.predict, count) for name, count in steps.items()}, turns, warm_up=0, now=now
    )
    return {
        "image_tokens": model.image_tokens,
        "parameters": model.parameters,
        "default_steps": model.default_steps,
        "ms_default_steps": median(times["default"]),
        "ms_equal_steps": median(times["equal"]),
    }


def measure_shape(config: ModelConfig, precision: str, turns: int, now: Clock) -> dict[str, Any]:
    """Measure the network alone at a shape beside PI0 of the same size, one after the other: each needs the memory."""
    figures = shape_alone(config, precision, turns, now)
    rivals = {}
    for reading in rival.READINGS:
        gc.collect()
        rivals[reading] = rival_alone(config, reading, precision, turns, now)
        for steps in ("default", "equal"):
            rivals[reading][f"ratio_{steps}"] = figures["latency_ms_p50"] / rivals[reading][f"ms_{steps}_steps"]
    strict = rivals[STRICT]
    return figures | {
        "ratio_pi0_default": strict["ratio_default"],
        "ratio_pi0_equal_steps": strict["ratio_equal"],
        "pi0": rivals,
        "headline_reading": STRICT,
    }


def report(figures: dict[str, Any]) -> None:
    """Print figures: the parts as a table, everything as one line of JSON."""
    for name, value in figures["split_ms"].items():
        print(f"{name:16s} {value:9.2f} ms")
    print(
        f"chunk {figures['latency_ms_p50']:.1f} ms, head {figures['head_share']:.0%}, of PI0: "
        f"{figures['ratio_pi0_default']:.2f} at default steps, {figures['ratio_pi0_equal_steps']:.2f} at equal ones"
    )
    print(json.dumps(rounded(figures)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description="Chunk latency on this processor, beside PI0 of the same size.")
    parser.add_argument("--checkpoint", default="vipa-tiny", help="folder or name of the policy")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves torch its choice")
    parser.add_argument("--turns", type=int, default=30, help="predictions of each model")
    parser.add_argument(
        "--clock",
        choices=sorted(CLOCKS),
        default="wall",
        help="processor: time this process had a processor, over all threads; what is left of a busy machine's figures",
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), help="a published shape with random weights instead")
    parser.add_argument("--precision", choices=sorted(FORMATS), default="bf16", help="of --shape")
    options = parser.parse_args(arguments)
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    began, now = time.perf_counter(), CLOCKS[options.clock]
    if options.shape:
        figures = measure_shape(SHAPES[options.shape](), options.precision, max(options.turns // 30, 1), now)
    else:
        figures = measure(options.checkpoint, options.turns, now)
    figures |= {
        "threads": torch.get_num_threads(),
        "clock": options.clock,
        "load": os.getloadavg()[0],
        "versions": versions(),
        "took_s": time.perf_counter() - began,
    }
    report(figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
