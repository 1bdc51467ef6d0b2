"""A hundred thousand hostile chunks: not one setpoint outside any limit, and every limit's absence is noticed.

    python -m vipa_policy.bench.fuzz --chunks 100000

Sessions (``bench.hostile``) are numbered; each is a seed, so a violation is reproduced with ``--session N``.
Progress is written to ``--state`` now and then and after Ctrl-C; the same command goes on from there, unless the
library changed. Prints one line of JSON: ``chunks``, ``accepted``, ``setpoints``, ``violations``, ``worst`` (per limit,
the largest share of it that was used) and ``detects`` (limits whose absence was noticed). Ends with status 1 where
something is amiss.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from vipa_policy import bench, control
from vipa_policy.bench.hostile import CHUNKS_PER_SESSION, FEWEST_SETPOINTS, SWITCHES, Session
from vipa_policy.bench.inspection import Verdict, inspect

# Sessions between two writes of the state.
SAVED_EVERY = 20
# Sessions after which an absent limit should have been noticed.
MOST_SESSIONS = 60


@dataclass
class Tally:
    """What the sessions so far came to."""

    sessions: int = 0
    chunks: int = 0
    accepted: int = 0
    setpoints: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)
    guilty: list[int] = field(default_factory=list)
    detects: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def run(self, seed: int) -> None:
        """Take one more session in."""
        trace = Session(seed).run()
        verdict, setpoints = inspect(trace)
        whole = Verdict(self.violations, self.worst)
        whole.add(verdict)
        self.sessions += 1
        self.chunks += trace.chunks
        self.accepted += trace.accepted
        self.setpoints += setpoints
        if verdict.total:
            self.guilty.append(seed)

    def probe(self, name: str, seed: int) -> None:
        """Look for violations of a limit that the executor is not told of."""
        found = any(
            name in inspect(Session(seed + number, name).run())[0].violations for number in range(MOST_SESSIONS)
        )
        (self.detects if found else self.missed).append(name)

    def summary(self) -> dict[str, object]:
        """The line of JSON."""
        return {
            "chunks": self.chunks,
            "accepted": self.accepted,
            "setpoints": self.setpoints,
            "violations": sum(self.violations.values()),
            "worst": {name: round(share, 4) for name, share in self.worst.items()},
            "detects": self.detects,
        }

    def complaints(self) -> list[str]:
        """What is amiss, in words; empty where all is well."""
        found = []
        if self.guilty:
            found.append(f"limits were passed ({self.violations}); see --session {self.guilty[0]}")
        if 2 * self.accepted < self.chunks:
            found.append(f"only {self.accepted} of {self.chunks} chunks were accepted: the test tests too little")
        if self.setpoints < FEWEST_SETPOINTS * self.accepted:
            found.append(f"only {self.setpoints} setpoints for {self.accepted} accepted chunks")
        if self.missed:
            found.append(f"limits whose absence nobody noticed: {', '.join(self.missed)}")
        return found


class State:
    """A tally on disk, for one version of the library and one seed."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._key = f"{_fingerprint()} seed {seed}"

    def load(self) -> Tally:
        """Return the tally so far; an empty one where there is none of this version."""
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            if stored["key"] == self._key:
                return Tally(**stored["tally"])
        except (OSError, ValueError, KeyError, TypeError):
            return Tally()
        return Tally()

    def save(self, tally: Tally) -> None:
        """Write the tally; a kill at any moment leaves the old or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".partial")
        beside.write_text(json.dumps({"key": self._key, "tally": asdict(tally)}), encoding="utf-8")
        os.replace(beside, self._path)


def _fingerprint() -> str:
    """A hash of all sources whose behaviour the tally tells."""
    digest = hashlib.sha256()
    for package in (control, bench):
        for path in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def fuzz(tally: Tally, chunks: int, seed: int, state: State | None, quiet: bool) -> None:
    """Run sessions until so many chunks were sent, then switch every limit off once."""
    with tqdm(total=chunks, initial=min(tally.chunks, chunks), unit="chunk", disable=quiet, file=sys.stderr) as bar:
        while tally.chunks < chunks:
            before = tally.chunks
            tally.run(seed + tally.sessions)
            bar.update(min(tally.chunks, chunks) - min(before, chunks))
            bar.set_postfix(violations=sum(tally.violations.values()), refresh=False)
            if state is not None and tally.sessions % SAVED_EVERY == 0:
                state.save(tally)
    left = [name for name in SWITCHES if name not in tally.detects and name not in tally.missed]
    for name in tqdm(left, unit="limit", desc="switched off", disable=quiet, file=sys.stderr):
        tally.probe(name, seed)
    if state is not None:
        state.save(tally)


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzz and print its line of JSON; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=100_000, help="to send (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first session (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=Path("out/fuzz.json"), help="progress (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever the progress")
    parser.add_argument("--session", type=int, help="run this one only and tell what was violated")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    chosen = parser.parse_args(arguments)
    if chosen.chunks < CHUNKS_PER_SESSION:
        parser.error(f"expected at least {CHUNKS_PER_SESSION} chunks, one session, got {chosen.chunks}")
    if chosen.session is not None:
        verdict, setpoints = inspect(Session(chosen.session).run())
        print(json.dumps({"setpoints": setpoints, "violations": verdict.violations, "worst": verdict.worst}))
        return 1 if verdict.total else 0
    state = State(chosen.state, chosen.seed)
    tally = Tally() if chosen.fresh else state.load()
    try:
        fuzz(tally, chosen.chunks, chosen.seed, state, chosen.quiet)
    except KeyboardInterrupt:
        state.save(tally)
        print(json.dumps(tally.summary()))
        print(f"interrupted; the same command goes on from {tally.chunks} chunks", file=sys.stderr)
        return 130
    print(json.dumps(tally.summary()))
    complaints = tally.complaints()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
