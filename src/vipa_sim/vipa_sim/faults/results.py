"""Outcomes of a run, written line by line as they come, and read back so that an interrupted run goes on.

The first line says what the run measures; a line cut short by a kill is dropped on reading. An unfinished run of the
same version is continued, a finished one is begun anew. Guarded by tests/unit/test_fault_analysis.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import vipa_policy
import vipa_sim
from vipa_sim.faults.judge import Outcome
from vipa_sim.json_lines import JsonLines


def fingerprint() -> str:
    """Return a hash of the sources that a run tells about."""
    digest = hashlib.sha256()
    for package in (vipa_policy, vipa_sim):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class OutcomesFile:
    """Keeps the outcomes of a run.

    Args:
        path: of the file, JSON lines.
        key: what the run measures; outcomes of another one are not gone on with.
        names: of all faults of the run.
        fresh: begin anew in any case.
    """

    def __init__(self, path: Path, key: str, names: Sequence[str], fresh: bool = False) -> None:
        self.path = path
        self.outcomes: list[Outcome] = []
        found, outcomes = _read(path)
        if not fresh and found == key and not set(names) <= {outcome.fault for outcome in outcomes}:
            self.outcomes = [outcome for outcome in outcomes if outcome.fault in names]
        self._lines = JsonLines(path, [{"key": key}, *map(asdict, self.outcomes)])

    def append(self, outcome: Outcome) -> None:
        """Keep one more; it is on disk before this returns."""
        self.outcomes.append(outcome)
        self._lines.append(asdict(outcome))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _read(path: Path) -> tuple[str, list[Outcome]]:
    """Return key and outcomes of a file; nothing where there is none or it is none."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        key = str(json.loads(first)["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", []
    outcomes = []
    for line in lines:
        try:
            values = json.loads(line)
            stamps, speeds = values["trace"]
            values.update(
                unsafe=tuple(values["unsafe"]),
                shortfalls=tuple(values["shortfalls"]),
                trace=(tuple(stamps), tuple(speeds)),
            )
            outcomes.append(Outcome(**values))
        except (ValueError, KeyError, TypeError):
            break  # cut short: what follows, if anything, is measured again
    return key, outcomes


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the run's line of JSON: numbers of faults, and a row for each."""
    return {
        "faults": len(outcomes),
        "as_required": sum(outcome.as_required for outcome in outcomes),
        "unsafe": sum(bool(outcome.unsafe) for outcome in outcomes),
        "recovered": sum(outcome.recovered for outcome in outcomes),
        "table": [
            {
                "fault": outcome.fault,
                "as_required": outcome.as_required,
                "unsafe": list(outcome.unsafe),
                "shortfalls": list(outcome.shortfalls),
                "begun_s": _rounded(outcome.begun),
                "rest_s": _rounded(outcome.rest),
                "travel_mm": _rounded(1000.0 * outcome.travel, 1),
                "deviation_mm": _rounded(1000.0 * outcome.deviation, 1),
                "reason": outcome.reason,
                "recovered": outcome.recovered,
                "recovery_s": _rounded(outcome.recovery),
            }
            for outcome in outcomes
        ],
    }


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
