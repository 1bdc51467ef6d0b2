"""What the set-up says: progress on stderr, failures as one message that says what to do."""

import sys


class SetupError(Exception):
    """The set-up cannot go on; the message says why and what to do."""


def say(message: str) -> None:
    """Print a line of progress (stderr, so that a target's own stdout stays its own)."""
    print(f"setup: {message}", file=sys.stderr, flush=True)
