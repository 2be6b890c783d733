"""Studies expand to the cells that their design says, each once, and refuse what makes no sense."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mdjpt_platform.config import Config, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.runfile import parse
from mdjpt_platform.study.budget import Size
from mdjpt_platform.study.grid import Cell, expand, groups
from mdjpt_platform.study.spec import StudyConfig, load_study

NAMES = ("a", "b", "c", "d", "t")
TREE: dict[str, Any] = {
    "corpora": {name: {"layout": "seed"} for name in NAMES},
    "sources": ["a", "b", "c"],
    "targets": ["t"],
    "train": {"epochs": 2, "steps": 10, "episodes": 2},
}
BASE: Config = parse(TREE)
POOL = {"corpora": ["a", "b", "c"], "design": "all_subsets"}
SIZES = {
    name: Size(pairs, windows, {f"{who:02}": 0.5 for who in range(8)}, 1e6)
    for name, pairs, windows in (("a", 10, 8.0), ("b", 45, 16.0), ("c", 28, 24.0), ("d", 6, 4.0))
}


def study(**tree: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "test", "base": "base.yaml", **tree})


def cells(sizes: dict[str, Size] | None = None, **tree: Any) -> tuple[Cell, ...]:
    return expand(study(**tree), BASE, None if sizes is None else lambda run, name: sizes[name])


def sources(found: tuple[Cell, ...]) -> list[tuple[str, ...]]:
    return [cell.run.sources for cell in found]


def test_without_axes_it_is_the_base_run() -> None:
    (one,) = cells()
    assert one.run == BASE.run.model_copy(update={"seed": 0})
    assert one.place["arm"] == "base" and one.place["target"] == "t"


def test_all_subsets() -> None:
    found = cells(pool=POOL)
    expected = [s for n in (1, 2, 3) for s in itertools.combinations("abc", n)]
    assert sources(found) == expected
    assert [cell.place["n_sources"] for cell in found] == [1, 1, 1, 2, 2, 2, 3]
    assert len({cell.key for cell in found}) == 7 == len({cell.encoder for cell in found})


def test_by_count_leave_one_out_and_whole() -> None:
    assert sources(cells(pool={**POOL, "design": "by_count", "counts": [1, 3]})) == [
        ("a",),
        ("b",),
        ("c",),
        ("a", "b", "c"),
    ]
    found = cells(pool={"corpora": list("abcd"), "design": "leave_one_out"}, targets=["a", "d"])
    assert [(c.place["target"], c.run.sources) for c in found] == [("a", ("b", "c", "d")), ("d", ("a", "b", "c"))]
    assert sources(cells(pool={**POOL, "design": "whole"})) == [("a", "b", "c")]


def test_growing_orders_are_prefixes_and_equal_sets_are_one_cell() -> None:
    found = cells(pool={"corpora": list("abcd"), "design": "add_one_in", "orders": 4})
    sets = sources(found)
    assert len(set(sets)) == len(sets)
    assert all(list(s) == sorted(s) for s in sets)
    assert {len(s) for s in sets} == {1, 2, 3, 4} and sets.count(("a", "b", "c", "d")) == 1
    for grown in (s for s in sets if len(s) > 1):
        assert any(set(smaller) < set(grown) and len(smaller) == len(grown) - 1 for smaller in sets)


def test_arms_axes_seeds_and_splits_multiply() -> None:
    found = cells(
        arms={"base": {}, "unaligned": {"alignment.weight": 0.0}},
        axes={"contrast.temperature": [0.07, 0.1, 0.2]},
        seeds=[0, 1],
        splits=[5, 6],
    )
    assert len(found) == 2 * 3 * 2 * 2
    for cell in found:
        assert cell.run.alignment.weight == (0.01 if cell.place["arm"] == "base" else 0.0)
        assert cell.run.contrast.temperature == cell.place["contrast.temperature"]
        assert cell.run.seed == cell.place["seed"] and cell.run.evaluate.seed == cell.place["split"]
    shared = groups(found)
    assert len(shared) == 12 and all(len(some) == 2 for some in shared.values()), "splits share a pre-training"


def test_targets_share_a_pre_training() -> None:
    found = cells(targets=["d", "t"])
    assert len(found) == 2 and len(groups(found)) == 1


def test_expansion_depends_on_nothing_else() -> None:
    again = expand(study(pool=POOL, seeds=[0, 1]), parse(json.loads(json.dumps(TREE))))
    assert [cell.key for cell in again] == [cell.key for cell in cells(pool=POOL, seeds=[0, 1])]


def test_equal_windows() -> None:
    for cell in cells(SIZES, pool=POOL, budget="windows"):
        seen = cell.run.train.steps * sum(SIZES[name].windows for name in cell.run.sources)
        assert seen == pytest.approx(10 * 48.0, rel=0.1)


def test_equal_epochs() -> None:
    found = {cell.run.sources: cell.run.train for cell in cells(SIZES, pool=POOL, budget="epochs", passes=3)}
    assert (found["a",].steps, found["b",].steps, found["a", "b", "c"].steps) == (5, 23, 23)
    assert {train.epochs for train in found.values()} == {3}


def test_equal_hours() -> None:
    for cell in cells(SIZES, pool=POOL, budget="hours", hours=4.0):
        assert set(cell.run.only) == set(cell.run.sources)
        assert sum(0.5 * len(some) for some in cell.run.only.values()) == 4.0
        sizes = [len(some) for some in cell.run.only.values()]
        assert max(sizes) - min(sizes) <= 1, "spread over the sources"
    assert len({cell.key for cell in cells(SIZES, pool=POOL, budget="hours", hours=4.0)}) == 7


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"targets": ["a"]}, "a is among the sources"),
        ({"targets": ["x"]}, "'x' is not among corpora"),
        ({"axes": {"contrast.temprature": [0.1]}}, "did you mean 'temperature'"),
        ({"arms": {"odd": {"alignment.form": "squares"}}}, "alignment.form"),
        ({"pool": {"corpora": ["a", "x"], "design": "whole"}}, "'x' is not among corpora"),
        ({"pool": POOL, "seeds": list(range(9)), "most": 50}, "more than 50"),
        ({"budget": "windows"}, "no sizes of a, b, c"),
        ({"pool": {"corpora": ["a"], "design": "leave_one_out"}, "targets": ["a"]}, "none left"),
    ],
)
def test_refusals(tree: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        cells(**tree)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_budgets_that_cannot_be_met() -> None:
    with pytest.raises(BadInput, match="no more than their sources hold"):
        cells(SIZES, pool=POOL, budget="hours", hours=5.0)
    with pytest.raises(BadInput, match="two subjects of each of a, b, c"):
        cells(SIZES, budget="hours", hours=2.0)


def test_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(TREE))
    tree = {"name": "x", "base": "base.yaml", "set": {"train.steps": 7}, "exec": {"engine": "local"}, "pool": POOL}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree))
    found, base = load_study(tmp_path / "study.yaml", ["exec.runs=elsewhere", "seeds=[3, 4]"])
    assert (base.run.train.steps, base.exec.engine, base.exec.runs, found.seeds) == (7, "local", "elsewhere", (3, 4))
    for change, said in (
        ("sedes=[1]", "did you mean 'seeds'"),
        ("pool.design=some", "pool.design"),
        ("seeds=[1, 1]", "twice"),
    ):
        with pytest.raises(BadInput) as caught:
            load_study(tmp_path / "study.yaml", [change])
        assert said in str(caught.value)
    with pytest.raises(BadInput, match="a readable YAML file"):
        load_study(tmp_path / "none.yaml")


def test_equal_compute_counts_the_model_and_the_episodes() -> None:
    """By hand: a step costs windows x FLOPs x episodes, and every cell costs what the base run's steps do."""

    def sizes(run: RunConfig, name: str) -> Size:
        return replace(SIZES[name], flops=1e6 * run.model.depth)  # type: ignore[union-attr]

    arms = {"base": {}, "deeper": {"model.depth": 2 * BASE.run.model.depth}, "more": {"train.episodes": 4}}
    found = expand(study(arms=arms, budget="compute"), BASE, sizes)
    steps = {cell.place["arm"]: cell.run.train.steps for cell in found}
    episodes = BASE.run.train.episodes
    assert steps["base"] == BASE.run.train.steps
    assert steps["deeper"] == max(1, round(steps["base"] / 2))
    assert steps["more"] == max(1, round(steps["base"] * episodes / 4))

    with pytest.raises(BadInput, match=r"budget: found compute, with model\.family mdjpt"):
        expand(study(budget="compute"), BASE, lambda run, name: replace(SIZES[name], flops=float("nan")))
