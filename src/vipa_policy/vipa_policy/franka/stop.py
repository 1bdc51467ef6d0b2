"""How one joint comes to rest within acceleration and jerk, in closed form: the plan that makes every step a safe one.

Guarded by tests/unit/test_franka_tracker.py.
"""

from __future__ import annotations

import math

State = tuple[float, float, float]
"""Position, velocity and acceleration of one joint: rad, rad/s, rad/s²."""


def advance(state: State, jerk: float, duration: float) -> State:
    """Return the state after ``duration`` s of a constant jerk (rad/s³)."""
    position, velocity, acceleration = state
    return (
        position + duration * (velocity + duration * (0.5 * acceleration + duration * jerk / 6.0)),
        velocity + duration * (acceleration + 0.5 * duration * jerk),
        acceleration + duration * jerk,
    )


class Stop:
    """The quickest way from a state to rest: at most three stretches of constant jerk.

    Args:
        state: where it begins.
        acceleration, jerk: bounds, rad/s² and rad/s³; the state's own acceleration keeps the first.

    Attributes:
        duration: s until rest.
        end: rad, where it rests.
        fastest_up, fastest_down: rad/s, 0 or more: the largest velocity either way, the beginning included.
        highest, lowest: rad, no place of the way lies beyond these.
    """

    __slots__ = ("_first", "_second", "_state", "duration", "end", "fastest_down", "fastest_up", "highest", "lowest")

    def __init__(self, state: State, acceleration: float, jerk: float) -> None:
        position, velocity, now = state
        self._state = state
        # What would be left of the velocity if the acceleration were taken away at once: its sign must be braked.
        swing = now * abs(now) / (2.0 * jerk)
        sign = 1.0 if velocity + swing > 0.0 else -1.0
        peak = math.sqrt(max(0.0, sign * jerk * velocity + 0.5 * now * now))
        held = 0.0
        if peak > acceleration:
            peak = acceleration
            held = (sign * velocity + now * now / (2.0 * jerk) - peak * peak / jerk) / peak
        first = max(0.0, (sign * now + peak) / jerk)
        self._first = (-sign * jerk, first)
        self._second = max(0.0, held)
        self.duration = first + self._second + peak / jerk
        self.end = self.at(self.duration)[0]
        rise = now * now / (2.0 * jerk)
        self.fastest_up = max(0.0, velocity, velocity + rise if now > 0.0 else velocity)
        self.fastest_down = max(0.0, -velocity, -velocity + rise if now < 0.0 else -velocity)
        # Where the velocity changes its sign on the way, the place it does so is bounded rather than solved for.
        turn = abs(velocity * now) / jerk if sign * velocity < 0.0 else 0.0
        self.highest = max(position, self.end) + (turn if velocity > 0.0 else 0.0)
        self.lowest = min(position, self.end) - (turn if velocity < 0.0 else 0.0)

    def at(self, time: float) -> State:
        """Return the state ``time`` s after the beginning; at rest from ``duration`` on."""
        jerk, first = self._first
        if time < first:
            return advance(self._state, jerk, time)
        state = advance(self._state, jerk, first)
        if time < first + self._second:
            return advance(state, 0.0, time - first)
        state = advance(state, 0.0, self._second)
        rest = first + self._second
        if time < self.duration:
            return advance(state, -jerk, time - rest)
        position, _, _ = advance(state, -jerk, self.duration - rest)
        return position, 0.0, 0.0
