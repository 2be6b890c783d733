from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.interval import bounds, spread
from mdjpt_platform.study.scaling import scaling, step
from mdjpt_platform.study.scores import one_score
from mdjpt_platform.study.shapley import shapley, share
from mdjpt_platform.study.simulated import Spread, draw, tidy
from mdjpt_platform.study.subsets import EMPTY, Subsets, of_size, subsets, subsets_of

ABC = frozenset("abc")
WORTH = {"a": 0.03, "b": 0.0, "c": -0.03}


def score(cell: frozenset[str]) -> float:
    """0.5 untrained, then 0.6 + 0.04 a corpus, and what its corpora are worth."""
    return (0.56 + 0.04 * len(cell) if cell else 0.5) + sum(WORTH[name] for name in cell)


def table(cells: list[frozenset[str]], design: Spread = Spread(), seed: int = 0) -> pd.DataFrame:  # noqa: B008
    values, _ = draw(design, [score(cell) for cell in cells], 1, np.random.default_rng(seed))
    return tidy([block[0] for block in values], "sources", cells)


def exact(cells: list[frozenset[str]], of=score) -> Subsets:
    """A design whose scores are the truth, on one target."""
    values = np.broadcast_to([of(cell) for cell in cells], (7, 2, len(cells)))
    return Subsets({"t": tuple(cells)}, {"t": values}, (0, 1), ())


def test_arranged_from_the_ledgers_table():
    data = table(subsets(ABC))
    control = pd.concat([table([EMPTY], seed=1).assign(method="random", cell=cell) for cell in "xy"])
    control["score"] += np.where(control["cell"] == "x", 0.1, -0.1)
    plain = data.assign(sources=data["sources"].map(lambda cell: " ".join(sorted(cell))))
    mixed = pd.concat([plain, control.assign(sources="a b")])
    trained, untrained = (one_score(mixed, "accuracy", "few_shot", "off", method) for method in ("trained", "random"))
    found = subsets_of(trained, control=untrained)
    assert found.has_empty and found.corpora == ["a", "b", "c"] and not found.lacking()
    assert found.cells["target-0"] == (EMPTY, *subsets(ABC))
    expected = table([EMPTY], seed=1).query("target == 'target-2'")["score"].to_numpy().reshape(15, 3)
    np.testing.assert_allclose(found.values["target-2"][..., 0], expected)
    assert not subsets_of(data).has_empty


def test_means_and_gains_by_hand():
    found = scaling(exact([EMPTY, *subsets(ABC)]))
    assert [one.count for one in found.means] == [0, 1, 2, 3] and [one.subsets for one in found.means] == [1, 3, 3, 1]
    assert [one.mean.value for one in found.means] == pytest.approx([0.5, 0.6, 0.64, 0.68])
    assert [one.before for one in found.steps] == [0, 1, 2] and [one.pairs for one in found.steps] == [3, 6, 3]
    assert [one.gain.value for one in found.steps] == pytest.approx([0.1, 0.04, 0.04])
    assert found.overall is not None and found.overall.pairs == 9
    assert found.overall.gain.value == pytest.approx(0.04)
    points = found.combinations.set_index("sources")["score"]
    assert len(points) == 8 and points[("a", "c")] == pytest.approx(0.64)


def test_sentences_claim_what_is_shown():
    found = scaling(subsets_of(table(subsets(ABC))))
    assert found.overall is not None and found.overall.sentence().startswith("One corpus more raises the score: +")
    assert found.sentence().endswith("3 numbers of corpora, 5 needed to tell a line from a law.")
    flat = Spread(subjects=(8,))
    values, _ = draw(flat, [0.6] * 7, 1, np.random.default_rng(3))
    none = scaling(subsets_of(tidy([values[0][0]], "sources", subsets(ABC))))
    assert none.overall is not None and "no change of the score shown" in none.overall.sentence()
    assert "No trend from 1 to 3 corpora is shown" in none.sentence()


def test_shapley_against_all_orders():
    random = np.random.default_rng(0)
    names = "abcd"
    cells = [EMPTY, *subsets(frozenset(names))]
    value = dict(zip(cells, random.random(len(cells)), strict=True))
    orders = list(itertools.permutations(names))
    known = dict.fromkeys(names, 0.0)
    for order in orders:
        for place, name in enumerate(order):
            gain = value[frozenset(order[: place + 1])] - value[frozenset(order[:place])]
            known[name] += gain / len(orders)
    found = shapley(exact(cells, value.__getitem__))
    assert {one.corpus: one.value.value for one in found} == pytest.approx(known)
    assert sum(one.value.value for one in found) == pytest.approx(value[frozenset(names)] - value[EMPTY])
    assert [one.corpus for one in found] == sorted(known, key=known.__getitem__, reverse=True)
    without = shapley(exact(cells[1:], value.__getitem__))
    mean = np.mean(list(known.values()))
    assert {one.corpus: one.value.value for one in without} == pytest.approx({n: v - mean for n, v in known.items()})
    assert all(one.relative for one in without) and not any(one.relative for one in found)


def test_shapley_sentences():
    values = {one.corpus: one for one in shapley(subsets_of(table([EMPTY, *subsets(ABC)])))}
    assert values["a"].sentence().startswith("a raises the score: +")
    relative = {one.corpus: one for one in shapley(subsets_of(table(subsets(ABC))))}
    assert relative["c"].sentence().startswith("c contributes less than the mean corpus: −")
    assert "b: no difference from the mean corpus shown" in relative["b"].sentence()


def test_a_lacking_subset_is_refused_by_name():
    data = table(subsets(ABC))
    short = subsets_of(data[(data["sources"] != frozenset("ac")) | (data["target"] != "target-1")])
    for ask, purpose in ((scaling, "scaling"), (shapley, "Shapley values")):
        with pytest.raises(BadInput, match=rf"subsets for {purpose}: found none for target-1: a \+ c, expected all"):
            ask(short)
    found = scaling(short, complete=False)
    assert "1 of the subsets were not run" in found.notes[0]
    assert found.steps[0].pairs == 6 + 4 + 6 and found.steps[1].pairs == 3 + 2 + 3


def test_every_target_has_its_own_pool():
    pools = {"one": frozenset("bcd"), "two": frozenset("acd")}
    cells = {target: tuple(subsets(pool)) for target, pool in pools.items()}
    worth = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    truth = {t: np.array([sum(worth[n] for n in c) for c in some]) for t, some in cells.items()}
    values = {target: np.broadcast_to(one, (6, 2, len(one))) for target, one in truth.items()}
    design = Subsets({t: (EMPTY, *some) for t, some in cells.items()},
                     {t: np.pad(v, ((0, 0), (0, 0), (1, 0))) for t, v in values.items()}, (0, 1), ())  # fmt: skip
    found = {one.corpus: one.value for one in shapley(design)}
    assert {name: one.value for name, one in found.items()} == pytest.approx(worth)
    assert {name: one.targets for name, one in found.items()} == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_numbers_that_not_every_target_has_are_left_out():
    data = table(subsets(ABC))
    found = scaling(subsets_of(data[(data["target"] != "target-0") | ~data["sources"].map(lambda c: "c" in c)]))
    assert [one.count for one in found.means] == [1, 2]
    assert found.notes == ("numbers of corpora left out, as not every target has them: 3",)


def test_refused():
    data = table(subsets(ABC))
    with pytest.raises(BadInput, match="corpora: found 0 rows"):
        subsets_of(data[:0], "corpora")
    with pytest.raises(BadInput, match="sources: found empty sets"):
        subsets_of(table([EMPTY]))
    with pytest.raises(BadInput, match="untrained encoder: found none for target-2, expected one for every target"):
        subsets_of(data, control=table([EMPTY]).query("target != 'target-2'"))


@pytest.mark.parametrize("training", [0.0, 0.02])
def test_coverage(training):
    cells, studies = [EMPTY, *subsets(ABC)], 1000
    truth = np.array([score(cell) for cell in cells])
    values, _ = draw(Spread(subjects=(12, 12), training=training), list(truth), studies, np.random.default_rng(1))
    names = ("s", "t")
    design = Subsets(dict.fromkeys(names, tuple(cells)), dict(zip(names, values, strict=True)), (0, 1, 2), ())
    for weigh in (of_size(2), step(1), step(None), share("a", False), share("c", True)):
        low, high, _ = bounds(*spread(list(design.weighed(weigh).values())))
        known = weigh(tuple(cells)) @ truth
        assert 0.935 - 0.02 < ((low <= known) & (known <= high)).mean() < 0.97 + 0.02


def test_what_the_family_takes_back_is_said():
    value = shapley(subsets_of(table(subsets(ABC))))[0]
    assert value.value.p < 0.05, "the interval alone would claim it"
    assert replace(value, p_holm=0.0621).sentence().endswith("seeds, but Holm p = 0.062).")
    unclear = replace(value.value, p=0.3)
    assert "Holm" not in replace(value, value=unclear, p_holm=0.4).sentence()
