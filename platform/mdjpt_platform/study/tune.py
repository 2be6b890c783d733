"""(R) The only Tuner: groups of cells, each in a trial process of its own, as many at once as fit.

Tune schedules and no more. What is done, failed or left is in the ledger, so its own state lies in a scratch folder
that is removed, and a study is resumed by starting it again.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray import tune
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.runtime import connect
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.work import Group, run_group

SCRATCH = ".tune"
RETRIES = 2
"""New attempts after a trial process died (a cell that fails by itself is not tried again in the same call)."""


def run_groups(groups: Sequence[Group], ledger: Ledger, execution: ExecConfig, *, share: float = 0.0) -> None:
    """Run all groups; every cell that ended stands in the ledger.

    A group takes `exec.cpus_per_worker` CPUs, and a GPU or the fraction `share` of one if `exec.gpu`. With more than
    one worker the trial is a small driver and its training a Ray Train worker group of its own, so as many run at once
    as fit beside their drivers.
    Raises MdjptError: trial processes died again and again; BadInput: a cell wants more than the cluster has.
    """
    connect(execution)
    wide = execution.workers > 1
    each = {"CPU": 0.1 if wide else execution.cpus_per_worker}
    if execution.gpu and not wide:
        each["GPU"] = share or 1.0

    def trial(parameters: dict[str, Any]) -> dict[str, Any]:
        group = groups[parameters["group"]]
        return {"failed": run_group(group, ledger)}

    keys = [cell.key for group in groups for cell in group.cells]
    with _Watching(ledger, keys, execution.progress):
        tuned(trial, execution, ledger.folder, each, {"group": tune.grid_search(list(range(len(groups))))})


def tuned(
    trial: Callable[[dict[str, Any]], Any],
    execution: ExecConfig,
    home: Path,
    each: dict[str, float],
    space: dict[str, Any],
    **config: Any,
) -> None:
    """Run the trials of a space, or of the `search_alg` in `config` (fields of TuneConfig), as many at once as fit.

    `each`: resources of a trial; `home`: the study's folder, which all nodes see and one process runs.
    Raises MdjptError: trial processes died again and again.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # no CSV, JSON, TensorBoard of its own
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends the study now; the ledger knows the rest
    scratch = home / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of a driver that was killed
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    try:
        tuner = tune.Tuner(
            tune.with_resources(trial, tune.PlacementGroupFactory([each])),
            param_space=space,
            tune_config=tune.TuneConfig(max_concurrent_trials=_at_once(execution, each), reuse_actors=True, **config),
            run_config=tune.RunConfig(
                name="study",
                storage_path=str(scratch),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
            ),
        )
        # Tune prints a banner and a path to its scratch folder even when told to be silent
        with redirect_stdout(io.StringIO()):
            outcome = tuner.fit()
        if outcome.errors:
            last = str(outcome.errors[-1]).strip().splitlines()[-1]
            raise MdjptError(f"{len(outcome.errors)} trial processes died: {last}; run the study again to go on")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _at_once(execution: ExecConfig, each: dict[str, float]) -> int:
    """Trials that the cluster holds; Tune does not see the worker groups that wide trials start."""
    there = ray.cluster_resources()
    if execution.workers == 1:
        return max(1, int(min(there.get(name, 0) / amount for name, amount in each.items())))
    need = {"CPU": execution.workers * execution.cpus_per_worker + each["CPU"]}
    if execution.gpu:
        need["GPU"] = float(execution.workers)
    held = int(min(there.get(name, 0) / amount for name, amount in need.items()))
    if held < 1:  # its worker group would wait for ever
        wanted, found = (", ".join(f"{some.get(name, 0):g} {name}" for name in need) for some in (need, there))
        raise BadInput("configuration", "exec.workers", f"{wanted} for a cell and its driver", f"at most {found}")
    return held


class _Watching:
    """Progress of the study, read from the ledger, with what failed and the time left."""

    def __init__(self, ledger: Ledger, keys: Sequence[str], shown: bool) -> None:
        self.ledger, self.keys = ledger, keys
        self.console = Console(stderr=True)
        self.shown = shown and self.console.is_terminal
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="study", daemon=True)

    def __enter__(self) -> None:
        if self.shown:
            self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        if self.shown:
            self.thread.join()

    def _follow(self) -> None:
        columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"),
                   TimeRemainingColumn(elapsed_when_finished=True))  # fmt: skip
        began = time.time()
        with Progress(*columns, console=self.console, transient=True, speed_estimate_period=3600) as progress:
            task = progress.add_task("cells", total=len(self.keys), failed=0)
            while True:
                ended = self.done.wait(1.0)
                fresh = {path.stem for path in self.ledger.cells.glob("*.json") if path.stat().st_mtime >= began - 1}
                states = [entry.state for key in fresh & set(self.keys) if (entry := self.ledger.entry(key))]
                progress.update(task, completed=len(states), failed=states.count("failed"))
                if ended:
                    return
