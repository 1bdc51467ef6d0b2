"""Which recorded object an instruction names: words to names such as "red_block", without a simulator or a policy."""

from __future__ import annotations

from collections.abc import Iterable

from vipa_policy.instruction import normalise


def named_object(instruction: str, names: Iterable[str]) -> str | None:
    """Return the object that an instruction names first, or None where it names none.

    "put the red block in the white bowl" names "red_block", then "white_bowl"; the first is the one to go to. Names
    are compared as whole words, with "_" for the space between them.
    """
    words = normalise(instruction).split()
    found: list[tuple[int, int, str]] = []
    for name in names:
        parts = name.lower().split("_")
        places = [start for start in range(len(words) - len(parts) + 1) if words[start : start + len(parts)] == parts]
        if places:
            # Of two names that begin at the same word the longer says more.
            found.append((places[0], -len(parts), name))
    return min(found)[2] if found else None
