"""From the shell to the first step: `mdjpt --help`, a smoke pre-training in one process, the same under a private Ray.

One JSON line a way: medians over the runs of wall-clock seconds since the command was typed, processor seconds of all
its processes up to the first step, and the stages between. Nothing is added to what is timed: a stage ends when the
file or the process appears that it leaves behind, looked for every few milliseconds, and the first step is the first
line of metrics.jsonl that has one. The corpora are prepared before; every run has new folders, so MLflow's database,
at its default place, is new each time. The last line of a way says which imports the time before the stores went to
(`python -X importtime`, in a run of its own).

    python benchmarks/startup.py [--runs 3] [--run jobs/runs/daest_smoke.yaml] [--only help local ray]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-m", "mdjpt_platform.cli"]
SMOKE = Path(__file__).resolve().parents[1] / "jobs" / "runs" / "daest_smoke.yaml"
POLL, LIMIT = 0.02, 300.0
STAGES = {
    "local": ("imports_and_stores", "model_and_sinks", "first_step"),
    "ray": ("imports_and_stores", "ray_init", "code_check_and_controller", "worker_group", "worker_imports",
            "model_and_sinks", "first_step"),
}  # fmt: skip
LIBRARIES = ("torch", "torch._dynamo", "scipy.signal", "pandas", "pyarrow", "h5py", "rich.progress", "mlflow", "ray",
             "ray.train.torch", "mdjpt_platform.preprocess")  # fmt: skip


def settings(folder: Path, runs: Path, engine: str) -> list[str]:
    places = {"simulated": folder / "raw", "store": folder / "store", "runs": runs, "engine": engine, "progress": False}
    return [part for key, value in places.items() for part in ("--set", f"exec.{key}={json.dumps(str(value))}")]


def processor(tree: list[psutil.Process], spent: dict[int, float]) -> None:
    """Note what every process has used so far; those that ended keep what was seen last."""
    for one in tree:
        try:
            times = one.cpu_times()
            spent[one.pid] = times.user + times.system
        except psutil.Error:
            continue


def named(tree: list[psutil.Process], words: str) -> bool:
    for one in tree:
        try:
            if words in " ".join(one.cmdline()):
                return True
        except psutil.Error:
            continue
    return False


def marks(runs: Path, engine: str) -> dict[str, Callable[[list[psutil.Process]], bool]]:
    """What shows that a stage is over."""

    def about(_: list[psutil.Process]) -> bool:
        return any(runs.glob("*/about.json"))

    def sinks(_: list[psutil.Process]) -> bool:
        return any(runs.glob("*/metrics.jsonl"))

    def step(_: list[psutil.Process]) -> bool:
        return any(b'{"step"' in log.read_bytes() for log in runs.glob("*/metrics.jsonl"))

    found = {"imports_and_stores": about, "model_and_sinks": sinks, "first_step": step}
    if engine == "ray":
        found["ray_init"] = lambda tree: named(tree, "default_worker.py") or named(tree, "ray::")
        found["code_check_and_controller"] = lambda tree: named(tree, "ray::TrainController")
        found["worker_group"] = lambda tree: named(tree, "ray::RayTrainWorker")
        found["worker_imports"] = lambda tree: named(tree, "run_train_fn")
    return {name: found[name] for name in STAGES[engine]}


def first_step(run_file: str, folder: Path, engine: str) -> dict[str, float]:
    """One training to its end, watched. Seconds at which stages ended, and `cpu` at the first step."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        runs = Path(name) / "runs"
        began = time.monotonic()
        typed = [*COMMAND, "pretrain", run_file, *settings(folder, runs, engine)]
        process = subprocess.Popen(typed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        root, waiting = psutil.Process(process.pid), marks(runs, engine)
        seen: dict[str, float] = {}
        spent: dict[int, float] = {}
        while process.poll() is None and time.monotonic() - began < LIMIT:
            try:
                tree = [root, *root.children(recursive=True)]
            except psutil.Error:
                break
            if "first_step" not in seen:
                processor(tree, spent)
            passed = [stage for stage, over in waiting.items() if over(tree)]
            for stage in passed:
                seen[stage] = time.monotonic() - began
                del waiting[stage]
            time.sleep(POLL)
        said = process.communicate(timeout=LIMIT)[1]
        if process.returncode != 0 or "first_step" not in seen:
            raise SystemExit(f"the training ended with {process.returncode}: {said[-2000:]}")
        return {**seen, "cpu": sum(spent.values()), "whole": time.monotonic() - began}


def imports(*arguments: str) -> dict[str, float]:
    """Seconds of the libraries' imports, those inside them included, while the command runs."""
    line = [sys.executable, "-X", "importtime", *COMMAND[1:], *arguments]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)", said)
    times = {name: int(microseconds) / 1e6 for microseconds, name in found}
    return {name: round(times[name], 2) for name in LIBRARIES if name in times}


def told(way: str, runs: int, **figures: object) -> None:
    print(json.dumps({"benchmark": "startup", "way": way, "runs": runs, **figures}), flush=True)


def measure_help(runs: int) -> None:
    """The whole process, from outside."""
    walls = []
    for _ in range(runs + 1):
        began = time.monotonic()
        subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
        walls.append(time.monotonic() - began)
    told("help", runs, wall_s=round(statistics.median(walls[1:]), 2), imports_s=imports("--help"))


def measure_first_step(run_file: str, folder: Path, engine: str, runs: int) -> None:
    """Medians; the stages' seconds are the medians of the differences within a run."""
    found = [first_step(run_file, folder, engine) for _ in range(runs)]
    stages, before = {}, ["begin", *STAGES[engine]]
    for earlier, stage in zip(before, STAGES[engine], strict=False):
        took = [one[stage] - one.get(earlier, 0.0) for one in found if stage in one]
        stages[stage] = round(statistics.median(took), 2) if took else None
    figures = {
        "first_step_s": round(statistics.median(one["first_step"] for one in found), 2),
        "least_s": round(min(one["first_step"] for one in found), 2),
        "most_s": round(max(one["first_step"] for one in found), 2),
        "cpu_to_first_step_s": round(statistics.median(one["cpu"] for one in found), 2),
        "whole_s": round(statistics.median(one["whole"] for one in found), 2),
    }
    alone = ("pretrain", run_file, *settings(folder, folder / f"imports-{engine}", engine))
    told(engine, runs, run=Path(run_file).stem, **figures, stages_s=stages, imports_s=imports(*alone))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--run", default=str(SMOKE))
    parser.add_argument("--only", nargs="+", default=["help", "local", "ray"], choices=["help", "local", "ray"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mdjpt-start-") as name:
        place = Path(name)
        if "help" in arguments.only:
            measure_help(arguments.runs)
        if {"local", "ray"} & {*arguments.only}:
            prepared = [*COMMAND, "prepare", arguments.run, *settings(place, place / "none", "local")]
            subprocess.run(prepared, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for engine in ("local", "ray"):
            if engine in arguments.only:
                measure_first_step(arguments.run, place, engine, arguments.runs)
