"""What each step on the way from a picture to the timeline costs, in processor time: the parts that code can change.

    python -m vipa_sim.nodes.runtime.steps

prints a table and one line of JSON, in us. Processor time, so that a busy machine changes little about it.
Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from std_msgs.msg import Header
from tf2_ros import Buffer

from vipa_msgs.msg import ActionChunk, ChunkTimings
from vipa_policy.bench.reporting import rounded
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.executor import Executor, Settings
from vipa_policy.control.limits import Limits
from vipa_policy.nodes.conversions import (
    chunk_from_message,
    chunk_to_message,
    depth_from_image,
    pose_from_matrix,
    pose_stamped,
    rgb_from_image,
    stamp_from_nanoseconds,
    transform_stamped,
)
from vipa_policy.nodes.reception import picture_from
from vipa_policy.observation import Chunk
from vipa_sim.nodes.runtime.camera_replay import serialised_image
from vipa_sim.nodes.runtime.moving_camera import CONTRACT
from vipa_sim.nodes.runtime.stage import BASE, CAMERA, HEIGHT, START, TIP, WIDTH, WORDS

SECOND = 1_000_000_000
REPEATS = 300
SETPOINTS_A_CHUNK = 7


def plan(speed: float = 0.2) -> Chunk:
    """Return a chunk of a steady motion in x that also turns a little."""
    rows = np.tile(START, (CONTRACT.horizon, 1, 1))
    rows[:, 0, 3] += speed * CONTRACT.control_period * np.arange(CONTRACT.horizon)
    for row, angle in enumerate(0.02 * np.arange(CONTRACT.horizon)):
        turn = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
        rows[row, :3, :3] = turn @ rows[row, :3, :3]
    return Chunk(1.0, rows, np.full(CONTRACT.horizon, 0.04), None, 0.0, WORDS)


def conversions() -> dict[str, Callable[[], Any]]:
    """Return the steps that turn messages into what the library takes, and back."""
    rng = np.random.default_rng(0)
    colour = bytes(serialised_image(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), "rgb8", 3))
    depth = bytes(serialised_image(rng.integers(500, 1500, (HEIGHT, WIDTH), dtype=np.uint16), "16UC1", 2))
    picture, distances = picture_from(colour), picture_from(depth)
    chunk, header = plan(), Header(stamp=stamp_from_nanoseconds(SECOND), frame_id=CAMERA)
    message = chunk_to_message(chunk, CONTRACT, 1, header, ChunkTimings())
    serialised = bytes(serialize_message(message))
    buffer = Buffer()
    for moment in (SECOND, 2 * SECOND):
        buffer.set_transform(transform_stamped(START, BASE, TIP, stamp_from_nanoseconds(moment)), "steps")
    between = Time(nanoseconds=SECOND + SECOND // 2)
    stamp = stamp_from_nanoseconds(SECOND)
    return {
        "colour from bytes": lambda: picture_from(colour),
        "depth from bytes": lambda: picture_from(depth),
        "colour as an array": lambda: rgb_from_image(picture),
        "depth in metres": lambda: depth_from_image(distances),
        "transform at a stamp": lambda: buffer.lookup_transform(BASE, TIP, between),
        "chunk to a message": lambda: chunk_to_message(chunk, CONTRACT, 1, header, ChunkTimings()),
        "chunk to bytes": lambda: serialize_message(message),
        "chunk from bytes": lambda: deserialize_message(serialised, ActionChunk),
        "chunk from a message": lambda: chunk_from_message(message),
        "committed rows as poses": lambda: [pose_from_matrix(pose) for pose in chunk.camera_from_tip],
        "setpoint as a message": lambda: pose_stamped(START, BASE, stamp),
    }


def motion(repeats: int) -> dict[str, float]:
    """Return the median us of accepting a chunk and of a setpoint, of an executor that is kept moving."""
    chunk, period = plan(), 0.01
    executor = Executor(Limits(lower=(0.2, -0.5, 0.005), upper=(20.0, 0.5, 0.6)), Settings(period=period), START, 0.0)
    accepts, ticks, now = [], [], 0.0
    for number in range(1, repeats + 1):
        rows = chunk.camera_from_tip.copy()
        rows[:, :3, 3] += executor.base_from_tip[:3, 3] - START[:3, 3]
        start = executor.base_from_tip
        placed = BaseChunk(number, now - 0.05, CONTRACT.control_period, rows, chunk.gripper, start=start)
        accepts.append(spent(lambda placed=placed, now=now: executor.accept_chunk(placed, now)))  # type: ignore[misc]
        for _ in range(SETPOINTS_A_CHUNK):
            now += period
            ticks.append(spent(lambda now=now: executor.tick(now)))  # type: ignore[misc]
    return {"chunk onto the timeline": float(np.median(accepts)), "setpoint from the library": float(np.median(ticks))}


def spent(step: Callable[[], Any]) -> float:
    """Return the us of processor time that a step took."""
    began = time.thread_time_ns()
    step()
    return 1e-3 * (time.thread_time_ns() - began)


def costs(repeats: int) -> dict[str, float]:
    """Return the median us of every step; all take turns."""
    steps = conversions()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            times[name].append(spent(step))
    return {name: float(np.median(values)) for name, values in times.items()} | motion(repeats)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of each step (default: %(default)s)")
    found = costs(parser.parse_args(arguments).repeats)
    for name, value in found.items():
        print(f"{name:28s}{value:9.1f} us")
    print(json.dumps(rounded({name.replace(" ", "_"): value for name, value in found.items()})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
