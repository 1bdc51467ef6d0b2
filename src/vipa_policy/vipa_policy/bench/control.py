"""What a setpoint costs, and how evenly each seam policy goes through a plan that is predicted again and again.

    python -m vipa_policy.bench.control

prints one line of JSON: ``setpoint_us`` (median and 99th percentile of one executor tick in microseconds),
``chunk_us`` (median of accepting a chunk), and per seam policy the distance of setpoints one row apart (least, mean,
greatest, mm) and the jerk (root mean square and greatest, m/s^3) of a stream re-predicted every few setpoints, with
noise. Used by tests/unit/test_control_stream.py.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.executor import Executor, Settings
from vipa_policy.control.limits import Limits
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.geometry import Array

TICK = 0.01
ROW = 7
"""Setpoints between two rows."""
ROWS = 16
# Long enough that a plan at full speed does not come near its walls.
LIMITS = Limits(lower=(0.2, -0.5, 0.005), upper=(0.8, 20.0, 0.6))


@dataclass(frozen=True)
class Replanning:
    """A policy that predicts the same steady motion again and again.

    Attributes:
        seam: policy of the executor.
        speed: m/s of the plan, in y. spin: rad/s of the plan, about z.
        every: setpoints between two chunks. behind: setpoints between an image and its chunk.
        lag: setpoints by which the arm follows its command.
        noise: m, standard deviation of a chunk's offset. turn_noise: rad, the same of its rotation.
        from_measured: chunks begin where the arm was seen; otherwise they tell the same path in time, whatever the arm
            does.
        chunks: number of chunks. seed: of the noise.
    """

    seam: str = "blend"
    speed: float = 0.19
    spin: float = 0.0
    every: int = 7
    behind: int = 8
    lag: int = 5
    noise: float = 0.0
    turn_noise: float = 0.0
    from_measured: bool = True
    chunks: int = 60
    seed: int = 0


@dataclass(frozen=True)
class Streamed:
    """What came of it: poses (n, 4, 4) one setpoint apart, and durations in s of ticks and of accepting chunks."""

    poses: Array
    ticks: Array
    accepts: Array

    def spacing(self, skip: int) -> Array:
        """Return distances (n,) in m of setpoints one row apart, without the first ``skip`` setpoints."""
        places = self.poses[skip:, :3, 3]
        return np.linalg.norm(places[ROW:] - places[:-ROW], axis=1)

    def jerk(self, skip: int) -> Array:
        """Return norms (n,) of the jerk of the position in m/s^3."""
        return np.linalg.norm(np.diff(self.poses[skip:, :3, 3], 3, axis=0), axis=1) / TICK**3


def start_pose() -> Array:
    """Return a pose (4, 4) above the table, pointing down."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("x", np.pi).as_matrix()
    pose[:3, 3] = (0.4, 0.0, 0.3)
    return pose


def stream(plan: Replanning, settings: Settings | None = None, limits: Limits = LIMITS) -> Streamed:
    """Let an executor follow a policy that predicts a steady motion again and again."""
    rng = np.random.default_rng(plan.seed)
    start = start_pose()
    executor = Executor(limits, settings or Settings(period=TICK, seam=plan.seam), start, 0.0)
    poses, arriving, ticks, accepts = [start], [], [], []
    for step in range(plan.chunks * plan.every):
        now = step * TICK
        if step % plan.every == 0:
            seen = poses[max(len(poses) - 1 - plan.lag, 0)]
            if not plan.from_measured:
                seen = _moved(start, plan, now)
            arriving.append((step + plan.behind, _chunk(seen, plan, now, 1 + step // plan.every, rng)))
        while arriving and arriving[0][0] <= step:
            began = time.perf_counter()
            executor.accept_chunk(arriving.pop(0)[1], now)
            accepts.append(time.perf_counter() - began)
        began = time.perf_counter()
        executor.tick(now + TICK)
        ticks.append(time.perf_counter() - began)
        poses.append(executor.base_from_tip)
    return Streamed(np.array(poses), np.array(ticks), np.array(accepts))


def _moved(pose: Array, plan: Replanning, span: float) -> Array:
    """The pose after some s of the plan."""
    moved = pose.copy()
    moved[1, 3] += plan.speed * span
    moved[:3, :3] = Rotation.from_rotvec([0.0, 0.0, plan.spin * span]).as_matrix() @ pose[:3, :3]
    return moved


def _chunk(seen: Array, plan: Replanning, stamp: float, identifier: int, rng: np.random.Generator) -> BaseChunk:
    period = ROW * TICK
    rows = np.array([_moved(seen, plan, (row + 1) * period) for row in range(ROWS)])
    rows[:, :3, 3] += rng.normal(0.0, plan.noise, 3)
    rows[:, :3, :3] = Rotation.from_rotvec(rng.normal(0.0, plan.turn_noise, 3)).as_matrix() @ rows[:, :3, :3]
    return BaseChunk(identifier, stamp, period, rows, np.full(ROWS, 0.08), start=seen)


def main(arguments: list[str] | None = None) -> None:
    """Print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description="Cost of a setpoint, and evenness of the motion per seam policy.")
    parser.add_argument("--chunks", type=int, default=300, help="of each stream (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=2e-4, help="m, of each chunk's offset (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=0.19, help="m/s of the plan (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    stream(Replanning(chunks=20))  # what is only done once is not a setpoint's cost
    seams, ticks, accepts = {}, [], []
    for seam in SEAM_POLICIES:
        plan = Replanning(
            seam, speed=chosen.speed, spin=0.2, noise=chosen.noise, turn_noise=5.0 * chosen.noise, chunks=chosen.chunks
        )
        streamed = stream(plan)
        spacing, jerk = streamed.spacing(100) * 1e3, streamed.jerk(100)
        seams[seam] = {
            "spacing_mm": [round(float(value), 2) for value in (spacing.min(), spacing.mean(), spacing.max())],
            "jerk_rms": round(float(np.sqrt(np.mean(jerk**2))), 2),
            "jerk_max": round(float(jerk.max()), 2),
        }
        ticks.append(streamed.ticks)
        accepts.append(streamed.accepts)
    costs = np.concatenate(ticks) * 1e6
    print(
        json.dumps(
            {
                "setpoint_us": round(float(np.median(costs)), 1),
                "setpoint_us_p99": round(float(np.percentile(costs, 99)), 1),
                "chunk_us": round(float(np.median(np.concatenate(accepts))) * 1e6, 1),
                "planned_spacing_mm": round(chosen.speed * ROW * TICK * 1e3, 2),
                "seams": seams,
            }
        )
    )


if __name__ == "__main__":
    main()
