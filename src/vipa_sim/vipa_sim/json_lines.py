"""Files of one JSON object a line that outlive a kill: the single place where results are kept as they come.

Guarded by tests/unit/test_evaluation.py and tests/unit/test_fault_analysis.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO


class JsonLines:
    """A file that is begun anew with some records and then appended to; each is on disk before the next."""

    def __init__(self, path: Path, records: Iterable[Mapping[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Rewritten rather than appended to, so that a line cut short does not stay in the middle.
        partial = path.with_suffix(path.suffix + ".partial")
        self._file: TextIO = partial.open("w", encoding="utf-8")
        for record in records:
            self.append(record)
        partial.replace(path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep one more; it is on disk before this returns."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
