"""Pre-training and evaluation again and again in one driver on one Ray that lives on: does anything grow?

    python tests/faults/soak.py --minutes 30 [--figure memory.png]

A turn is a pre-training by two Ray Train workers, one in the driver itself, each of a seed of its own, and an
evaluation; then the harness removes their folders. One JSON line a turn, measured at rest; the last line has the slope
of every series after the first quarter, with its interval. Exit 1 if something grows.

What counts as growth: memory of a role more than BOUNDS allow, files at all. By nature grow Ray's logs and MLflow's
record of runs: told, not judged. What the head keeps of dead actors and tasks has a limit that an hour does not reach
(100 000 of each), so the limits are set low here: else a full cache could not be told from a leak.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from faults.gauges import Sampler

TESTS = Path(__file__).resolve().parents[1]
Engine = Literal["ray", "local"]
Record = dict[str, Any]
BOUNDS = {"driver": 0.25, "raylet": 0.25, "gcs": 0.25, "dashboard": 0.25, "actors": 0.25, "idle": 1.0}
"""MB a turn. At 0.25 a thousand turns cost 250 MB, less than half of what a driver takes to begin with, and no study is
larger. `idle`: processes that Ray keeps for the next task and renews, so one more of them (100 MB) is no slope."""
KEPT = {
    "work_files": 0.05,
    "temporary_files": 0.05,
    "ray_files": 0.05,
    "ray_bytes": 50_000.0,
    "object_store_bytes": 1e4,
}
"""Per turn: a file in twenty turns is one too many."""
COUNTS = ("actors_alive", "placement_groups", "descriptors", "threads", "processes")
BY_NATURE = ("ray_log_bytes", "mlflow_bytes")
LIMITS = {"RAY_maximum_gcs_destroyed_actor_cached_count": "50", "RAY_task_events_max_num_task_in_gcs": "500",
          "RAY_DASHBOARD_MAX_ACTORS_TO_CACHE": "50", "RAY_DASHBOARD_MAX_EVENTS_TO_CACHE": "50"}  # fmt: skip


class Soak:
    """One driver; `head` is the process of its Ray and `session` that Ray's folder, None without Ray."""

    def __init__(self, work: Path, head: int | None = None, session: Path | None = None, mlflow: bool = True) -> None:
        from conftest import tiny_tree, write_tiny
        from mdjpt_platform.runfile import parse

        self.work, self.head, self.session, self.mlflow = work, head, session, mlflow
        self.engines: tuple[Engine, ...] = ("local",) if head is None else ("ray", "local")
        write_tiny(work / "store", parse(tiny_tree(work / "store", work / "runs")))

    def turn(self, number: int) -> Record:
        """Train once with every engine, evaluate the last, remove both, measure."""
        from faults import gauges
        from mdjpt_platform.runfile import parse
        from mdjpt_platform.train.launch import pretrain
        from mdjpt_platform.verbs import evaluate

        began = time.monotonic()
        folders = []
        for place, engine in enumerate(self.engines):
            config = parse(self._tree(f"turn{number}", number * len(self.engines) + place, engine))
            done = pretrain(config)
            assert done.fresh, "a seed of its own: there is work to do"
            folders.append(done.folder)
        with redirect_stdout(io.StringIO()):
            evaluate(config)
        assert list(folders[-1].glob("evaluation-*/three/*.parquet"))
        spent = time.monotonic() - began
        for folder in folders:
            shutil.rmtree(folder)
        gc.collect()
        held = gauges.at_rest() if self.head is not None else {}
        sizes = gauges.memory(self.head)
        record: Record = {"turn": number, "seconds": round(spent, 2)}
        record |= {role: round(size, 2) for role, (size, _) in sizes.items() if role in BOUNDS}
        record["processes"] = sum(count for role, (_, count) in sizes.items() if role != "idle")
        record |= {"idle_processes": sizes["idle"][1], **gauges.handles(), **gauges.files(self.work, self.session)}
        return record | {"actors_alive" if key == "actors" else key: value for key, value in held.items()}

    def _tree(self, name: str, seed: int, engine: Engine) -> dict[str, Any]:
        from faults.scenes import Sizes, training

        execution: dict[str, Any] = {"engine": engine, "threads": 1, "workers": 2 if engine == "ray" else 1}
        tree = training(self.work, self.work / "runs", Sizes(2, 5), execution)
        if self.mlflow:
            del tree["exec"]["mlflow"]
        return {**tree, "name": name, "seed": seed}


def judge(records: Sequence[Record]) -> dict[str, Any]:
    """Slopes and verdicts of all series; `leaks` names those that grow."""
    from faults.trend import comes_back, trend

    seconds = median(record["seconds"] for record in records)
    series: dict[str, Any] = {}
    for name, bound in {**BOUNDS, **KEPT}.items():
        if name in records[0]:
            values = [record[name] for record in records]
            found = trend(values, bound)
            series[name] = {"first": values[0], "last": values[-1], "slope": round(found.slope, 4),
                            "interval": [round(found.low, 4), round(found.high, 4)], "late": round(found.late, 4),
                            "hour": round(found.slope * 3600 / seconds, 2), "bound": bound,
                            "verdict": found.verdict}  # fmt: skip
    for name in COUNTS:
        if name in records[0]:
            counts = [record[name] for record in records]
            verdict = "flat" if comes_back(counts) else "grows"
            series[name] = {"first": counts[0], "last": counts[-1], "most": max(counts), "verdict": verdict}
    nature = {name: {"first": records[0][name], "last": records[-1][name],
                     "turn": round((records[-1][name] - records[0][name]) / max(1, len(records) - 1))}
              for name in BY_NATURE if name in records[0]}  # fmt: skip
    leaks = sorted(name for name, one in series.items() if one["verdict"] == "grows")
    return {"turns": len(records), "seconds": seconds, "series": series, "by_nature": nature, "leaks": leaks}


def draw(sampler: Sampler, path: Path) -> None:
    """Memory by role over the minutes of the run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    minutes = [when / 60 for when, _ in sampler.samples]
    for name in BOUNDS:
        axis.plot(minutes, [sizes[name] for _, sizes in sampler.samples], linewidth=1, label=name)
    axis.set(xlabel="minutes", ylabel="memory no other process shares (MB)", ylim=(0, None))
    axis.legend(ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


@contextmanager
def living_ray() -> Iterator[tuple[int, Path]]:
    """A head that lives for the whole run and that this process' trainings join: its pid and its session's folder."""
    from cluster import head

    path = os.pathsep.join([str(TESTS.parent / "platform"), str(TESTS.parent)])
    with head(cpus=3, python=Path(sys.executable), settings={**LIMITS, "PYTHONPATH": path}) as cluster:
        os.environ |= {name: value for name, value in cluster.env.items() if name.startswith("RAY_")}
        os.environ["RAY_ADDRESS"] = cluster.address
        import ray

        try:
            yield cluster.pid, cluster.session
        finally:
            ray.shutdown()  # before its head goes: else it waits a minute and ends this process


def play(minutes: float, turns: int | None, figure: Path | None) -> int:
    """Turns until the time is over; 0 if nothing grows."""
    from faults.gauges import Sampler

    records: list[Record] = []
    with ExitStack() as left:
        home = Path(left.enter_context(tempfile.TemporaryDirectory(prefix="mjs", dir="/tmp")))
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")  # what is left there can be counted
        (home / "tmp").mkdir()
        pid, session = left.enter_context(living_ray())
        soak = Soak(home / "work", pid, session)
        deadline = time.monotonic() + 60 * minutes
        with Sampler(pid).running() as sampler:
            while time.monotonic() < deadline and (turns is None or len(records) < turns):
                records.append(soak.turn(len(records)))
                print(json.dumps(records[-1]), flush=True)
    told = judge(records)
    told["peak"] = {name: round(max(sizes[name] for _, sizes in sampler.samples)) for name in BOUNDS}
    print(json.dumps(told), flush=True)
    if figure is not None:
        draw(sampler, figure)
    return 1 if told["leaks"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Trains and evaluates in one driver for a long time; tells what grows."
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--turns", type=int, default=None, help="at most so many")
    parser.add_argument("--figure", type=Path, default=None, help="PNG of memory by role")
    chosen = parser.parse_args()
    if importlib.util.find_spec("faults") is None:  # started as a script: the package that it lies in is not seen
        path = os.pathsep.join([str(TESTS), str(TESTS / "integration"), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "faults.soak", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Ray is ended, the folders go
    return play(chosen.minutes, chosen.turns, chosen.figure)


if __name__ == "__main__":
    sys.exit(main())
