"""The closed loop in this process, on simulated time: cell, policy and executor, with latencies that are stated.

The graph's clock runs on while a policy thinks, so what a loaded machine measures there is its own load. Here a
prediction takes ``Latency`` of simulated time, however long the processor takes, and the same seed gives the same
motion. Rates and rules are the graph's: images at 15 Hz, the newest one answered as soon as the policy is free,
setpoints at the arm's rate on the cell's clock, ExecutionState 20 times a second, the judge's 10 ms.

    python -m vipa_sim.closed_loop --task reach --number 20 --seam rtc

Guarded by tests/sim/test_closed_loop.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vipa_policy.commitment import Commitment, Followed, Published
from vipa_policy.contract import ActionContract
from vipa_policy.control.chunk import BaseChunk, Executable
from vipa_policy.control.executor import Executor, Settings, State
from vipa_policy.control.limits import Limits
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.errors import ChunkError
from vipa_policy.geometry import Array, inverse
from vipa_policy.observation import Chunk, CommittedTail, Observation
from vipa_policy.presets import franka_contract
from vipa_sim import experts
from vipa_sim.cell import SCENE, Cell, CellConfig
from vipa_sim.errands import Errand, choose_errands
from vipa_sim.evaluation import LAYOUTS_PER_SEED, TIME_LIMITS, TrialResult, seam_table, summarise
from vipa_sim.evaluation import Settings as Run
from vipa_sim.experts import TASKS
from vipa_sim.judge import Judge, TrialStatus
from vipa_sim.observing import observe
from vipa_sim.pacing import NANOSECONDS, FrameSchedule
from vipa_sim.scene import CellSnapshot, sample_layout
from vipa_sim.smoothness import smoothness_of

TICK = 0.004
"""s of simulated time, as the cell node ticks."""
IMAGE_RATE = 15.0
STATE_PERIOD = 0.05
JUDGE_PERIOD = 0.01
# Simulated stamps are sums of ticks.
SLACK = 1e-6
SCRIPTED = "scripted"


class Predictor(Protocol):
    """A policy as the loop uses it."""

    contract: ActionContract
    """What its chunks mean."""

    def observe(self, cell: Cell, stamp_ns: int) -> Any:
        """Return what it is to be shown of the cell now; it has a ``stamp`` in s."""

    def predict(self, observation: Any, instruction: str, *, committed: CommittedTail | None, seed: int) -> Chunk:
        """Predict a chunk."""


class Learned:
    """A checkpoint, which sees the scene camera's picture."""

    def __init__(self, name: str) -> None:
        from vipa_policy.model import load_policy  # torch takes seconds

        self._policy = load_policy(name, "cpu", 1)
        self.contract = self._policy.contract

    def observe(self, cell: Cell, stamp_ns: int) -> Observation:
        """Take a picture."""
        return observe(cell, stamp_ns)

    def predict(
        self, observation: Observation, instruction: str, *, committed: CommittedTail | None, seed: int
    ) -> Chunk:
        """Predict a chunk."""
        return self._policy.predict(observation, instruction, committed=committed, seed=seed)


@dataclass(frozen=True)
class Truth:
    """What the scripted expert sees of one instant: everything."""

    stamp: float
    snapshot: CellSnapshot
    camera_from_world: Array


class Expert:
    """The scripted expert as a policy.

    Args:
        noise: m, standard deviation of each row's position, drawn anew for every row: a learned policy's roughness.
    """

    def __init__(self, noise: float = 0.0) -> None:
        self._noise = noise
        self.contract = franka_contract()

    def observe(self, cell: Cell, stamp_ns: int) -> Truth:
        """Look at the cell's truth."""
        return Truth(stamp_ns / NANOSECONDS, cell.snapshot(), inverse(cell.world_from_camera(SCENE)))

    def predict(self, observation: Truth, instruction: str, *, committed: CommittedTail | None, seed: int) -> Chunk:
        """Return the expert's plan; it continues no tail."""
        words = experts.parse_instruction(instruction)
        destination = f"{words.bowl}_bowl" if words.bowl else None
        period, horizon = self.contract.control_period, self.contract.horizon
        target = f"{words.colour}_block"
        rows = experts.plan(words.task, observation.snapshot, target, destination, period, horizon)
        poses = observation.camera_from_world @ rows.base_from_tip
        poses[:, :3, 3] += np.random.default_rng(seed).normal(0.0, self._noise, (horizon, 3))
        return Chunk(observation.stamp, poses, rows.gripper, None, 0.0, instruction)


@dataclass(frozen=True)
class Latency:
    """What passes of simulated time, in s.

    Attributes:
        observing: from an image's stamp until its observation is complete.
        inference: of one prediction; the policy takes the newest observation when it is done.
        delivery: from the prediction to the executor.
        measuring: age of the tip's pose that the arm compares with its command.
    """

    observing: float = 0.008
    inference: float = 0.06
    delivery: float = 0.004
    measuring: float = 0.004


@dataclass(frozen=True)
class Delivery:
    """A chunk on its way, and when it gets there (s)."""

    due: float
    chunk: BaseChunk


@dataclass
class Record:
    """What one trial did.

    Attributes:
        stamps: s, of setpoints. setpoints: (4, 4) each, while chunks were followed.
        tip: (3,) m each, measured, a tick apart.
        gaps: m, at each seam: what the new chunk and the motion before were apart.
        paces: share of the plan's speed, at each setpoint.
        joined: how many chunks each policy joined.
        refused: chunks that were not followed. holds: reasons of holds.
        chunks: positions (rows, 3) m of every chunk, for looking at.
    """

    stamps: list[float] = field(default_factory=list)
    setpoints: list[Array] = field(default_factory=list)
    tip: list[Array] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)
    joined: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    chunks: list[BaseChunk] = field(default_factory=list)


class ClosedLoop:
    """One trial after another in a cell.

    Args:
        cell: with the node's timestep.
        policy: predicts chunks.
        settings, limits: of the executor.
        inpainting: whether the policy is told what the arm is committed to; goes with the seam policy ``rtc``.
        latency: of everything.
    """

    def __init__(
        self,
        cell: Cell,
        policy: Predictor,
        settings: Settings | None = None,
        limits: Limits | None = None,
        inpainting: bool = False,
        latency: Latency | None = None,
    ) -> None:
        self.cell = cell
        self.policy = policy
        self.settings = settings or Settings()
        self.limits = limits or Limits()
        self.inpainting = inpainting
        self.latency = latency or Latency()

    def run(self, errand: Errand, time_limit: float, seed: int) -> tuple[TrialStatus, Record]:
        """Carry an errand out from the cell's present state and judge it; ``seed`` is that of the policy's noise."""
        trial = _Trial(self, errand, time_limit, seed)
        while not trial.status.finished:
            trial.tick()
        trial.record.holds += [ending.reason for ending in trial.executor.endings]
        return trial.status, trial.record


class _Trial:
    """One trial under way."""

    def __init__(self, loop: ClosedLoop, errand: Errand, time_limit: float, seed: int) -> None:
        self._loop, self._cell, self._latency = loop, loop.cell, loop.latency
        self._words, self._seed = errand.words, seed
        contract = loop.policy.contract
        self._contract = contract
        # The cell's time goes on from trial to trial; the loop counts its own ticks, so that a trial is its seed alone.
        self._ticks = 0
        start = self._cell.base_from_tip
        self.executor = Executor(
            loop.limits, loop.settings, start, 0.0, executable=Executable(contract.tip_frame, contract.mode)
        )
        self.record = Record()
        self._judge = Judge(errand.task, errand.target, errand.destination or None, time_limit)
        self.status = self._judge.update(self._cell.snapshot())
        self._judged = 0.0
        self._schedule = FrameSchedule(IMAGE_RATE)
        self._next_setpoint = loop.settings.period
        self._next_state = 0.0
        self._measured: list[tuple[float, Array]] = [(0.0, start)]
        self._seen: tuple[float, Any, Array, Array] | None = None
        self._free_at = 0.0
        self._deliveries: list[Delivery] = []
        self._commitment = Commitment()
        self._identifier = 0
        self._seam = 0

    @property
    def _now(self) -> float:
        return self._ticks * TICK

    def tick(self) -> None:
        """Let one tick of simulated time pass, in the order in which the graph's nodes come to their turn."""
        self._cell.step(TICK)
        self._ticks += 1
        now = self._now
        self._measured = [*self._measured[-10:], (now, self._cell.base_from_tip)]
        self.record.tip.append(self._cell.base_from_tip[:3, 3])
        if now >= self._judged - SLACK:
            self._judged = now + JUDGE_PERIOD
            self.status = self._judge.update(self._cell.snapshot())
        stamp_ns = round(now * NANOSECONDS)
        if self._schedule.due(stamp_ns):
            self._see(stamp_ns)
        self._deliver(now)
        if now >= self._next_setpoint - SLACK:
            self._next_setpoint += self._loop.settings.period
            self._stream(now)
        if now >= self._next_state - SLACK:
            self._next_state += STATE_PERIOD
            self._look_around(now)
        self._predict(now)

    def _see(self, stamp_ns: int) -> None:
        observation = self._loop.policy.observe(self._cell, stamp_ns)
        ready = observation.stamp + self._latency.observing
        self._seen = (ready, observation, self._cell.world_from_camera(SCENE), self._cell.base_from_tip)

    def _predict(self, now: float) -> None:
        """Begin a prediction where the policy is free and has not seen the newest observation."""
        if self._seen is None or now < max(self._free_at, self._seen[0]) - SLACK:
            return
        _, observation, base_from_camera, start = self._seen
        self._seen = None
        tail = None
        if self._loop.inpainting:
            camera_from_base = inverse(base_from_camera)
            tail = self._commitment.tail(
                self._contract, self._words, now, observation.stamp, lambda frame: camera_from_base
            )
        seed = self._seed * 10_007 + self._identifier
        chunk = self._loop.policy.predict(observation, self._words, committed=tail, seed=seed)
        self._identifier += 1
        self._free_at = now + self._latency.inference
        self._commitment.published(Published(self._identifier, chunk.stamp, chunk.instruction), self._latency.inference)
        moved = BaseChunk(
            identifier=self._identifier,
            stamp=chunk.stamp,
            period=self._contract.control_period,
            base_from_tip=base_from_camera @ chunk.camera_from_tip,
            gripper=chunk.gripper,
            contract=self._contract,
            start=start,
        )
        self._deliveries.append(Delivery(self._free_at + self._latency.delivery, moved))

    def _deliver(self, now: float) -> None:
        while self._deliveries and self._deliveries[0].due <= now + SLACK:
            chunk = self._deliveries.pop(0).chunk
            self.record.chunks.append(chunk)
            try:
                self.executor.accept_chunk(chunk, now)
            except ChunkError as error:
                self.record.refused.append(str(error))

    def _stream(self, now: float) -> None:
        setpoint = self.executor.tick(now, gripper_busy=self._cell.gripper_moving)
        if setpoint is None:
            return
        self._cell.set_target(setpoint.base_from_tip)
        if setpoint.gripper is not None:
            self._cell.set_gripper(setpoint.gripper)
        record = self.record
        record.stamps.append(setpoint.stamp)
        record.setpoints.append(setpoint.base_from_tip)
        record.paces.append(self.executor.pace)
        seam = self.executor.seam
        if seam.chunk != self._seam:
            self._seam = seam.chunk
            record.joined[seam.policy] = record.joined.get(seam.policy, 0) + 1
            if seam.policy != "start":
                record.gaps.append(seam.gap)

    def _look_around(self, now: float) -> None:
        """Compare with the measured pose, tell what is committed."""
        due = now - self._latency.measuring + SLACK
        stamp, measured = ([seen for seen in self._measured if seen[0] <= due] or self._measured[:1])[-1]
        executor = self.executor
        executor.measure(measured, now, stamp)
        poses, gripper = executor.committed()
        if executor.state is not State.FOLLOWING:
            poses, gripper = poses[:0], gripper[:0]
        self._commitment.followed(
            Followed(now, executor.chunk_id, executor.consumed, executor.ahead, executor.lead, poses, gripper)
        )


def evaluate(loop: ClosedLoop, task: str, seed: int, number: int, first: int = 0) -> list[tuple[TrialResult, Record]]:
    """Run the trials that the graph's evaluation would run with this seed, on held-out layouts, each from rest."""
    results = []
    words = ""
    for index in range(first, first + number):
        layout = sample_layout(seed * LAYOUTS_PER_SEED + index, held_out=True)
        loop.cell.reset(layout)
        generator = np.random.default_rng([seed, index, 4])
        blocks = [item.colour for item in layout.blocks]
        errand, *_ = choose_errands(task, blocks, [item.colour for item in layout.bowls], generator, words)
        words = errand.words
        target = loop.cell.snapshot().find(errand.target).grasp_point
        status, record = loop.run(errand, TIME_LIMITS[task], layout.seed)
        smoothness = smoothness_of(
            record.stamps, [pose[:3, 3] for pose in record.setpoints], loop.settings.period, record.tip, TICK
        )
        result = TrialResult(
            index=index,
            swapped=False,
            layout_seed=layout.seed,
            instruction=errand.words,
            target=errand.target,
            succeeded=status.succeeded,
            error=status.distance,
            elapsed=status.elapsed,
            nearest=status.nearest,
            path=tuple((float(place[0]), float(place[1])) for place in record.tip[::17]),
            target_point=(float(target[0]), float(target[1])),
            gaps=tuple(record.gaps),
            **dataclasses.asdict(smoothness),
        )
        results.append((result, record))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials for each seam policy asked for and print their figures, JSON last."""
    parser = argparse.ArgumentParser(description="Closed loop in one process on simulated time; no ROS.")
    parser.add_argument("--task", choices=TASKS, default="reach")
    parser.add_argument("--number", type=int, default=20, help="layouts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="as of eval_cell (default: %(default)s)")
    parser.add_argument("--seam", choices=(*SEAM_POLICIES, "all"), default="all", help="(default: %(default)s)")
    parser.add_argument("--policy", default="vipa-tiny", help="a checkpoint, or 'scripted' (default: %(default)s)")
    parser.add_argument("--inference", type=float, default=0.06, help="s of a prediction (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=0.0, help="m, of the scripted policy's rows")
    chosen = parser.parse_args(arguments)
    cell = Cell(CellConfig())
    policy: Predictor = Expert(chosen.noise) if chosen.policy == SCRIPTED else Learned(chosen.policy)
    figures: dict[str, Any] = {}
    for seam in SEAM_POLICIES if chosen.seam == "all" else (chosen.seam,):
        loop = ClosedLoop(
            cell, policy, Settings(seam=seam), inpainting=seam == "rtc", latency=Latency(inference=chosen.inference)
        )
        results = evaluate(loop, chosen.task, chosen.seed, chosen.number)
        figures[seam] = summarise(Run(chosen.task, chosen.seed, chosen.policy), [result for result, _ in results])
        paces = np.concatenate([record.paces for _, record in results])
        figures[seam]["pace_mean"] = round(float(paces.mean()), 3)
    cell.close()
    print(seam_table(figures))
    print(json.dumps({"task": chosen.task, "latency_s": dataclasses.asdict(Latency(inference=chosen.inference)),
                      "seams": figures}))  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
