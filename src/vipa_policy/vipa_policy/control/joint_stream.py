"""From poses of the tip to joint angles within the limits of the joints: the single place where poses become joints.

Two stages. Goals follow the poses: inverse kinematics inside the box that the limits leave around the goal before, so
that near a singularity the pose is left a little, and no other branch is jumped to. Where a pose leaves freedom, goals
return to the posture the stream started from and away from the stops, no faster than in proportion to the arm's own
motion: what rests, rests. The joints then follow the goals within position, velocity and acceleration; goals that allow
it are followed exactly. Limits are never traded for the pose: where both cannot be kept, the tip lags behind and
``problem`` says so, on which the arm node holds.

A joint may be as fast as it can still brake for: v <= sqrt(2 a room) - offset, with the braking a and the offset that
the robot's description tells, and never harder than the acceleration limit. The bound of a step is taken at the place
after it; from inside it, braking with the acceleration limit stays inside, whatever the length of the steps.

Ruckig would bound jerk as well, but brings every joint to a goal in the least time, which leaves the path between goals
that are followed exactly here; and the poses come jerk-limited (docs/motion.md).
Guarded by tests/unit/test_joint_stream.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipa_policy.control.kinematics import SINGULAR_VALUE, Kinematics
from vipa_policy.geometry import Array

# Steps of inverse kinematics a setpoint; a pose a setpoint further takes one or two.
ITERATIONS = 5
# Shares of the acceleration limit that braking for a limit of position counts on, and catching up with a goal.
BRAKING_SHARE, CATCHING_SHARE = 0.8, 0.5
# The posture where the stream began is returned to at this rate (1/s) ...
POSTURE_GAIN = 0.5
# ... stops are left alone by this much (rad) ...
STOP_ROOM = 0.3
# ... at this speed (rad/s) at most, and at this share of the fastest joint's.
POSTURE_SPEED, POSTURE_SHARE = 0.1, 0.3
# A lag that was told of is over below this share of the tolerance.
RELEASE = 0.3
# s without motion of setpoints and joints after which the stream stands where it is, as near as it could get.
SETTLED = 0.3
# rad/s; m or, by a quarter of a metre, rad a setpoint.
STANDING_SPEED, STANDING_STEP = 0.02, 1e-6


@dataclass(frozen=True)
class JointStreamSettings:
    """How fast joints may be, and how far the tip may lag behind.

    Attributes:
        acceleration: rad/s^2, of every joint.
        velocity_share: of the robot's own velocity limits.
        position_tolerance: m of lag beyond which the stream cannot be kept.
        rotation_tolerance: rad, the same.
    """

    acceleration: float = 8.0
    velocity_share: float = 0.9
    position_tolerance: float = 0.005
    rotation_tolerance: float = 0.03

    def __post_init__(self) -> None:
        if not (self.acceleration > 0.0 and 0.0 < self.velocity_share <= 1.0):
            raise ValueError("expected a joint acceleration above 0 rad/s^2 and a velocity share above 0, up to 1")
        if not (self.position_tolerance > 0.0 and self.rotation_tolerance > 0.0):
            raise ValueError("expected a position_tolerance and a rotation_tolerance above 0")


@dataclass(frozen=True)
class JointSetpoint:
    """Joint angles (n,) in rad and velocities (n,) in rad/s at ``stamp`` (s), and by how much the tip lags (m, rad)."""

    stamp: float
    joints: Array
    velocity: Array
    position_error: float
    rotation_error: float


class JointStream:
    """Follows poses with joints, from measured angles at rest on.

    Args:
        kinematics: of the arm.
        settings: limits and tolerances.
        joints: (n,) measured, in rad.
        stamp: s, when they were.

    Attributes:
        last: the newest setpoint.
        problem: why the poses cannot be followed now, "" where they can.

    Raises ValueError where a joint is measured beyond its limit less the margin: nothing may be commanded there.
    """

    def __init__(self, kinematics: Kinematics, settings: JointStreamSettings, joints: Array, stamp: float) -> None:
        joints = np.array(joints, dtype=float)
        if outside := kinematics.outside(joints):
            raise ValueError(outside)
        self._kinematics, self._settings = kinematics, settings
        self._posture = self._goal = joints
        self._goal_velocity = np.zeros_like(joints)
        self._lag = self._forgiven = 0.0
        self._pose: Array | None = None
        self._standing_since: float | None = None
        self._braking = np.minimum(BRAKING_SHARE * settings.acceleration, kinematics.deceleration)
        self.last = JointSetpoint(stamp, joints, np.zeros_like(joints), 0.0, 0.0)
        self.problem = ""

    @property
    def at_rest(self) -> bool:
        """Whether no joint moves."""
        return bool(np.abs(self.last.velocity).max() < STANDING_SPEED)

    def advance(self, base_from_tip: Array, stamp: float) -> JointSetpoint:
        """Follow a pose (4, 4) due at ``stamp`` (s) as well as limits let; returns the newest setpoint.

        A stamp that is not later than the one before changes nothing. Raises KinematicsError on what is no pose.
        """
        elapsed = stamp - self.last.stamp
        if elapsed <= 0.0:
            return self.last
        pose = np.asarray(base_from_tip, dtype=float)
        goal_before, goal = self._goal, self._next_goal(pose, elapsed)
        lower, upper = self._reachable(elapsed)
        lag = goal_before - self.last.joints
        catching = np.sqrt(2.0 * CATCHING_SHARE * self._settings.acceleration * np.abs(lag)) * elapsed
        wanted = goal - lag + np.clip(lag, -catching, catching)
        joints = np.clip(wanted, lower, upper)
        position_error, rotation_error = self._kinematics.distance(joints, pose)
        velocity = (joints - self.last.joints) / elapsed
        self.last = JointSetpoint(stamp, joints, velocity, position_error, rotation_error)
        self._judge((joints <= lower) | (joints >= upper))
        self._settle(pose, stamp)
        return self.last

    def _next_goal(self, pose: Array, elapsed: float) -> Array:
        """Move the goal (n,) towards a pose (4, 4) by as much as ``elapsed`` s allow.

        Goals gain speed no faster than the joints can, so that these follow them where a pose that was out of reach
        comes into it again; they may stop at once, which is what keeps them from swinging about the best place.
        """
        fastest = self._settings.velocity_share * self._kinematics.velocity
        speed = np.minimum(fastest, np.abs(self._goal_velocity) + self._settings.acceleration * elapsed)
        before, most = self._goal, speed * elapsed
        solution = self._kinematics.solve(pose, before, before - most, before + most, self._pull(elapsed), ITERATIONS)
        self._goal = solution.joints
        self._goal_velocity = (self._goal - before) / elapsed
        return self._goal

    def _reachable(self, elapsed: float) -> tuple[Array, Array]:
        """Return the least and greatest angles (n,) that limits allow after a step of ``elapsed`` s."""
        joints, velocity = self.last.joints, self.last.velocity
        change = self._settings.acceleration * elapsed
        fastest = self._settings.velocity_share * self._kinematics.velocity
        up = self._brakeable(self._kinematics.innermost_upper - joints, elapsed)
        down = self._brakeable(joints - self._kinematics.innermost_lower, elapsed)
        # Rounding alone can put the bound below what the hardest braking leaves.
        highest = np.maximum(np.minimum(np.minimum(velocity + change, fastest), up), velocity - change)
        lowest = np.minimum(np.maximum(np.maximum(velocity - change, -fastest), -down), velocity + change)
        return joints + lowest * elapsed, joints + highest * elapsed

    def _brakeable(self, room: Array, elapsed: float) -> Array:
        """Return the greatest velocity (n,) for a step of ``elapsed`` s that can be braked for in ``room`` (n,) rad."""
        offset = self._kinematics.velocity_offset
        slope = offset + self._braking * elapsed
        square = slope * slope + 2.0 * self._braking * np.maximum(room, 0.0) - offset * offset
        return np.maximum(np.sqrt(np.maximum(square, 0.0)) - slope, 0.0)

    def _pull(self, elapsed: float) -> Array:
        """Return how far (n,) in rad the posture pulls in a step of ``elapsed`` s."""
        joints, kinematics = self._goal, self._kinematics
        below = np.maximum(STOP_ROOM - (joints - kinematics.innermost_lower), 0.0)
        above = np.maximum(STOP_ROOM - (kinematics.innermost_upper - joints), 0.0)
        speed = POSTURE_GAIN * (self._posture - joints) + below - above
        fastest = min(POSTURE_SPEED, POSTURE_SHARE * float(np.abs(self._goal_velocity).max()))
        return np.asarray(np.clip(speed, -fastest, fastest) * elapsed)

    def _judge(self, at_bound: NDArray[np.bool_]) -> None:
        """Say whether the tip lags too far behind and what holds it back; joints ``at_bound`` (n,) could not follow."""
        settings, last = self._settings, self.last
        share = self._lag = max(
            last.position_error / settings.position_tolerance, last.rotation_error / settings.rotation_tolerance
        )
        # A lag that nothing could be done about is not told of again while it shrinks.
        self._forgiven = min(self._forgiven, share)
        growth = share - self._forgiven
        if growth < RELEASE:
            self.problem = ""
        elif growth > 1.0:
            lag = f"{1e3 * last.position_error:.1f} mm and {last.rotation_error:.3f} rad behind its plan"
            self.problem = f"the tip is {lag}: {self._obstacle(at_bound)}"

    def _obstacle(self, at_bound: NDArray[np.bool_]) -> str:
        kinematics, goal = self._kinematics, self._goal
        at_stop = (goal <= kinematics.innermost_lower + 1e-6) | (goal >= kinematics.innermost_upper - 1e-6)
        if at_stop.any():
            return f"{kinematics.named(at_stop)} at the limit of position"
        value = kinematics.smallest_singular_value(goal)
        if value < SINGULAR_VALUE:
            return f"near a singularity (smallest singular value {value:.3f} m/rad)"
        if at_bound.any():
            return f"{kinematics.named(at_bound)} at the limit of velocity or acceleration"
        return "the pose is out of reach"

    def _settle(self, pose: Array, stamp: float) -> None:
        """End a lag that nothing more is going to be done about: poses and joints stand still."""
        still = self._pose is not None and float(np.abs(pose - self._pose).max()) < STANDING_STEP and self.at_rest
        self._pose = pose
        if not still:
            self._standing_since = None
        elif self._standing_since is None:
            self._standing_since = stamp
        elif stamp - self._standing_since > SETTLED:
            self.problem = ""
            self._forgiven = self._lag


class SentJoints:
    """What was sent, by the time it is due at the joints: the window of a message, and what should be executed now.

    Args:
        delay: s from a setpoint's stamp until it is due.
        memory: s for which what was due is remembered.
    """

    def __init__(self, delay: float, memory: float = 1.0) -> None:
        self._delay, self._memory = delay, memory
        self._points: deque[tuple[float, Array]] = deque()

    def add(self, setpoint: JointSetpoint) -> None:
        """Take a setpoint in; one that is not later than the newest is left out."""
        due = setpoint.stamp + self._delay
        if self._points and due <= self._points[-1][0]:
            return
        self._points.append((due, setpoint.joints))
        while self._points[0][0] < due - self._memory - self._delay:
            self._points.popleft()

    def clear(self) -> None:
        """Forget everything."""
        self._points.clear()

    def window(self) -> list[tuple[float, Array]]:
        """Return (due, joints) of all that is under way: from one whole delay before the newest is due on."""
        if not self._points:
            return []
        # The one before tells where the joints are when the message comes a little early.
        begin = self._points[-1][0] - self._delay
        first = max((index for index, (due, _) in enumerate(self._points) if due <= begin), default=0)
        return list(self._points)[max(first - 1, 0) :]

    def at(self, time: float) -> Array | None:
        """Return the joints (n,) that should be executed at ``time`` (s), None where that is not remembered."""
        points = self._points
        if not points or time < points[0][0]:
            return None
        if time >= points[-1][0]:
            return points[-1][1]
        for (before, start), (after, end) in zip(points, list(points)[1:], strict=False):
            if before <= time < after:
                return np.asarray(start + (time - before) / (after - before) * (end - start))
        return None
