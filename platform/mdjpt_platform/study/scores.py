"""From the tidy table of a study to arrays [subjects, seeds, arms], one a target. Nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.interval import Float, counted

TABLE = "study table"
KEY = ("target", "subject", "seed")
OF_A_SPLIT = ("cell", "split", "score")
"""Columns in which splits of one encoder differ."""


class NothingInCommon(BadInput):
    """No seed or no two subjects that every arm has."""


@dataclass(frozen=True)
class Scores:
    """Finite scores of one metric; subjects and seeds are those that every arm of the target has."""

    values: dict[str, Float]
    """Target -> [subjects, seeds, arms]; seeds are the same for all targets."""
    seeds: tuple[int, ...]
    notes: tuple[str, ...]
    """What was left out and why, one sentence each; no subject is named."""


def one_score(table: pd.DataFrame, metric: str, readout: str, lds: str, method: str = "trained") -> pd.DataFrame:
    """Rows of one metric, read-out, smoothing and method, mean over evaluation splits of the same encoder.

    Takes the table of a study's ledger, whose column `value` becomes `score`, or one with `score`. Raises BadInput: a
    column or all such rows absent.
    """
    wanted = {"metric": metric, "readout": readout, "lds": lds, "method": method}
    found = table if "score" in table else table.rename(columns={"value": "score"})
    _require(found, (*wanted, *KEY, "score"))
    for column, value in wanted.items():
        there = sorted(set(found[column]))
        found = found[found[column] == value]
        if found.empty:
            raise BadInput(TABLE, column, ", ".join(map(str, there)) or "no row", value)
    if "split" not in found or found["split"].nunique() == 1:
        return found
    same = [name for name in found if name not in OF_A_SPLIT]
    return found.groupby(same, as_index=False, sort=False, dropna=False)["score"].mean()


def scores_of(table: pd.DataFrame, axis: str, arms: Mapping[str, Sequence[Hashable]]) -> Scores:
    """Arrays of the targets and arms that `arms` names (target -> values of the column `axis`).

    A seed counts where every arm of every target has it, a subject where it has a finite score in every arm and seed
    of its target; targets left with one subject are left out. Raises BadInput: column absent, two rows for one score,
    a target lacks an arm. Raises NothingInCommon: no common seed, no target left.
    """
    _require(table, (axis, *KEY, "score"))
    raw = {target: _raw(table, axis, target, wanted) for target, wanted in arms.items()}
    notes: list[str] = []
    every = sorted({seed for _, seeds in raw.values() for seed in seeds})
    present = {target: _with_seeds(values, seeds, every) for target, (values, seeds) in raw.items()}
    complete = np.all([np.all(np.isfinite(values).any(0), axis=1) for values in present.values()], 0)
    seeds = tuple(seed for seed, whole in zip(every, complete, strict=True) if whole)
    if not seeds:
        raise NothingInCommon(TABLE, "seed", f"{every}, none in all cells", "a seed that every arm of every target has")
    if len(seeds) < len(every):
        left = sorted(set(every) - set(seeds))
        notes.append(f"{counted(len(left), 'seed')} left out ({', '.join(map(str, left))}): not every cell has it")
    kept = {}
    for target, values in present.items():
        common = values[:, complete]
        whole = np.asarray(np.isfinite(common).all((1, 2)))
        if not whole.all():
            notes.append(f"{target}: {(~whole).sum()} of {len(whole)} subjects left out: a score is missing")
        if whole.sum() < 2:
            notes.append(f"{target}: left out, {counted(int(whole.sum()), 'subject')} with every score")
        else:
            kept[target] = common[whole]
    if not kept:
        raise NothingInCommon(TABLE, "subject", "; ".join(notes), "2 subjects of one target with every score")
    return Scores(kept, seeds, tuple(notes))


def _raw(table: pd.DataFrame, axis: str, target: str, arms: Sequence[Hashable]) -> tuple[Float, list[int]]:
    """[subjects, seeds, arms] with NaN where there is no row, and the seeds."""
    part = table[table["target"] == target]
    code = part[axis].map({arm: place for place, arm in enumerate(arms)})
    part, at_arm = part[code.notna()], code.dropna().to_numpy(np.int64)
    lacking = [arm for place, arm in enumerate(arms) if place not in set(at_arm.tolist())]
    if lacking:
        raise BadInput(TABLE, f"{axis} of target {target}", "no row", ", ".join(map(named, lacking)))
    subjects, at_subject = np.unique(part["subject"].to_numpy(str), return_inverse=True)
    seeds, at_seed = np.unique(part["seed"].to_numpy(np.int64), return_inverse=True)
    shape = (len(subjects), len(seeds), len(arms))
    flat = np.ravel_multi_index((at_subject, at_seed, at_arm), shape)
    times = np.bincount(flat, minlength=int(np.prod(shape)))
    if times.max() > 1:
        subject, seed, arm = np.unravel_index(int(times.argmax()), shape)
        where = f"target {target}, {axis} {named(arms[int(arm)])}, seed {seeds[seed]}, subject {subjects[subject]}"
        raise BadInput(TABLE, where, f"{times.max()} rows", "1: choose metric, read-out, method and all other axes")
    values = np.full(shape, np.nan)
    values.reshape(-1)[flat] = part["score"].to_numpy(np.float64)
    return values, seeds.tolist()


def _with_seeds(values: Float, seeds: Sequence[int], every: Sequence[int]) -> Float:
    wide = np.full((values.shape[0], len(every), values.shape[2]), np.nan)
    wide[:, np.searchsorted(every, seeds)] = values
    return wide


def named(arm: Hashable) -> str:
    """An arm as people read it; a set of corpora as `a + b`."""
    if isinstance(arm, frozenset):
        return " + ".join(sorted(map(str, arm))) or "untrained"
    return str(arm)


def _require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise BadInput(TABLE, "columns", ", ".join(map(str, table.columns)), ", ".join(lacking))
