"""Study -> cells. A pure function of the study, the base run and the sizes of the corpora."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdjpt_platform.config import Config, RunConfig, content_hash
from mdjpt_platform.errors import BadInput
from mdjpt_platform.runfile import parse, set_field
from mdjpt_platform.study.spec import StudyConfig

BASE = "base"
"""Name of the arm where a study has none."""


@dataclass(frozen=True)
class Size:
    """How much of a corpus there is, at the base run's window."""

    pairs: int
    """Pairs of subjects in a session."""
    windows: float
    """Windows that one pair puts into an episode, both sides."""
    hours: Mapping[str, float]
    """Hours of signal by subject."""


@dataclass(frozen=True)
class Cell:
    """One run of a study: one pre-training read out on one target."""

    run: RunConfig
    place: Mapping[str, Any] = field(compare=False)
    """Where it stands: arm, sources, n_sources, target, seed, split and one key an axis."""

    @property
    def key(self) -> str:
        """Hash of the run; equal cells of two studies are the same cell."""
        return self.run.identity()

    @property
    def encoder(self) -> str:
        """Hash of its pre-training; cells that share it are trained once."""
        return self.run.pretrain_identity()


def expand(study: StudyConfig, base: Config, sizes: Mapping[str, Size] | None = None) -> tuple[Cell, ...]:
    """All cells, each once, in an order that depends on nothing but the arguments.

    `sizes` by corpus; needed by every budget but `steps`.
    Raises BadInput: an unknown field or corpus, a target among its own sources, no target, too many
    cells, a budget that cannot be met.
    """
    found: dict[str, Cell] = {}
    arms = study.arms or {BASE: {}}
    targets = study.targets or base.run.targets
    splits = study.splits or (base.run.evaluate.seed,)
    if not targets:
        raise BadInput(study.name, "targets", "none in the study and none in its base run", "a held-out corpus")
    for target in targets:
        for sources in _combinations(study, base.run, target):
            for (arm, changes), seed, split in itertools.product(arms.items(), study.seeds, splits):
                for axis in _product(study.axes):
                    fields = {**changes, **axis, "seed": seed, "evaluate.seed": split}
                    fields |= {"sources": list(sources), "targets": [target]}
                    run = _within_budget(study, changed(study, base, fields), sizes)
                    place = {"arm": arm, "sources": sources, "n_sources": len(sources), "target": target}
                    cell = Cell(run, {**place, "seed": seed, "split": split, **axis})
                    found.setdefault(cell.key, cell)
                    if len(found) > study.most:
                        raise BadInput(
                            study.name, "cells", f"more than {study.most}", "a smaller study, or a larger `most`"
                        )
    return tuple(found.values())


def groups(cells: Iterable[Cell]) -> dict[str, tuple[Cell, ...]]:
    """Pre-training -> the cells that use it."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.encoder, []).append(cell)
    return {encoder: tuple(some) for encoder, some in found.items()}


def _combinations(study: StudyConfig, run: RunConfig, target: str) -> list[tuple[str, ...]]:
    pool = study.pool
    if pool is None:
        combinations = [run.sources]
    elif pool.design == "leave_one_out":
        combinations = [tuple(name for name in pool.corpora if name != target)]
    elif pool.design == "whole":
        combinations = [pool.corpora]
    elif pool.design == "add_one_in":
        combinations = list(dict.fromkeys(_growing(pool.corpora, pool.orders)))
    else:
        sizes = pool.counts or range(1, len(pool.corpora) + 1)
        combinations = [some for size in sizes for some in itertools.combinations(pool.corpora, size)]
    for sources in combinations:
        if target in sources:
            raise BadInput(
                study.name, "targets", f"{target} is among the sources {', '.join(sources)}", "a held-out corpus"
            )
        if not sources:
            raise BadInput(study.name, f"sources for {target}", "none left", "a pool of two corpora or more")
    return combinations


def _growing(corpora: tuple[str, ...], orders: int) -> Iterator[tuple[str, ...]]:
    """Prefixes of random orders, each in the pool's order so that equal sets are equal."""
    for number in range(orders):
        order = np.random.default_rng(number).permutation(len(corpora))
        for count in range(1, len(corpora) + 1):
            yield tuple(corpora[at] for at in sorted(order[:count].tolist()))


def _product(axes: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def changed(study: StudyConfig, base: Config, fields: Mapping[str, Any]) -> RunConfig:
    """The base run with fields set. Raises BadInput: an unknown field, a value it does not take."""
    tree = base.run.model_dump(mode="json")
    for key, value in fields.items():
        set_field(tree, key, value)
    return parse(tree, f"study {study.name}").run


def _within_budget(study: StudyConfig, run: RunConfig, sizes: Mapping[str, Size] | None) -> RunConfig:
    if study.budget == "steps":
        return run
    absent = [name for name in run.sources if name not in (sizes or {})]
    if absent or sizes is None:
        raise BadInput(study.name, "budget", f"no sizes of {', '.join(absent)}", "prepared stores: run `mdjpt prepare`")
    mine = [sizes[name] for name in run.sources]
    if study.budget == "windows":
        whole = study.pool.corpora if study.pool is not None else run.sources
        share = sum(sizes[name].windows for name in whole) / sum(size.windows for size in mine)
        return _trained(run, steps=max(1, round(run.train.steps * share)))
    if study.budget == "epochs":
        steps = -(-max(size.pairs for size in mine) // run.train.episodes)
        return _trained(run, steps=steps, epochs=study.passes)
    assert study.hours is not None
    return run.model_copy(update={"only": _subjects(study, run, sizes, study.hours)})


def _trained(run: RunConfig, **changes: int) -> RunConfig:
    return run.model_copy(update={"train": run.train.model_copy(update=changes)})


def _subjects(
    study: StudyConfig, run: RunConfig, sizes: Mapping[str, Size], hours: float
) -> dict[str, tuple[str, ...]]:
    """Subjects of every source, drawn in turn over the sources until their hours are reached; two at least of each."""
    queues = {}
    for name in run.sources:
        subjects = sorted(sizes[name].hours)
        number = int(content_hash([run.seed, name]), 16)
        queues[name] = [subjects[at] for at in np.random.default_rng(number).permutation(len(subjects))]
    if hours > sum(sum(sizes[name].hours.values()) for name in run.sources):
        raise BadInput(study.name, "hours", f"{hours:g} of {', '.join(run.sources)}", "no more than their sources hold")
    chosen: dict[str, list[str]] = {name: queues[name][:2] for name in run.sources}
    total = sum(sizes[name].hours[who] for name, some in chosen.items() for who in some)
    if total > hours:
        raise BadInput(
            study.name, "hours", f"{hours:g} for two subjects of each of {', '.join(run.sources)}", f"{total:.2f}"
        )
    for place in range(2, max(map(len, queues.values()))):
        for name, queue in queues.items():
            if place < len(queue) and total + sizes[name].hours[queue[place]] <= hours:
                chosen[name].append(queue[place])
                total += sizes[name].hours[queue[place]]
    return {name: tuple(sorted(some)) for name, some in chosen.items()}
