"""Instruction semantics that hold for every policy: normalisation, the stop words, and the latch.

What words a policy understands is the checkpoint's business (vipa_policy.model), not this module's.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

STOP_WORD = "stop"
RELAY_AGE = 2.0  # s
# s by which one node may hear later than the other; a publisher that repeats itself does so less often.
LATENESS = 0.8
REMEMBERED = 20  # instructions heard here that may still come back from the other node


def normalise(text: str) -> str:
    """Return the instruction in lower case, with single spaces, without end punctuation."""
    return " ".join(text.lower().split()).rstrip(".!?").strip()


def is_stop(text: str) -> bool:
    """Tell whether an instruction asks to stop: the word itself, or nothing at all."""
    return normalise(text) in ("", STOP_WORD)


class Change(Enum):
    """What an incoming instruction meant."""

    NONE = "none"  # a repeat, or a repeat of the words that a stop cancelled
    NEW = "new"
    STOP = "stop"


class InstructionLatch:
    """Remembers the words in force and whether a stop is latched.

    A publisher may repeat itself at 1 Hz: repeats change nothing, and the words that a stop cancelled do not undo it.
    Only other words or ``resume`` clear the latch.

    Two nodes hear instructions, each with a latch of its own. A publisher that leaves at once may have reached only
    one of them, so they tell each other what they heard and when: ``relay`` takes what the other heard later.

    One of the two may hear the same words long after the other. What was heard here is not taken once more from there;
    and words that were taken from there are in force when they are heard here, after whatever was said before them.
    """

    def __init__(self) -> None:
        # Words, when they were heard here (s), and when the other node says that it heard them.
        self._heard_here: deque[tuple[str, float, float | None]] = deque(maxlen=REMEMBERED)
        self._relayed, self._relayed_stamp = "", 0.0
        self._instruction = ""
        self._stopped = False
        self._heard = ""
        self._heard_stamp = 0.0

    @property
    def heard(self) -> str:
        """The last instruction heard, stop words included, as it came."""
        return self._heard

    @property
    def heard_stamp(self) -> float:
        """When it was heard, s; 0 if never."""
        return self._heard_stamp

    @property
    def instruction(self) -> str:
        """The last words that were no stop, normalised; "" if there were none."""
        return self._instruction

    @property
    def stopped(self) -> bool:
        """Whether a stop is latched."""
        return self._stopped

    @property
    def active(self) -> bool:
        """Whether there are words in force."""
        return bool(self._instruction) and not self._stopped

    def relay(self, text: str, stamp: float, now: float) -> Change:
        """Take what another node heard at ``stamp`` (s), where that is later than what this one heard, and not old.

        An old one may come from before this node began: its words are over, the operator did not say them to it.
        """
        words = normalise(text)
        known = self._knows(words, stamp)
        if known or stamp <= self._heard_stamp or not now - RELAY_AGE < stamp:
            return Change.NONE
        change = self._take(text, stamp)
        self._relayed, self._relayed_stamp = words if change is Change.NEW else "", stamp
        return change

    def offer(self, text: str, stamp: float) -> Change:
        """Take an instruction heard at ``stamp`` (s) and say what it changed."""
        words = normalise(text)
        self._heard_here.append((words, stamp, None))
        late = bool(self._relayed) and stamp - self._relayed_stamp < LATENESS
        if self._stopped and late and words == self._relayed == self._instruction:
            # Heard at last, after the stop that the other node had heard before it: they are new once more.
            self._instruction = ""
        if words == self._relayed:
            self._relayed = ""
        return self._take(text, stamp)

    def ask_to_stop(self, stamp: float) -> Change:
        """Take a stop asked for at ``stamp`` (s) by other means than words; no words said before it undo it."""
        self._relayed = ""
        return self._take(STOP_WORD, stamp)

    def stop(self) -> None:
        """Latch a stop that no instruction asked for here: it is not passed on as heard."""
        self._stopped, self._relayed = True, ""

    def resume(self) -> None:
        """Clear the latch; the words that were in force are in force again."""
        self._stopped = False

    def _knows(self, words: str, stamp: float) -> bool:
        """Whether words that the other node heard at ``stamp`` (s) are some that were heard here at about that time."""
        for index, (heard, when, there) in enumerate(self._heard_here):
            if heard == words and abs(stamp - when) < RELAY_AGE and there in (None, stamp):
                self._heard_here[index] = heard, when, stamp
                return True
        return False

    def _take(self, text: str, stamp: float) -> Change:
        self._heard, self._heard_stamp = text, stamp
        if is_stop(text):
            change = Change.NONE if self._stopped else Change.STOP
            self._stopped = True
            return change
        words = normalise(text)
        if words == self._instruction:
            return Change.NONE
        self._instruction = words
        self._stopped = False
        return Change.NEW
