"""What scheduling a cell costs: trivial cells through Tune in their trial processes, and some through nested Ray Train.

Prints one JSON line a way: wall-clock seconds times processes at once, less the seconds that the cells themselves took,
per cell. Starting Ray and the first trial process of every slot (imports) are in it.

    python benchmarks/study_overhead.py [--cells 40] [--nested 4]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import ray
import yaml

from mdjpt_platform.runtime import connect
from mdjpt_platform.study.grid import groups
from mdjpt_platform.study.run import Study, in_trial, open_study
from mdjpt_platform.study.tune import run_groups
from mdjpt_platform.study.work import Group
from mdjpt_platform.verbs import prepare_missing

RUNS = Path(__file__).resolve().parents[1] / "jobs" / "runs"
TRIVIAL = {
    "sources": ["sim-a"],
    "train.steps": 1,
    "evaluate.controls": [],
    "evaluate.readouts": ["zero_shot"],
}


def study(folder: Path, name: str, cells: int) -> Study:
    """As many cells as seeds over one small corpus."""
    places = {place: str(folder / place) for place in ("simulated", "store")}
    tree = {
        "name": name,
        "base": str(RUNS / "family_smoke.yaml"),
        "set": TRIVIAL,
        "seeds": list(range(cells)),
        "exec": {**places, "runs": str(folder / name), "mlflow": "off", "progress": False, "cpus": 2},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(tree))
    return open_study(path)


def measure(folder: Path, name: str, cells: int, nested: bool) -> None:
    """Run and print."""
    found = study(folder, name, cells)
    prepare_missing(found.base, ("sim-a", "held-out"))
    execution = found.base.exec
    inner = in_trial(execution)
    if nested:  # a worker group of one inside every trial, as wide cells have it
        inner = inner.model_copy(update={"engine": "ray", "cpus_per_worker": 0.5})
        # one trial at a time, so that its worker group finds the CPU that it waits for
        execution = execution.model_copy(update={"cpus_per_worker": 1.5})
    packed = [Group(some, inner, name) for some in groups(found.cells).values()]
    found.ledger.describe({})
    begin = time.perf_counter()
    connect(execution)
    started = time.perf_counter() - begin
    begin = time.perf_counter()
    run_groups(packed, found.ledger, execution)
    wall = time.perf_counter() - begin
    inside = sum(entry.seconds for entry in found.entries.values())
    done = sum(entry.state == "done" for entry in found.entries.values())
    slots = 1 if nested else 2
    figures = {
        "cells": cells,
        "done": done,
        "wall_s": round(wall, 1),
        "start_ray_s": round(started, 1),
        "inside_cells_s": round(inside, 1),
        "wall_per_cell_s": round(wall / cells, 2),
        "overhead_per_cell_s": round((wall * slots - inside) / cells, 2),
    }
    print(
        json.dumps({"benchmark": "study_overhead", "way": "nested Train" if nested else "Tune", **figures}), flush=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--nested", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mdjpt-bench-") as name:
        measure(Path(name), "tune", arguments.cells, nested=False)
        if arguments.nested:
            measure(Path(name), "nested", arguments.nested, nested=True)
        ray.shutdown()
