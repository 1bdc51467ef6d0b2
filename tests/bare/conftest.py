"""The stand-ins are tested from their sources, ahead of whatever else bears their names."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

for path in (ROOT / "src" / "vipa_policy", *sorted((ROOT / "ros2_ws" / "bare").iterdir())):
    if (path / "setup.py").is_file() and str(path) not in sys.path:
        sys.path.insert(0, str(path))
