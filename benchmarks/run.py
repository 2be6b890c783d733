"""`make bench`: every benchmark that takes less than a minute; one JSON line a figure."""

from __future__ import annotations

import runpy
from pathlib import Path

BENCHMARKS = ("step", "loader")

if __name__ == "__main__":
    for name in BENCHMARKS:
        runpy.run_path(str(Path(__file__).with_name(f"{name}.py")), run_name="__main__")
