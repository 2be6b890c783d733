"""Trials of a search: what each runs, what the ledger holds of them, what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import Config, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.grid import Cell, changed
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.run import Study
from mdjpt_platform.study.search import BIAS, Tried, best, held_out, run_file
from mdjpt_platform.study.space import SearchConfig
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.prepared import open_stores

BEST = "best.yaml"


@dataclass(frozen=True)
class Search:
    """A study file with `search:`, opened."""

    study: Study
    config: SearchConfig

    @property
    def ledger(self) -> Ledger:
        """Entries are those of trials."""
        return self.study.ledger

    def run(self, params: Mapping[str, Any]) -> RunConfig:
        """The base run with a setting; no target takes part."""
        fields = {**params, "seed": self.study.config.seeds[0], "targets": []}
        return changed(self.study.config, self.study.base, fields)

    def trial(self, number: int, params: Mapping[str, Any], out: Mapping[str, tuple[str, ...]]) -> Cell:
        """A trial; `out`: what `divided` gave."""
        run = self.run(params)
        return Cell(run.model_copy(update={"only": dict(out)}) if out else run, {"number": number, **params})

    def divided(self) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """Subjects of every source (trained on, held out); both empty where the metric needs none.

        Raises BadInput: a store is missing, too few subjects.
        """
        run = self.study.base.run
        stores = open_stores(self.study.base, run.sources, verify=True)
        if self.config.metric != "retrieval":
            return {}, {}
        there = {name: sorted(set(store.index["subject"])) for name, store in stores.items()}
        out = held_out(self.config, run, there)
        kept = {n: tuple(s for s in run.only.get(n, there[n]) if s not in out[n]) for n in run.sources}
        return kept, out

    def tried(self) -> list[Tried]:
        """What the ledger holds, by number."""
        found = []
        for path in sorted(self.ledger.cells.glob("*.json")):
            entry = self.ledger.entry(path.stem)
            if entry is not None:
                number, params = entry.place["number"], {k: v for k, v in entry.place.items() if k != "number"}
                values: tuple[float, ...] = ()
                if entry.state != "failed":
                    values = tuple(pd.read_parquet(path.with_suffix(".parquet"))["value"].tolist())
                found.append(Tried(number, entry.state, params, values, entry.reason))
        return sorted(found, key=lambda one: one.number)

    def enter(self, cell: Cell, state: str, values: Mapping[int, float], reason: str, **facts: Any) -> None:
        """A trial has ended; `values` by epoch from 1."""
        if state == "failed":
            self.ledger.failed(cell, reason, **facts)
        else:
            rows = [(epoch, self.config.metric, value) for epoch, value in sorted(values.items())]
            table = pd.DataFrame(rows, columns=["epoch", "metric", "value"])
            self.ledger.done(cell, table, state="done" if state == "done" else "stopped", **facts)

    def write_best(self) -> Path | None:
        """The best setting as a run file beside the ledger; None while no trial has finished."""
        tried = self.tried()
        found = best(self.config, tried)
        if found is None:
            return None
        path = self.ledger.folder / BEST
        run = self.run(found.params).model_copy(update={"targets": self.study.base.run.targets})
        write_atomic(path, run_file(self.study.config.name, self.config, self.study.base, run, tried).encode())
        return path


def open_search(study: Study) -> Search:
    """Raises BadInput: an unknown field, an end of a range that its field does not take, no room for a rung, no Ray."""
    config = study.config.search
    assert config is not None
    search = Search(study, config)
    for name, one in config.fields.items():
        for value in one.ends:
            search.run({name: value})
    epochs, execution = study.base.run.train.epochs, study.base.exec
    if epochs <= config.grace:
        raise BadInput(study.config.name, "train.epochs", epochs, f"more than search.grace, {config.grace}")
    if execution.engine != "ray" or execution.workers != 1:
        raise BadInput(study.config.name, "exec", f"engine {execution.engine}, {execution.workers} workers",
                       "engine ray and 1 worker: a trial trains in its own process")  # fmt: skip
    return search


def history(log: Path, metric: str, name: str) -> list[float]:
    """The metric after each epoch of a training's log: mean loss of the epoch, or what was measured at its end."""
    by_epoch: dict[int, list[dict[str, float]]] = {}
    for record in read_jsonl(log):
        by_epoch.setdefault(record["epoch"], []).append(record)
    ordered = [by_epoch[epoch] for epoch in sorted(by_epoch)]
    if metric == "loss":
        return [sum(one["loss/total"] for one in records) / len(records) for records in ordered]
    return [records[-1][name] for records in ordered if name in records[-1]]


def run_trial(
    config: Config,
    search: SearchConfig,
    out: Mapping[str, tuple[str, ...]],
    parent: str | None,
    report: Callable[[dict[str, float]], None],
) -> dict[str, str]:
    """Train, reporting {epoch, value} after each epoch; what an earlier process had trained is reported first.

    The last epoch is reported when everything is done. Gives {"reason": ...} where the training failed.
    """
    from mdjpt_platform.study.retrieval import NAME, retrieval
    from mdjpt_platform.study.work import EXPECTED, said
    from mdjpt_platform.train.context import Context
    from mdjpt_platform.train.launch import identity_of, pretrain, run_folder
    from mdjpt_platform.train.process import METRICS

    sent = 0
    try:
        stores = open_stores(config, config.run.sources, verify=False)
        fingerprints = {name: store.fingerprint for name, store in stores.items()}
        log = run_folder(config, identity_of(config, fingerprints)) / METRICS

        def tell(epochs: int) -> None:
            nonlocal sent
            for value in history(log, search.metric, NAME)[sent:epochs]:
                sent += 1
                report({"epoch": sent, "value": value})

        last = config.run.train.epochs
        hooks = Context(report=lambda epoch, _: tell(min(epoch + 1, last - 1)))
        if search.metric == "retrieval":
            measure = retrieval(config.run, out, stores, search.seed)
            hooks = Context(report=hooks.report, measure=measure)
        pretrain(config, parent_run_id=parent, hooks=hooks)
    except EXPECTED as error:
        return {"reason": said(error)}
    tell(last)
    return {}


def summary(search: Search) -> list[str]:
    """How far a search has come, one line each."""
    tried = search.tried()
    states = [one.state for one in tried]
    left = max(0, search.config.samples - len(tried))
    lines = [
        f"{search.study.config.name}: {search.config.samples} trials by {search.config.metric}; "
        f"{states.count('done')} finished, {states.count('stopped')} stopped early, {states.count('failed')} failed, "
        f"{left} to run -> {search.ledger.folder}"
    ]
    lines += [f"failed: trial {one.number} {_said(one.params)}: {one.reason}" for one in tried if one.state == "failed"]
    found = best(search.config, tried)
    if found is not None:
        value = f"{search.config.metric} {found.values[-1]:.6g}"
        lines.append(f"best of finished ones: trial {found.number}, {value}: {_said(found.params)}")
        lines.append(f"mind: {BIAS}")
    return lines


def outlook(search: Search) -> list[str]:
    """What a search would do."""
    run, config = search.study.base.run, search.config
    fields = [
        f"  {name}: " + (", ".join(map(str, one.values)) or f"{one.low} to {one.high}{', log' * one.log}")
        for name, one in config.fields.items()
    ]
    rungs, at = [], config.grace
    while at < run.train.epochs:
        rungs.append(at)
        at *= config.factor
    most = config.samples * run.train.epochs * run.train.steps
    return [*summary(search), *fields, f"  sources {', '.join(run.sources)}; no target is read",
            f"  rungs after epochs {', '.join(map(str, rungs))} of {run.train.epochs}: one of {config.factor} goes on; "
            f"at most {most} steps in all"]  # fmt: skip


def _said(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in params.items())  # fmt: skip


def states(tried: Iterable[Tried]) -> dict[int, Tried]:
    """Trials that need not be run again, by number: finished and stopped ones."""
    return {one.number: one for one in tried if one.state != "failed"}
