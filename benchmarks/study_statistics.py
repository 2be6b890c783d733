"""Are the statistics of studies right? Simulated studies of known truth: coverage, error and power, verdicts on curves.

Prints a JSON line a design; rates are over `studies` studies, their standard error in the part's last line.

    python benchmarks/study_statistics.py [--studies N] [--only PREFIX]

Not called statistics.py: a script's folder comes first on Python's path, and that is a module of Python's own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mdjpt_platform.evaluate.metrics import holm
from mdjpt_platform.study.comparison import compare, compare_gaps
from mdjpt_platform.study.curve import curve_of
from mdjpt_platform.study.interval import ALPHA, Float, bounds, spread
from mdjpt_platform.study.paired import paired_test, stouffer
from mdjpt_platform.study.scaling import step
from mdjpt_platform.study.scores import one_score
from mdjpt_platform.study.shapley import share
from mdjpt_platform.study.simulated import Spread, draw, tidy
from mdjpt_platform.study.subsets import EMPTY, Subsets, of_size, subsets

Line = dict[str, Any]
RESAMPLES = 400
EFFECT = 0.02


def rate(hits: np.ndarray) -> float:
    return round(float(np.mean(hits)), 4)


def covered(values: list[Float], truth: Float, drawn: bool = False) -> dict[str, float]:
    """Coverage and mean width of the interval in use, of arrays [studies, subjects, seeds]."""
    low, high, _ = bounds(*spread(values, drawn))
    return {"coverage": rate((low <= truth) & (truth <= high)), "width": round(float(np.mean(high - low)), 4)}


def gaps_of(design: Spread, studies: int, random: np.random.Generator) -> tuple[list[Float], Float]:
    """Differences of two arms without a mean effect, and their true means over these targets."""
    values, truth = draw(design, [0.6, 0.6], studies, random)
    return [block[..., 1] - block[..., 0] for block in values], (truth[..., 1] - truth[..., 0]).mean(1)


def intervals(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """The interval in use over sizes, seeds, luck of training and skew."""
    for subjects in ((8,), (15,), (30,), (15, 15, 15), (8, 15, 30)):
        for seeds in (1, 2, 3, 5):
            for training in (0.0, 0.01, 0.02, 0.04) if seeds > 1 else (0.0,):
                for skewed in (False, True):
                    design = Spread(subjects=subjects, seeds=seeds, training=training, skewed=skewed, target=0.02)
                    values, truth = gaps_of(design, studies, random)
                    facts = {"subjects": subjects, "seeds": seeds, "training": training, "skewed": skewed}
                    yield facts | covered(values, truth)


def candidates(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """Intervals that were tried, on the same studies."""
    for subjects in ((8,), (15,), (15, 15, 15)):
        for training in (0.0, 0.01, 0.02):
            values, truth = gaps_of(Spread(subjects=subjects, training=training), studies, random)
            found = {"in_use": covered(values, truth)["coverage"]}
            found["t_subjects"] = covered([block.mean(-1, keepdims=True) for block in values], truth)["coverage"]
            for name, ends in resampled(values, random).items():
                found[name] = rate((ends[0] <= truth) & (truth <= ends[1]))
            yield {"subjects": subjects, "seeds": 3, "training": training, "coverage": found}


def resampled(values: list[Float], random: np.random.Generator) -> dict[str, tuple[Float, Float]]:
    """Bootstrap intervals: percentile (subjects; seeds nested; seeds crossed), BCa and studentised (subjects)."""
    means: dict[str, list[Float]] = {"subjects": [], "nested": [], "crossed": [], "ratio": []}
    one_seed = [block.mean(-1, keepdims=True) for block in values]
    mean, ((variance, _),) = spread(one_seed)
    for _ in range(RESAMPLES):
        drawn: dict[str, list[Float]] = {"subjects": [], "nested": [], "crossed": []}
        for block in values:
            studies, subjects, seeds = block.shape
            picked = np.take_along_axis(block, random.integers(subjects, size=(studies, subjects, 1)), 1)
            at = {"nested": (studies, subjects, seeds), "crossed": (studies, 1, seeds)}
            drawn["subjects"].append(picked)
            for name, shape in at.items():
                drawn[name].append(
                    np.take_along_axis(picked, np.broadcast_to(random.integers(seeds, size=shape), block.shape), 2)
                )
        for name, blocks in drawn.items():
            means[name].append(np.mean([block.mean((1, 2)) for block in blocks], 0))
        again, ((spread_again, _),) = spread([block.mean(-1, keepdims=True) for block in drawn["subjects"]])
        means["ratio"].append((again - mean) / np.sqrt(spread_again + 1e-18))
    tails = [100 * ALPHA / 2, 100 - 100 * ALPHA / 2]
    found = {f"percentile_{name}": tuple(np.percentile(means[name], tails, axis=0)) for name in drawn}
    high, low = np.percentile(means["ratio"], tails, axis=0)
    found["studentised_subjects"] = (mean - low * np.sqrt(variance), mean - high * np.sqrt(variance))
    found["bca_subjects"] = bca(one_seed, mean, np.sort(means["subjects"], 0))
    return found  # type: ignore[return-value]


def bca(values: list[Float], mean: Float, replicates: Float) -> tuple[Float, Float]:
    rest = [(block[..., 0] - block.mean((1, 2))[:, None]) / block.shape[1] / len(values) for block in values]
    cubes, squares = (np.sum([(one**power).sum(1) for one in rest], 0) for power in (3, 2))
    acceleration, shift = cubes / 6 / squares**1.5, norm.ppf((replicates < mean).mean(0))
    ends = []
    for tail in norm.ppf([ALPHA / 2, 1 - ALPHA / 2]):
        level = norm.cdf(shift + (shift + tail) / (1 - acceleration * (shift + tail)))
        at = np.clip((level * len(replicates)).astype(int), 0, len(replicates) - 1)
        ends.append(np.take_along_axis(replicates, at[None], 0)[0])
    return ends[0], ends[1]


def targets(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """Targets drawn from all targets: the truth is the effect at large."""
    for number in (5, 8):
        for deviation in (0.0, 0.02, 0.05):
            design = Spread(subjects=(12,) * number, target=deviation)
            values, truth = gaps_of(design, studies, random)
            at_large = np.zeros(studies)
            yield {
                "targets": number,
                "target_sd": deviation,
                "drawn": covered(values, at_large, drawn=True),
                "fixed_truth_of_these": covered(values, truth),
                "fixed_truth_at_large": covered(values, at_large)["coverage"],
            }


def p_values(values: list[Float], random: np.random.Generator, test: Any = "permutation") -> dict[str, Float]:
    """What compare_gaps gives, for gaps [..., subjects, seeds] of many studies at once."""
    means = [block.mean(-1) for block in values]
    each = [paired_test(one, test, random) for one in means]
    over = stouffer(each, [one.mean(-1) for one in means], [one.shape[-1] for one in means])
    drawn = bounds(*spread(values))[2]
    return {"one_target": each[0], "p_subjects": over, "p_seeds": drawn, "p": np.maximum(over, drawn)}


def tests(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """Type-I error and power of a single comparison."""
    for name, response in (("two arms of 0.03", 0.03), ("difference of 0.08", 0.08 / np.sqrt(2))):
        for subjects, seeds in (((15,), 3), ((15, 15, 15), 3), ((8, 8, 8), 3), ((15, 15, 15), 2)):
            for training in (0.0, 0.01, 0.02):
                design = Spread(subjects=subjects, seeds=seeds, training=training, response=response)
                gaps, _ = gaps_of(design, studies, random)
                facts = {"response": name, "subjects": subjects, "seeds": seeds, "training": training}
                found = {test: p_values(gaps, random, test) for test in ("permutation", "wilcoxon")}
                error = {test: {key: rate(p <= ALPHA) for key, p in one.items()} for test, one in found.items()}
                shifted = p_values([gap + EFFECT for gap in gaps], random)
                power = {key: rate(p <= ALPHA) for key, p in shifted.items()}
                yield facts | {"type_1": error, f"power_{EFFECT}": power}


def power(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """What more seeds, subjects or targets would buy: share of studies that show the effect."""
    for subjects in ((15,), (15, 15, 15), (30, 30, 30)):
        for seeds in (1, 3, 5, 10):
            for training in (0.0, 0.01, 0.02):
                design = Spread(subjects=subjects, seeds=seeds, training=training)
                gaps, _ = gaps_of(design, studies, random)
                found = p_values([gap + EFFECT for gap in gaps], random)
                facts = {"subjects": subjects, "seeds": seeds, "training": training}
                yield facts | {
                    "effect": EFFECT,
                    "p_subjects": rate(found["p_subjects"] <= ALPHA),
                    "p": rate(found["p"] <= ALPHA),
                }


def families(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """Six arms that share a base: any false claim (family-wise), with and without Holm; power after Holm."""
    for seeds, real in ((2, 0), (3, 0), (5, 0), (3, 3), (5, 3)):
        for training in (0.0, 0.01, 0.02, 0.04):
            effects = [0.6] * (7 - real) + [0.6 + EFFECT] * real
            values, _ = draw(Spread(training=training, seeds=seeds), effects, studies, random)
            gaps = [np.moveaxis(block[..., 1:] - block[..., :1], -1, 1) for block in values]
            p = p_values(gaps, random)["p"]  # [studies, arms]
            adjusted = np.array([holm(pd.Series(one)) for one in p])
            null = 6 - real
            found = {"any_false_uncorrected": rate((p[:, :null] <= ALPHA).any(1))}
            found["any_false_holm"] = rate((adjusted[:, :null] <= ALPHA).any(1))
            if real:
                found["power_holm"] = rate(adjusted[:, null:] <= ALPHA)
            yield {"arms": 6, "with_effect": real, "seeds": seeds, "training": training, **found}


def truth_of(cells: list[frozenset[str]], shape: Callable[[int], float], worth: dict[str, float]) -> list[float]:
    """True score of every subset: a curve in its size plus what its corpora are worth."""
    return [shape(len(cell)) + sum(worth[name] for name in cell) for cell in cells]


def designs(values: list[Float], cells: list[frozenset[str]]) -> Subsets:
    names = [f"t{place}" for place in range(len(values))]
    one = dict(zip(names, values, strict=True))
    return Subsets(dict.fromkeys(names, tuple(cells)), one, tuple(range(values[0].shape[-2])), ())


def corpora(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """Coverage of means by number, gains and Shapley values: four corpora, all subsets, untrained control."""
    worth = {"a": 0.02, "b": 0.0, "c": 0.0, "d": -0.02}
    cells = [EMPTY, *subsets(frozenset(worth))]
    effects = truth_of(cells, lambda count: 0.7 - 0.1 / count if count else 0.5, worth)
    for subjects in ((15,), (15, 15, 15)):
        for training in (0.0, 0.01, 0.02):
            values, _ = draw(Spread(subjects=subjects, training=training), effects, studies, random)
            design = designs(values, cells)
            asked = {f"mean_{count}": of_size(count) for count in range(5)}
            asked |= {f"gain_{count}_to_{count + 1}": step(count) for count in range(4)} | {"gain": step(None)}
            asked |= {f"shapley_{name}": share(name, False) for name in worth}
            asked |= {f"shapley_relative_{name}": share(name, True) for name in "ab"}
            found = {}
            for name, weigh in asked.items():
                weights = weigh(tuple(cells))
                assert weights is not None
                found[name] = covered(list(design.weighed(weigh).values()), weights @ np.array(effects))["coverage"]
            yield {"subjects": subjects, "training": training, "coverage": found}


SHAPES: dict[str, Callable[[int], float]] = {
    "none": lambda n: 0.6,
    "linear 0.02": lambda n: 0.58 + 0.02 * n,
    "linear 0.005": lambda n: 0.58 + 0.005 * n,
    "saturating b 0.1 c 1": lambda n: 0.7 - 0.1 / n,
    "saturating b 0.05 c 1": lambda n: 0.7 - 0.05 / n,
    "saturating b 0.05 c 2": lambda n: 0.7 - 0.05 / n**2,
    "logarithm 0.04": lambda n: 0.6 + 0.04 * np.log(n),
}


def curves(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """What the curve is said to be, by what it is; coverage of the law's parameters where it is claimed."""
    for number in (4, 5, 6):
        cells = subsets(frozenset("abcdef"[:number]))
        for subjects, training in (((15, 15, 15), 0.01), ((15, 15, 15), 0.02), ((15,), 0.01), ((8,), 0.01)):
            if (number == 4 and (subjects, training) != ((15, 15, 15), 0.01)) or (number == 6 and subjects == (8,)):
                continue
            for name, shape in SHAPES.items():
                verdicts, inside = [], []
                for _ in range(max(1, studies // 100)):
                    values, _ = draw(
                        Spread(subjects=subjects, training=training), [shape(len(cell)) for cell in cells], 100, random
                    )
                    for study in range(100):
                        found = curve_of(designs([block[study] for block in values], cells), range(1, number + 1))
                        verdicts.append(found.shape)
                        if found.remaining and found.exponent and name.startswith("saturating"):
                            left, power = 0.7 - shape(number), float(name[-1])
                            inside.append(
                                (
                                    found.remaining.low <= left <= found.remaining.high,
                                    found.exponent.low <= power <= found.exponent.high,
                                )
                            )
                facts = {"corpora": number, "subjects": subjects, "training": training, "truth": name}
                said = {verdict: rate(np.array(verdicts) == verdict) for verdict in sorted(set(verdicts))}
                facts |= {"said": said}
                if inside:
                    claimed = np.array(verdicts) == "saturating"
                    both = np.array(inside)
                    facts["coverage"] = {"remaining": rate(both[:, 0]), "exponent": rate(both[:, 1])}
                    if claimed.sum() >= 100:
                        chosen = both[claimed]
                        facts["where_claimed"] = {"remaining": rate(chosen[:, 0]), "exponent": rate(chosen[:, 1])}
                yield facts


def tables(studies: int, random: np.random.Generator) -> Iterator[Line]:
    """The same through tables and the public functions, against the arrays; subjects few enough for exact tests."""
    design, worst, claims = Spread(subjects=(10, 12)), 0.0, []
    arms = ["base", "one", "two", "three"]
    for _ in range(studies // 5):
        values = [block[0] for block in draw(design, [0.6] * 4, 1, random)[0]]
        found = compare(one_score(tidy(values, "arm", arms), "accuracy", "few_shot", "off"), "arm", "base", family="x")
        for one in found.comparisons:
            place = arms.index(one.arm)
            gaps = {f"target-{t}": block[..., place] - block[..., 0] for t, block in enumerate(values)}
            worst = max(worst, abs(one.p - compare_gaps(gaps).p))
            worst = max(worst, abs(one.p - float(p_values(list(gaps.values()), random)["p"])))
        claims.append(any(one.shown for one in found.comparisons))
    yield {"end_to_end_studies": len(claims), "any_false_holm": rate(np.array(claims)), "largest_p_difference": worst}


PARTS = (intervals, candidates, targets, tests, power, families, corpora, curves, tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a design")
    parser.add_argument("--only", default="", help="parts whose name starts so")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    print(json.dumps({"figure": "study_statistics", "spread": asdict(replace(Spread())), "effect": EFFECT}))
    for place, part in enumerate(PARTS):
        if not part.__name__.startswith(arguments.only):
            continue
        started = time.perf_counter()
        for line in part(arguments.studies, np.random.default_rng(place)):
            print(json.dumps({"figure": f"study_statistics/{part.__name__}", **line}), flush=True)
        took = round(time.perf_counter() - started, 1)
        error = round(float(np.sqrt(ALPHA * (1 - ALPHA) / arguments.studies)), 4)
        about = {"studies": arguments.studies, "standard_error_at_0.05": error, "seconds": took}
        print(json.dumps({"figure": f"study_statistics/{part.__name__}", **about}), flush=True)
    print(json.dumps({"figure": "study_statistics", "seconds": round(time.perf_counter() - begin, 1)}))


if __name__ == "__main__":
    main()
