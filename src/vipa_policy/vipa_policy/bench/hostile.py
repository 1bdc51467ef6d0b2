"""Hostile streams for the motion path: scenarios from seeds, chunks that no sane policy sends, and every loss.

The single place where the executor meets NaN, jumps, late, early, repeated, reordered and wrongly rotated chunks in
bulk; ``bench.inspection`` judges what it streamed. Used by ``make fuzz`` and tests/unit/test_control_fuzz.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.contract import ActionContract, CameraSpec
from vipa_policy.control.chunk import BaseChunk, Executable
from vipa_policy.control.executor import Executor, Settings, State
from vipa_policy.control.limits import Box, Limits
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.errors import VipaError
from vipa_policy.geometry import Array

CHUNKS_PER_SESSION: Final = 50
FEWEST_SETPOINTS: Final = 10
MEANING: Final = 20
"""Letters that a refusal has at least."""
TIP: Final = "fr3_hand_tcp"
LAG: Final = 0.05
"""s by which the simulated arm follows its command."""

# What arrives, and how often.
KINDS: Final = {
    "fair": 30,
    "jump": 12,
    "fast": 9,
    "ragged": 8,
    "outside": 10,
    "spun": 9,
    "resting": 4,
    "nan": 4,
    "no rotation": 3,
    "cut short": 1,
    "foreign": 2,
    "repeated": 3,
    "reordered": 3,
    "late": 2,
    "early": 2,
}
# What happens between two chunks; mostly nothing.
EVENTS: Final = {"nothing": 88, "loss": 5, "stop": 3, "silence": 2, "moved": 2}


@dataclass
class Stretch:
    """Setpoints between two places where the command may start afresh: poses (n, 4, 4), the first one at rest."""

    poses: list[Array]


@dataclass
class Trace:
    """What a session did.

    Attributes:
        limits, settings: those stated, whatever was switched off in the executor.
        stretches: of setpoints.
        chunks, accepted: numbers of chunks sent and followed.
        holds: s each ramp took from its beginning to rest.
        delays: s each silence lasted beyond the moment the next chunk was due, until the ramp began.
        strayed: largest distance in m of measured from commanded tip with which a motion went on.
    """

    limits: Limits
    settings: Settings
    stretches: list[Stretch] = field(default_factory=list)
    chunks: int = 0
    accepted: int = 0
    holds: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    strayed: float = 0.0


def draw_limits(rng: np.random.Generator, period: float) -> Limits:
    """Draw limits that leave no room to spare, of kinds a user could set."""
    speed, spin = rng.uniform(0.1, 0.35), rng.uniform(0.5, 1.5)
    stepped = rng.random() < 0.5
    lean = Rotation.from_rotvec(rng.normal(0.0, 0.1, 3)).apply([0.0, 0.0, -1.0])
    boxes = []
    for _ in range(rng.integers(0, 3)):
        corner = rng.uniform([0.25, -0.45, 0.0], [0.7, 0.35, 0.4])
        boxes.append(Box(tuple(corner), tuple(corner + rng.uniform(0.03, 0.25, 3))))
    beside = Box((0.2, 0.3, 0.1), (0.5, 0.8, 0.5)) if rng.random() < 0.3 else None
    return Limits(
        linear_velocity=speed,
        linear_acceleration=rng.uniform(max(1.0, 4.5 * speed), 3.0),
        linear_jerk=rng.uniform(25.0, 60.0),
        angular_velocity=spin,
        angular_acceleration=rng.uniform(4.5 * spin, 8.0),
        angular_jerk=rng.uniform(100.0, 200.0),
        linear_step=rng.uniform(0.5, 0.9) * speed * period if stepped else 0.02,
        angular_step=rng.uniform(0.5, 0.9) * spin * period if stepped else 0.1,
        stay_in=(beside,) if beside else (),
        stay_out=tuple(boxes),
        table_height=rng.uniform(0.0, 0.1),
        tilt=rng.uniform(0.3, 1.2),
        tilt_direction=tuple(lean),
    )


def switched_off(limits: Limits, settings: Settings, name: str) -> tuple[Limits, Settings]:
    """Return limits and settings without one bound, or with so much of it that the rest must notice.

    Test only: this is how the inspection is inspected.
    """
    far = 10.0
    if name == "workspace":
        return replace(limits, lower=(-far,) * 3, upper=(far,) * 3), settings
    if name == "stay_out":
        return replace(limits, stay_out=()), settings
    if name == "table":
        return replace(limits, table_height=-far), settings
    if name == "tilt":
        return replace(limits, tilt=np.pi), settings
    if name == "following":
        return limits, replace(settings, following_error=far, following_angle=far)
    if name == "patience":
        return limits, replace(settings, patience=far)
    factor = 1.2 if name.endswith("velocity") else 3.0
    much: dict[str, Any] = {name: 1.0 if name.endswith("step") else factor * getattr(limits, name)}
    return replace(limits, **much), settings


SWITCHES: Final = (
    "linear_velocity",
    "linear_acceleration",
    "linear_jerk",
    "linear_step",
    "angular_velocity",
    "angular_acceleration",
    "angular_jerk",
    "angular_step",
    "workspace",
    "stay_out",
    "table",
    "tilt",
    "following",
    "patience",
)


class Session:
    """One executor under a stream of hostile chunks.

    Args:
        seed: of everything.
        off: a bound the executor is not told of, one of SWITCHES; None for none.
    """

    def __init__(self, seed: int, off: str | None = None) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.period = float(rng.choice([0.01, 0.01, 0.01, 0.005, 0.02]))
        limits = draw_limits(rng, self.period)
        settings = Settings(period=self.period, seam=SEAM_POLICIES[seed % 3], lead=LAG)
        self.trace = Trace(limits, settings)
        told, kept = switched_off(limits, settings, off) if off else (limits, settings)
        self.now = 0.0
        self.start = self._draw_start()
        self.executor = Executor(told, kept, self.start, 0.0, executable=Executable(TIP))
        self.poses: list[Array] = []
        self.last: BaseChunk | None = None
        self.identifier = 0
        self.row_period = float(rng.choice([1.0 / 15.0, 1.0 / 30.0]))
        self.rows = int(rng.integers(6, 17))
        self.contract = ActionContract(
            reference_camera="scene",
            tip_frame=TIP,
            control_period=self.row_period,
            horizon=self.rows,
            cameras=(CameraSpec("scene", 64, 48),),
            proprioception=(),
        )
        self._fresh(self.start)

    def run(self, chunks: int = CHUNKS_PER_SESSION) -> Trace:
        """Send chunks, let setpoints pass and things happen; end in a hold."""
        kinds, shares = list(KINDS), np.array(list(KINDS.values()), float)
        happenings, likely = list(EVENTS), np.array(list(EVENTS.values()), float)
        for _ in range(chunks):
            self.send(str(self.rng.choice(kinds, p=shares / shares.sum())))
            self.tick(int(self.rng.integers(FEWEST_SETPOINTS, FEWEST_SETPOINTS + 6)))
            self.happen(str(self.rng.choice(happenings, p=likely / likely.sum())))
        self.executor.hold("end of session", self.now)
        self.come_to_rest()
        return self.trace

    def tick(self, count: int) -> None:
        """Let setpoints pass; the measured pose follows late and is looked at now and then."""
        for _ in range(count):
            self.now += self.period
            self.executor.tick(self.now)
            self.poses.append(self.executor.base_from_tip)
            if len(self.poses) % 5 == 0:
                self.measure(self.measured)

    @property
    def measured(self) -> Array:
        """Where the simulated arm is: its command a while ago."""
        return self.poses[max(len(self.poses) - 1 - round(LAG / self.period), 0)]

    def measure(self, base_from_tip: Array) -> None:
        """Tell the executor a measured pose, and note how far off a motion may be that goes on."""
        before = self.executor.base_from_tip
        error = self.executor.measure(base_from_tip, self.now, self.now)
        if self.executor.state is State.FOLLOWING:
            self.trace.strayed = max(self.trace.strayed, error)
        if not np.array_equal(before, self.executor.base_from_tip):
            self._fresh(self.executor.base_from_tip)

    def send(self, kind: str) -> None:
        """Offer one chunk of a kind; it is followed, or refused in words."""
        chunk = self.draw_chunk(kind)
        self.trace.chunks += 1
        try:
            self.executor.accept_chunk(chunk, self.now)
        except VipaError as error:
            if len(str(error)) < MEANING:
                raise AssertionError(f"expected a refusal that says what was wrong, got {str(error)!r}") from error
            return
        self.trace.accepted += 1
        self.last = chunk

    def happen(self, event: str) -> None:
        """Lose something, stop, fall silent, or move the arm by hand."""
        following = self.executor.state is State.FOLLOWING
        if event == "loss":
            self.executor.hold("no camera", self.now)
            if self.rng.random() < 0.5:
                self.come_to_rest()
        elif event == "stop":
            self.executor.stop("stopped", self.now)
            self.come_to_rest()
            self.send("fair")
            elsewhere = self.measured.copy()
            elsewhere[:3, 3] += self.rng.normal(0.0, 0.02, 3)
            self.executor.resume(elsewhere, self.now)
            self._fresh(self.executor.base_from_tip)
        elif event == "silence" and following:
            self.fall_silent()
        elif event == "moved":
            elsewhere = self.executor.base_from_tip
            elsewhere[:3, 3] += self.trace.settings.following_error * self.rng.uniform(0.7, 1.4) * _direction(self.rng)
            self.measure(elsewhere)
            self.come_to_rest()
            self.measure(elsewhere)

    def fall_silent(self) -> None:
        """Send nothing until the executor gives up waiting, or far too long."""
        intervals = self.executor._intervals
        due = max(intervals) if intervals else self.trace.settings.first_interval
        since = self.executor._last_accepted
        assert since is not None
        limit = since + due + 0.5
        while self.executor.state is State.FOLLOWING and self.now < limit:
            self.tick(1)
        self.trace.delays.append(self.now - since - due)
        self.executor.hold("silence", self.now)
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """Let a ramp end and note how long it took."""
        if self.executor.state is not State.RAMPING:
            return
        began = self.executor.endings[-1].stamp
        while self.executor.state is State.RAMPING and self.now - began < 2.0:
            self.now += self.period
            self.executor.tick(self.now)
            self.poses.append(self.executor.base_from_tip)
        self.trace.holds.append(self.now - began)

    def draw_chunk(self, kind: str) -> BaseChunk:
        """Make a chunk of a kind; KINDS."""
        if kind in ("repeated", "reordered") and self.last is not None:
            return self.last if kind == "repeated" else replace(self.last, stamp=self.last.stamp - 0.01)
        self.identifier += 1
        rng = self.rng
        stamp = self.now - rng.uniform(0.0, 0.3)
        if kind == "late":
            stamp -= self.rows * self.row_period
        elif kind == "early":
            stamp = self.now + rng.uniform(0.06, 1.0)
        poses = self._draw_rows(kind)
        contract = replace(self.contract, tip_frame="fr3_link8") if kind == "foreign" else self.contract
        gripper = rng.uniform(0.0, 0.08, self.rows)
        start = self._draw_captured()
        if kind == "nan":
            parts = [poses, gripper] if start is None else [poses, gripper, start]
            target = parts[rng.choice(len(parts))]
            target.reshape(-1)[rng.integers(target.size)] = rng.choice([np.nan, np.inf, -np.inf])
        elif kind == "no rotation":
            wrong = poses if start is None or rng.random() < 0.8 else start[None]
            wrong[rng.integers(len(wrong)), :3, :3] *= rng.choice([-1.0, 0.0, 1.1])
        elif kind == "cut short":
            gripper = gripper[:-1]
        return BaseChunk(self.identifier, stamp, self.row_period, poses, gripper, contract, start)

    def _draw_captured(self) -> Array | None:
        """Where the tip is said to have been at the capture: where it is, anywhere else, or nothing."""
        kind = self.rng.choice(["measured", "elsewhere", "unknown"])
        if kind == "unknown":
            return None
        start = self.measured.copy()
        if kind == "elsewhere":
            start[:3, 3] += self.rng.normal(0.0, 0.05, 3)
            start[:3, :3] = Rotation.from_rotvec(self.rng.normal(0.0, 0.3, 3)).as_matrix() @ start[:3, :3]
        return start

    def _draw_rows(self, kind: str) -> Array:
        """Poses (rows, 4, 4) of a way that begins at the measured pose, or not."""
        rng, now = self.rng, self.measured
        speed = {"fast": rng.uniform(0.5, 8.0), "resting": 0.0}.get(kind, rng.uniform(0.0, 0.4))
        steps = np.arange(1, self.rows + 1)[:, None] * self.row_period
        velocity = speed * _direction(rng)
        bow = rng.normal(0.0, 0.3, 3) if kind != "resting" else np.zeros(3)
        places = now[:3, 3] + velocity * steps + 0.5 * bow * steps**2
        spin = _direction(rng) * (rng.uniform(0.0, 1.0) if kind != "spun" else rng.uniform(1.0, 12.0))
        turns = Rotation.from_rotvec(spin * steps) * Rotation.from_matrix(now[:3, :3])
        if kind == "jump":
            places = places + rng.uniform(0.02, 0.6) * _direction(rng)
        elif kind == "ragged":
            places = places + rng.normal(0.0, rng.uniform(0.001, 0.05), places.shape)
            turns = Rotation.from_rotvec(rng.normal(0.0, 0.2, places.shape)) * turns
        elif kind == "outside":
            way = self._draw_outside() - now[:3, 3]
            places = now[:3, 3] + np.minimum(steps / steps[-1] * rng.uniform(1.0, 3.0), 1.0) * way
        elif kind == "spun" and rng.random() < 0.5:
            turns = Rotation.random(self.rows, rng=rng)
        rows = np.tile(np.eye(4), (self.rows, 1, 1))
        rows[:, :3, :3], rows[:, :3, 3] = turns.as_matrix(), places
        return rows

    def _draw_outside(self) -> Array:
        """A place the tip must not go to."""
        limits, rng = self.trace.limits, self.rng
        if limits.stay_out and rng.random() < 0.6:
            box = limits.stay_out[rng.integers(len(limits.stay_out))]
            return rng.uniform(box.lower, box.upper)
        if rng.random() < 0.5:
            return np.append(rng.uniform(limits.lower[:2], limits.upper[:2]), rng.uniform(-0.5, limits.table_height))
        return rng.uniform([-1.0, -1.5, -0.5], [2.0, 1.5, 1.5])

    def _draw_start(self) -> Array:
        """A measured pose; now and then one that lies outside a bound."""
        limits, rng = self.trace.limits, self.rng
        pose = np.eye(4)
        pose[:3, 3] = rng.uniform(limits.lower, limits.upper)
        pose[2, 3] = max(pose[2, 3], limits.table_height + 0.01)
        axis = np.array(limits.tilt_direction)
        upright, _ = Rotation.align_vectors(axis[None], np.array([[0.0, 0.0, 1.0]]))
        lean = Rotation.from_rotvec(0.5 * limits.tilt * _direction(rng))
        pose[:3, :3] = (lean * upright * Rotation.from_rotvec([0.0, 0.0, rng.uniform(-3.0, 3.0)])).as_matrix()
        if rng.random() < 0.25:
            pose[:3, 3] = self._draw_outside()
        if rng.random() < 0.15:
            pose[:3, :3] = Rotation.random(rng=rng).as_matrix()
        return pose

    def _fresh(self, pose: Array) -> None:
        """Begin a new stretch at a pose, at rest."""
        self.poses = [pose]
        self.trace.stretches.append(Stretch(self.poses))


def _direction(rng: np.random.Generator) -> Array:
    values = rng.normal(0.0, 1.0, 3)
    return values / np.linalg.norm(values)
