"""(R) A search through Tune: TPE proposes, ASHA stops, the ledger remembers.

Started again, a search walks through the same trials: ended ones only repeat what the ledger holds of them, so that
ASHA's rungs fill as they did, and the rest is trained.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from mdjpt_platform.code import sources
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.operations import manifest
from mdjpt_platform.runtime import connect
from mdjpt_platform.study.run import about_study, in_trial
from mdjpt_platform.study.search import Tried, suggest
from mdjpt_platform.study.track import open_parent
from mdjpt_platform.study.trials import Search, run_trial, states
from mdjpt_platform.study.tune import tuned
from mdjpt_platform.tracking.sink import Status

EPOCH, VALUE, TRIAL = "epoch", "value", "trial"


class Proposals(Searcher):
    """What Tune asks for trials and tells of them; enters ended ones into the ledger."""

    def __init__(self, search: Search, kept: dict[str, tuple[str, ...]], shown: bool) -> None:
        super().__init__(metric=VALUE, mode=search.config.mode)
        self.search, self.kept, self.shown = search, kept, shown
        self.asked: list[dict[str, Any]] = []
        self.ended: dict[int, Tried] = {}
        every = search.tried()
        self.before, self.entered = {one.number: one for one in every}, states(every)
        self.running: dict[str, tuple[int, float, dict[int, float]]] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial: as the ledger has it, or drawn; Searcher.FINISHED once there is none."""
        number = len(self.asked)
        if number >= self.search.config.samples:
            return Searcher.FINISHED
        known = self.before.get(number)
        params = (
            dict(known.params)
            if known is not None
            else suggest(self.search.config, number, self.ended.values(), self.asked)
        )
        if params is None:
            return Searcher.FINISHED
        self.asked.append(params)
        self.running[trial_id] = (number, time.perf_counter(), {})
        values = self.entered[number].values if number in self.entered else ()
        return {TRIAL: json.dumps({"number": number, "params": params, "values": values})}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch has ended."""
        if VALUE in result:
            self.running[trial_id][2][int(result[EPOCH])] = float(result[VALUE])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended by itself, was stopped, or its process died for good (then it is run again next time)."""
        if error or trial_id not in self.running:
            return
        if result:
            self.on_trial_result(trial_id, result)
        number, began, values = self.running.pop(trial_id)
        one = self.entered.get(number)
        if one is None:
            one = self._judged(number, values, str((result or {}).get("reason", "")))
            cell = self.search.trial(number, one.params, self.kept)
            seconds = time.perf_counter() - began
            self.search.enter(cell, one.state, values, one.reason, code=sources()[1], seconds=seconds)
        self.ended[number] = one
        if self.shown:
            said = f"{self.search.config.metric} {one.values[-1]:.4g}" if one.values else one.reason
            print(f"trial {number}: {one.state} after {len(one.values)} epochs, {said}", file=sys.stderr)

    def _judged(self, number: int, values: dict[int, float], reason: str) -> Tried:
        params = self.asked[number]
        if reason:
            return Tried(number, "failed", params, (), reason)
        whole = len(values) == self.search.study.base.run.train.epochs
        return Tried(number, "done" if whole else "stopped", params, tuple(v for _, v in sorted(values.items())))

    def save(self, checkpoint_path: str) -> None:
        """Tune wants a file; the ledger is what counts."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is ever read back."""


def run_search(search: Search, *, mixed_code: bool = False) -> Path | None:
    """Run all trials that have not ended and write the best setting; gives that run file.

    Raises BadInput: trials of other sources (unless `mixed_code`), a store is missing; MdjptError: processes died.
    """
    study, base, ledger = search.study, search.study.base, search.ledger
    _refuse_other_code(search, mixed_code)
    kept, out = search.divided()
    ledger.describe({"study": study.config.model_dump(mode="json"), "base": base.run.model_dump(mode="json")})
    if len(states(search.tried())) >= search.config.samples:
        return search.write_best()
    sink = open_parent(study)
    parent = None if sink is None else sink.run_id
    inner = in_trial(base.exec)
    if parent is None:
        inner = inner.model_copy(update={"mlflow": "off"})

    def trial(parameters: dict[str, Any]) -> dict[str, Any]:
        asked = json.loads(parameters[TRIAL])
        if asked["values"]:
            for epoch, value in enumerate(asked["values"], 1):
                tune.report({EPOCH: epoch, VALUE: value})
            return {}
        run = search.trial(asked["number"], asked["params"], kept).run
        config = Config(run=run.model_copy(update={"name": study.config.name}), exec=inner)
        return dict(run_trial(config, search.config, out, parent, tune.report))

    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a failed trial has no value
    connect(base.exec)
    each = {"CPU": base.exec.cpus_per_worker, **({"GPU": 1.0} if base.exec.gpu else {})}
    scheduler = ASHAScheduler(
        time_attr=EPOCH,
        metric=VALUE,
        mode=search.config.mode,
        max_t=base.run.train.epochs,
        grace_period=search.config.grace,
        reduction_factor=search.config.factor,
        stop_last_trials=False,
    )
    proposals = Proposals(search, kept, base.exec.progress and sys.stderr.isatty())
    status: Status = "FAILED"
    try:
        with ledger.alone(), manifest.recorded(ledger.folder, about_study(study, {})):
            tuned(
                trial, base.exec, ledger.folder, each, {}, search_alg=proposals, scheduler=scheduler,
                num_samples=search.config.samples,
            )  # fmt: skip
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if sink is not None:
            sink.close(status)
    return search.write_best()


def _refuse_other_code(search: Search, mixed_code: bool) -> None:
    code, found = sources()[1], set()
    for path in search.ledger.cells.glob("*.json"):
        entry = search.ledger.entry(path.stem)
        if entry is not None and entry.code != code:
            found.add(entry.code)
    if found and not mixed_code:
        raise BadInput(search.ledger.folder, "ledger", f"trials of sources {', '.join(sorted(found))}",
                       f"sources {code}; another `exec.runs`, or --mixed-code")  # fmt: skip
