"""Studies that never ran: cells expanded from a real configuration, scores drawn with a known truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conftest import tiny_tree
from mdjpt_platform.runfile import parse
from mdjpt_platform.study.grid import Cell, expand
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.run import Study
from mdjpt_platform.study.simulated import Spread, draw
from mdjpt_platform.study.spec import StudyConfig

POOL = ("seed-a", "faced-b", "deap-c", "lab-d", "lab-e")
TARGETS = ("three", "two", "dreamer")
EQUAL = {"accuracy": 0.5, "balanced_accuracy": 0.5}
UNEQUAL = {"accuracy": 0.6, "balanced_accuracy": 0.5}
HARDWARE = {"cpu": "Some CPU 9000", "cores": "8", "memory": "64 GiB"}


def study_of(folder: Path, **tree: Any) -> Study:
    """A study over POOL and TARGETS with an empty ledger; its stores do not exist."""
    base = tiny_tree(folder / "nothing", folder / "runs")
    base["corpora"] = {name: {"layout": "seed"} for name in (*POOL, *TARGETS)}
    base |= {"sources": list(POOL), "targets": [TARGETS[0]]}
    config = StudyConfig.model_validate({"name": "made-up", "base": "base.yaml", **tree})
    parsed = parse(base, "base")
    return Study(config, parsed, expand(config, parsed), Ledger(folder / "study"))


def filled(
    study: Study,
    truth: Callable[[Cell], float],
    *,
    subjects: Mapping[str, int] | int = 12,
    chance: Mapping[str, float] = EQUAL,
    skip: Callable[[Cell], bool] = lambda cell: False,
    code: Callable[[Cell], str] = lambda cell: "c0de",
    name: str = "sub-{}x",
) -> Study:
    """Enter scores for every cell but those to skip: accuracy around `truth`, the untrained encoder at 0.55."""
    targets = list(dict.fromkeys(cell.place["target"] for cell in study.cells))
    arms = list(dict.fromkeys(_arm(cell) for cell in study.cells))
    seeds = list(dict.fromkeys(cell.place["seed"] for cell in study.cells))
    people = subjects if isinstance(subjects, int) else None
    counts = tuple(people or subjects[target] for target in targets)  # type: ignore[index]
    effects = {_arm(cell): truth(cell) for cell in study.cells}
    spread = Spread(subjects=counts, seeds=len(seeds))
    drawn, _ = draw(spread, [*(effects[arm] for arm in arms), 0.55], 1, np.random.default_rng(5))
    for cell in study.cells:
        if skip(cell):
            continue
        target = cell.place["target"]
        block = drawn[targets.index(target)][0][:, seeds.index(cell.place["seed"])]
        parts = []
        for method, column in (("trained", arms.index(_arm(cell))), ("random", len(arms))):
            for metric in chance:
                for readout, lds in (("few_shot", "off"), ("few_shot", "on"), ("zero_shot", "off")):
                    key = {"target": target, "method": method, "readout": readout, "lds": lds, "metric": metric}
                    who = [name.replace("{}", f"{k:03d}") for k in range(len(block))]
                    parts.append(pd.DataFrame({**key, "subject": who, "value": block[:, column]}))
        levels = {readout: dict(chance) for readout in ("few_shot", "zero_shot")}
        study.ledger.done(
            cell, pd.concat(parts, ignore_index=True), code=code(cell), seconds=12.5, chance=levels, hardware=HARDWARE,
            stores={target: "f" * 16},
        )  # fmt: skip
    return study


def _arm(cell: Cell) -> tuple[Any, ...]:
    """What distinguishes an encoder's recipe: all but target, seed and split."""
    rest = {name: value for name, value in cell.place.items() if name not in ("target", "seed", "split", "n_sources")}
    return tuple(sorted((name, str(value)) for name, value in rest.items()))


def grows(cell: Cell) -> float:
    """More corpora help, `faced-b` above all; it levels off."""
    some = cell.place["sources"]
    return 0.75 - 0.15 * len(some) ** -1.2 + 0.03 * ("faced-b" in some)


def scaling_study(folder: Path, **tree: Any) -> Study:
    wanted = {
        "pool": {"corpora": list(POOL), "design": "all_subsets"},
        "targets": list(TARGETS[:2]),
        "seeds": [0, 1, 2],
    }
    return study_of(folder, **(wanted | tree))


def ablation_study(folder: Path, **tree: Any) -> Study:
    arms = {"whole": {}, "no_alignment": {"alignment.weight": 0}, "no_contrast": {"contrast.weight": 0},
            "hot": {"contrast.temperature": 0.5}}  # fmt: skip
    return study_of(folder, **({"arms": arms, "targets": list(TARGETS), "seeds": [0, 1, 2]} | tree))


WORTH = {"whole": 0.7, "no_alignment": 0.69, "no_contrast": 0.58, "hot": 0.72}


def worth(cell: Cell) -> float:
    """By arm."""
    return WORTH.get(cell.place["arm"], 0.6)


def sweep_study(folder: Path, **tree: Any) -> Study:
    wanted = {"pool": {"corpora": [*POOL[:2], *TARGETS], "design": "leave_one_out"}, "targets": list(TARGETS)}
    return study_of(folder, **({"seeds": [0, 1]} | wanted | tree))
