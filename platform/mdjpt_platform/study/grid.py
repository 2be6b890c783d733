"""Study -> cells. A pure function of the study, the base run and the sizes of the corpora."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdjpt_platform.config import Config, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.runfile import parse, set_field
from mdjpt_platform.study.budget import Sizes, within_budget
from mdjpt_platform.study.spec import StudyConfig

BASE = "base"
"""Name of the arm where a study has none."""


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


def expand(study: StudyConfig, base: Config, sizes: Sizes | None = None) -> tuple[Cell, ...]:
    """All cells, each once, in an order that depends on nothing but the arguments.

    `sizes`: how much of each corpus there is; needed by every budget but `steps`.
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
                    run = within_budget(study, base.run, changed(study, base, fields), sizes)
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
