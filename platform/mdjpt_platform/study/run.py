"""A study from its file to its table: expand, leave out what the ledger holds, run the rest, gather."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mdjpt_platform.code import sources
from mdjpt_platform.config import Config, RunConfig, WindowConfig
from mdjpt_platform.errors import Preempted
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.families import FAMILIES
from mdjpt_platform.objects import is_uri
from mdjpt_platform.operations import manifest
from mdjpt_platform.store import Store
from mdjpt_platform.study.budget import Size, Sizes
from mdjpt_platform.study.grid import Cell, expand, groups
from mdjpt_platform.study.ledger import Entry, Ledger, Running
from mdjpt_platform.study.spec import StudyConfig, load_study
from mdjpt_platform.train.prepared import PLANS, open_stores, samples

if TYPE_CHECKING:
    from mdjpt_platform.tracking.mlflow import MlflowSink
    from mdjpt_platform.tracking.sink import Status


@dataclass(frozen=True)
class Study:
    """An expanded study and where it lies."""

    config: StudyConfig
    base: Config
    cells: tuple[Cell, ...]
    ledger: Ledger

    @property
    def entries(self) -> dict[str, Entry]:
        """What the ledger holds of its cells."""
        return self.ledger.entries(self.cells)

    def waiting(self) -> tuple[Cell, ...]:
        """Cells that are not done: never run, or failed."""
        entries = self.entries
        return tuple(c for c in self.cells if c.key not in entries or entries[c.key].state != "done")

    def table(self) -> pd.DataFrame:
        """Scores of the finished cells by subject (`Ledger.table`)."""
        return self.ledger.table(self.cells)


def open_study(path: str | Path, overrides: Iterable[str] = (), *, ready: bool = True) -> Study:
    """Read a study file and expand it; `ready`: the stores must be there (they are needed to tell most budgets).

    A search has no cells (study/trials.py).

    Raises BadInput: as `load_study`, `expand` and, if `ready`, `open_stores` do.
    """
    config, base = load_study(path, overrides)
    folder = Path(base.exec.runs).resolve() / "studies" / f"{config.name}-{config.identity(base)}"
    if config.search is not None:
        return Study(config, base, (), Ledger(folder))
    sizes = None
    if config.budget != "steps" and ready:
        sizes = sizes_of(base)
    cells = expand(config, base, sizes)
    return Study(config, base, cells, Ledger(folder))


def sizes_of(base: Config) -> Sizes:
    """Sizes as they are asked for. What it returns raises BadInput: a store is missing, no pair."""

    @cache
    def store_of(name: str) -> Store:
        return open_stores(base, (name,), verify=False)[name]

    @cache
    def drawn(plan: str, window: WindowConfig, name: str) -> tuple[int, float]:
        run = base.run.model_copy(update={"only": {}, "window": window})
        store = store_of(name)
        length, hop = samples(window, store.rate)
        return PLANS[plan](run, {name: store}, {name: length}, {name: hop}).size(name)

    @cache
    def hours(name: str) -> dict[str, float]:
        store = store_of(name)
        found = store.index.groupby("subject")["samples"].sum() / store.rate / 3600
        return {str(who): float(value) for who, value in found.items()}

    def size(run: RunConfig, name: str) -> Size:
        store = store_of(name)
        flops = FAMILIES[run.model.family].flops(run.model, samples(run.window, store.rate)[0], len(store.channels))
        return Size(*drawn(run.plan.kind, run.window, name), hours(name), flops)

    return size


def run_study(study: Study, *, mixed_code: bool = False) -> Study:
    """Run every cell that is not done, failed ones too. What ends stands in the ledger at once.

    Raises BadInput: cells done by other sources (unless `mixed_code`), a store is missing; MdjptError: trials died,
    another process is running this study.
    """
    base, ledger = study.base, study.ledger
    if not mixed_code:
        ledger.refuse_other_code(study.cells, sources()[1])
    stores = open_stores(
        base, tuple(dict.fromkeys(n for c in study.cells for n in (*c.run.sources, *c.run.targets))), verify=True
    )
    ledger.describe({"study": study.config.model_dump(mode="json"), "base": base.run.model_dump(mode="json"),
                     "cells": [cell.key for cell in study.cells]})  # fmt: skip
    if study.waiting():
        prints = {name: store.fingerprint for name, store in stores.items()}
        with ledger.alone(), manifest.recorded(ledger.folder, about_study(study, prints)):
            _run_waiting(study)
    return study


def about_study(study: Study, stores: dict[str, str]) -> manifest.Manifest:
    """The study's manifest; each pre-training has its own."""
    identity = study.ledger.folder.name.rpartition("-")[2]
    content = study.config.model_dump_json() + study.base.run.model_dump_json()
    return manifest.describe("study", study.base, identity, content.encode(), stores)


def _run_waiting(study: Study) -> None:
    base, ledger = study.base, study.ledger
    waiting = groups(study.waiting())
    # imported late: PyTorch, MLflow and Ray are not for those who only look at a study
    from mdjpt_platform.study.track import open_parent
    from mdjpt_platform.study.work import Group, run_group

    sink = open_parent(study)
    parent = None if sink is None else sink.run_id
    execution = in_trial(base.exec)
    if parent is None:  # cells without a parent would be lost among other runs; `replay` sends them later
        execution = execution.model_copy(update={"mlflow": "off"})
    packed = [Group(cells, execution, study.config.name, parent) for cells in waiting.values()]
    status: Status = "FAILED"
    try:
        if base.exec.engine == "ray":
            from mdjpt_platform.study.tune import run_groups

            run_groups(packed, ledger, base.exec)
        else:
            for group in packed:
                run_group(group, ledger)
        status = status_of(study)
    except (KeyboardInterrupt, Preempted):
        status = "KILLED"
        raise
    finally:
        if sink is not None:
            sink.close(status)


def track_page(study: Study, page: Path) -> None:
    """Put the report into the study's MLflow run, if there is tracking; not while a process runs the study, whose run
    it then is: closing it would say that the study is over.
    """
    try:
        with study.ledger.alone():
            sink = sink_of(study)
            if sink is not None:
                sink.artifact(page)
                sink.close(status_of(study))
    except Running:
        return


def sink_of(study: Study) -> MlflowSink | None:
    """The study's own run in MLflow; None where tracking is off or does not answer."""
    from mdjpt_platform.tracking.mlflow import MlflowSink, initialise
    from mdjpt_platform.tracking.names import tracking_uri

    execution = study.base.exec
    uri = tracking_uri(execution)
    if uri is None or not initialise(uri, execution.experiment, Path(execution.runs).resolve() / "mlartifacts"):
        return None
    return MlflowSink(uri, execution.experiment, study.config.name, study.ledger.folder.name)


def status_of(study: Study) -> Status:
    """How MLflow calls the state of a study."""
    return "FAILED" if study.waiting() else "FINISHED"


def in_trial(execution: ExecConfig) -> ExecConfig:
    """How a cell is run inside a trial: paths that mean the same anywhere, one process unless it asks for more."""
    from mdjpt_platform.tracking.names import tracking_uri

    threads = execution.threads or max(1, int(execution.cpus_per_worker))
    return execution.model_copy(
        update={
            "engine": "ray" if execution.workers > 1 and execution.engine == "ray" else "local",
            "threads": threads,
            "progress": False,
            "store": execution.store if is_uri(execution.store) else str(Path(execution.store).resolve()),
            "runs": str(Path(execution.runs).resolve()),
            "mlflow": tracking_uri(execution) or "off",
        }
    )


def summary(study: Study) -> list[str]:
    """What a study is and how far it has come, one line each."""
    entries = study.entries
    states = [entry.state for entry in entries.values()]
    pending = len(study.cells) - len(states)
    lines = [
        f"{study.config.name}: {len(study.cells)} cells in {len(groups(study.cells))} pre-trainings; "
        f"{states.count('done')} done, {states.count('failed')} failed, {pending} to run -> {study.ledger.folder}"
    ]
    seconds = sorted(entry.seconds for entry in entries.values() if entry.state == "done")
    if seconds and pending:
        middle = seconds[len(seconds) // 2]
        lines.append(f"a cell took {middle:.0f} s (median), so {pending * middle / 60:.0f} min of one process are left")
    for entry in entries.values():
        if entry.state == "failed":
            lines.append(f"failed ({entry.attempts} attempts): {_place(entry)}: {entry.reason}")
    return lines


def _place(entry: Entry) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.place.items() if name != "n_sources")
