"""A search for settings: what is asked next, of what was tried, and what came out. Pure; Tune is in hpo.py.

A search stays inside one cell design and looks at source corpora alone. Larger mixes learn more slowly, so stopping
early across sources would prefer small ones; and a setting chosen by a target's scores has seen the target.
Trial `number` is drawn by Optuna's TPE from (seed, number, what is known by then), so that a search in one process is
the same each time, killed in between or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import yaml

from mdjpt_platform.config import Config, RunConfig, content_hash
from mdjpt_platform.errors import BadInput, masked
from mdjpt_platform.study.space import SearchConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

REDRAWS = 50
BIAS = (
    "values of stopped trials come from fewer epochs and are not comparable with finished ones; the best of many looks "
    "better than it is: confirm it with fresh seeds"
)


@dataclass(frozen=True)
class Tried:
    """A trial that has ended."""

    number: int
    state: Literal["done", "stopped", "failed"]
    params: Mapping[str, Any]
    values: tuple[float, ...] = ()
    """The metric after each epoch."""
    reason: str = ""


def suggest(search: SearchConfig, number: int, known: Iterable[Tried], taken: Sequence[Mapping[str, Any]]) -> Any:
    """Parameters of trial `number`; None once everything there is to draw is among `taken`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {name: one.distribution() for name, one in search.fields.items()}
    told = [_told(one, space) for one in sorted(known, key=lambda one: one.number) if one.values]
    for attempt in range(REDRAWS):
        seed = int(content_hash([search.seed, number, attempt]), 16) % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup)
        study = optuna.create_study(sampler=sampler, direction="maximize" if search.mode == "max" else "minimize")
        study.add_trials(told)
        params = study.ask(space).params
        if params not in taken:
            return params
    return None


def _told(one: Tried, space: dict[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    history = dict(enumerate(one.values, 1))
    if one.state == "stopped":
        return create_trial(state=TrialState.PRUNED, params=dict(one.params), distributions=space,
                            intermediate_values=history)  # fmt: skip
    return create_trial(value=one.values[-1], params=dict(one.params), distributions=space, intermediate_values=history)


def held_out(search: SearchConfig, run: RunConfig, subjects: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Subjects of every source that no trial trains on; `subjects` by source. Raises BadInput: fewer than four."""
    chosen = {}
    for name in run.sources:
        there = sorted(run.only.get(name, subjects[name]))
        count = max(2, round(search.holdout * len(there)))
        if len(there) - count < 2:
            raise BadInput(
                "search", f"subjects of {name}", f"{len(there)} with {count} held out", "two left to train on"
            )
        order = np.random.default_rng(int(content_hash([search.seed, name]), 16)).permutation(len(there))
        chosen[name] = tuple(sorted(there[at] for at in order[:count]))
    return chosen


def best(search: SearchConfig, tried: Iterable[Tried]) -> Tried | None:
    """The finished trial with the best last value; the first of equals. A stopped one cannot be the best."""
    finished = sorted((one for one in tried if one.state == "done"), key=lambda one: one.number)
    sign = 1 if search.mode == "max" else -1
    return max(finished, key=lambda one: sign * one.values[-1], default=None)


def tidy(search: SearchConfig, tried: Iterable[Tried]) -> pd.DataFrame:
    """One row a trial: number, state, epochs, metric, value, the fields, and what to think of a stopped one."""
    rows = [
        {
            "number": one.number,
            "state": one.state,
            "epochs": len(one.values),
            "metric": search.metric,
            "value": one.values[-1] if one.values else float("nan"),
            **one.params,
            "note": {"stopped": BIAS, "failed": one.reason}.get(one.state, ""),
        }
        for one in sorted(tried, key=lambda one: one.number)
    ]
    return pd.DataFrame(rows)


def run_file(study: str, search: SearchConfig, base: Config, run: RunConfig, tried: Sequence[Tried]) -> str:
    """The best setting as a run file: `run` is the base run with it set."""
    found = best(search, tried)
    assert found is not None
    states = [one.state for one in tried]
    head = (
        f"# Best of search {study}: trial {found.number}, {search.metric} {found.values[-1]:.6g} on source corpora.\n"
        f"# {states.count('done')} trials finished, {states.count('stopped')} stopped, {states.count('failed')} failed;"
        f"\n# {BIAS}.\n"
    )
    tree = run.model_dump(mode="json", exclude_defaults=True)
    execution = base.exec.model_dump(mode="json", exclude_defaults=True)
    if masked(execution.get("mlflow") or "") != (execution.get("mlflow") or ""):
        del execution["mlflow"]  # an address with a password in it stays where it was written
    return head + yaml.safe_dump({**tree, "name": f"{study}-best", "exec": execution}, sort_keys=False)
