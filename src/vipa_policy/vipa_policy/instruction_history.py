"""Which words were in force when, and which chunks used them: the single place that keeps it. No ROS.

Guarded by tests/unit/test_instruction_history.py.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

KEPT = 16
"""Entries that are remembered: a flood of an instruction a second still reaches back a quarter of a minute."""


@dataclass(frozen=True)
class Use:
    """One time that words were in force.

    Attributes:
        instruction: normalised; "stop" while a stop was latched.
        heard: s, when they came into force.
        first_chunk: identifier of the first chunk predicted for them, 0 if there was none yet.
        last_chunk: of the last one; all in between were predicted for them, too.
        first_published: s, when the first one was published; 0 if there was none yet.
    """

    instruction: str
    heard: float
    first_chunk: int = 0
    last_chunk: int = 0
    first_published: float = 0.0

    @property
    def latency(self) -> float:
        """Time in s from hearing the words to the first chunk for them, NaN while there is none."""
        return self.first_published - self.heard if self.first_chunk else math.nan


class InstructionHistory:
    """Keeps the last few uses, oldest first.

    Args:
        kept: most uses that are remembered.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._uses: deque[Use] = deque(maxlen=kept)

    @property
    def uses(self) -> tuple[Use, ...]:
        """All uses remembered, oldest first; the last one is in force."""
        return tuple(self._uses)

    @property
    def last_chunk(self) -> int:
        """Last chunk predicted for the words in force, 0 if there was none yet."""
        return self._uses[-1].last_chunk if self._uses else 0

    def in_force(self, instruction: str, stamp: float) -> None:
        """Note that words came into force at ``stamp`` (s); words that are in force already change nothing."""
        if not self._uses or self._uses[-1].instruction != instruction:
            self._uses.append(Use(instruction, stamp))

    def chunk(self, identifier: int, instruction: str, stamp: float) -> bool:
        """Note a chunk published at ``stamp`` (s); returns whether it is the first one for the words in force.

        Raises ValueError where it was predicted for other words than those in force, or its identifier is not the
        next higher: such a chunk must not be published.
        """
        if not self._uses or self._uses[-1].instruction != instruction:
            force = self._uses[-1].instruction if self._uses else ""
            raise ValueError(f"expected a chunk for {force!r}, which is in force, got one for {instruction!r}")
        newest = max(use.last_chunk for use in self._uses)
        if identifier <= newest:
            raise ValueError(f"expected a chunk numbered higher than {newest}, got {identifier}")
        use = self._uses[-1]
        first = use.first_chunk == 0
        if first:
            use = replace(use, first_chunk=identifier, first_published=stamp)
        self._uses[-1] = replace(use, last_chunk=identifier)
        return first
