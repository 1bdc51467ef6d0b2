"""What processes cost, read from /proc: processor time and memory. Guarded by tests/unit/test_runtime_processes.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def processor_time(pid: int, proc: Path = Path("/proc")) -> float:
    """Return the s of processor time that all threads of a process have had; 0 where it has gone."""
    fields = _state(proc / str(pid))
    return (int(fields[11]) + int(fields[12])) / TICK if fields else 0.0


@dataclass(frozen=True)
class Memory:
    """MB of a process.

    Attributes:
        anonymous: what only it allocated: heaps and stacks. A leak of a program shows here.
        resident: all that is in memory, with libraries and the shared segments of the middleware, which fill once.
    """

    anonymous: float
    resident: float


def memory(pid: int, proc: Path = Path("/proc")) -> Memory | None:
    """Return the memory of a process, None where it has gone."""
    try:
        lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    sizes = {name: words[0] for name, _, rest in (line.partition(":") for line in lines) if (words := rest.split())}
    if "Anonymous" not in sizes:
        return None
    return Memory(int(sizes["Anonymous"]) / 1024.0, int(sizes["Rss"]) / 1024.0)


def children(parent: int, proc: Path = Path("/proc")) -> list[int]:
    """Return the ids of the processes that a process started itself and that still live."""
    return [pid for pid, fields in _living(proc) if int(fields[1]) == parent]


def session_members(session: int, proc: Path = Path("/proc")) -> dict[int, list[str]]:
    """Return the command line, word by word, of every living process of a session, by its id."""
    members = {}
    for pid, fields in _living(proc):
        if int(fields[3]) == session:
            try:
                words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended between listing and reading
            members[pid] = [word.decode(errors="replace") for word in words if word]
    return members


def _living(proc: Path) -> Iterator[tuple[int, list[str]]]:
    for folder in proc.glob("[0-9]*"):
        fields = _state(folder)
        if fields and fields[0] not in "ZX":
            yield int(folder.name), fields


def _state(folder: Path) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (the parent is second), [] where it has gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
