"""Arms of a study against its base: differences with intervals, tests over subjects, Holm within a named family."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.metrics import holm
from mdjpt_platform.study.interval import ALPHA, Estimate, Float, estimate, points
from mdjpt_platform.study.paired import (
    MIN_SUBJECTS,
    Test,
    hedges_dz,
    paired_test,
    rank_biserial,
    smallest_p,
    stouffer,
)
from mdjpt_platform.study.scores import TABLE, NothingInCommon, named, scores_of


@dataclass(frozen=True)
class TargetDifference:
    """Arm minus base on one target; seeds averaged within subject."""

    target: str
    subjects: int
    difference: float
    p: float
    """NaN below MIN_SUBJECTS subjects."""
    dz: float
    rank_biserial: float


@dataclass(frozen=True)
class Comparison:
    """One arm against the base over all targets."""

    arm: str
    base: str
    family: str
    size: int
    """Comparisons in the family."""
    difference: Estimate
    p_subjects: float
    """Tests of the targets combined (Stouffer): would other subjects say the same of these very encoders?"""
    p: float
    """The larger of `p_subjects` and `difference.p`: other subjects and other seeds. A claim needs both."""
    p_holm: float
    dz: float
    """Mean over targets, weighed by subjects; Hedges' correction."""
    rank_biserial: float
    by_target: tuple[TargetDifference, ...]
    notes: tuple[str, ...]

    @property
    def shown(self) -> bool:
        """Whether a difference is claimed: Holm p at most ALPHA."""
        return self.p_holm <= ALPHA

    def sentence(self) -> str:
        """The result in plain words."""
        d, pair = self.difference, f"{self.arm} and {self.base}"
        if d.value == d.low == d.high == 0:
            return f"{pair} have the same score in every subject and seed: what they differ in has no effect here."
        basis = f"{points(d.value)} points, {d.interval()}, {d.basis()}"
        if not np.isfinite(self.p_holm):
            return f"{pair} were not tested (fewer than {MIN_SUBJECTS} subjects in every target): {basis}."
        tested = f"Holm p = {self.p_holm:.3f} in {self.family}, {self.size} compared"
        if self.shown:
            once = "In one training each, " if d.seeds == 1 else ""
            more = "higher" if d.value > 0 else "lower"
            return f"{once}{self.arm} scores {more} than {self.base}: {basis}; {tested}; d_z = {self.dz:+.2f}."
        found = f"No difference shown between {pair}: {basis}; {tested}."
        if self.p_subjects <= ALPHA < d.p:
            found += " Over subjects alone p is below 0.05, but another seed may turn it."
        return found


@dataclass(frozen=True)
class Family:
    """Comparisons that are corrected together."""

    name: str
    comparisons: tuple[Comparison, ...]
    left_out: tuple[str, ...]
    """Arms that could not be compared, and why."""

    def table(self) -> pd.DataFrame:
        """One row a comparison, for tables and forest plots."""
        keep = ("arm", "base", "family", "p_subjects", "p", "p_holm", "dz", "rank_biserial", "shown")
        return pd.DataFrame(
            [
                {name: getattr(one, name) for name in keep}
                | {"difference": one.difference.value, "low": one.difference.low, "high": one.difference.high}
                | {"n_subjects": one.difference.subjects, "n_targets": one.difference.targets}
                | {"n_seeds": one.difference.seeds, "sentence": one.sentence()}
                for one in self.comparisons
            ]
        )


def compare(
    table: pd.DataFrame,
    axis: str,
    base: Hashable,
    arms: Sequence[Hashable] | None = None,
    *,
    family: str,
    test: Test = "permutation",
    drawn_targets: bool = False,
    seed: int = 0,
) -> Family:
    """Compare every arm (values of the column `axis`) with `base`, paired by target, subject and seed.

    `table`: scores.one_score of the study's table. An arm that shares no target or seed with the base is named in
    `left_out`. Raises BadInput: base or a named arm absent, two rows for one score, too few targets to be drawn.
    """
    if axis not in table or base not in set(table[axis]):
        raise BadInput(TABLE, axis, ", ".join(sorted(map(named, set(table.get(axis, []))))) or "nothing", named(base))
    absent = [named(arm) for arm in arms or () if arm not in set(table[axis])]
    if absent:
        raise BadInput(TABLE, axis, "no row", ", ".join(absent))
    others = sorted(set(table[axis]) - {base}, key=named) if arms is None else list(arms)
    found, left_out = [], []
    for arm in others:
        on = {name: set(part[axis]) for name, part in table.groupby("target", sort=True)}
        targets = [str(name) for name, there in on.items() if {arm, base} <= there]
        if not targets:
            left_out.append(f"{named(arm)}: no target in common with {named(base)}")
            continue
        try:
            scores = scores_of(table, axis, dict.fromkeys(targets, (base, arm)))
        except NothingInCommon as error:
            left_out.append(f"{named(arm)}: {error}")
            continue
        lacking = [f"{name}: one arm alone was run" for name in on if name not in targets and {arm, base} & on[name]]
        gaps = {target: values[..., 1] - values[..., 0] for target, values in scores.values.items()}
        one = compare_gaps(gaps, test, drawn_targets, seed)
        notes = (*scores.notes, *lacking, *one.notes)
        found.append(replace(one, arm=named(arm), base=named(base), family=family, notes=notes))
    return Family(family, corrected(found), tuple(left_out))


def compare_gaps(
    gaps: dict[str, Float], test: Test = "permutation", drawn_targets: bool = False, seed: int = 0
) -> Comparison:
    """The comparison of paired differences [subjects, seeds] by target, not yet corrected or named."""
    random = np.random.default_rng(np.random.SeedSequence([seed, 11]))
    targets = []
    for target, gap in gaps.items():
        means = gap.mean(1)
        p = float(paired_test(means, test, random))
        targets.append(
            TargetDifference(target, len(means), float(means.mean()), p, hedges_dz(means), rank_biserial(means))
        )
    counts = [one.subjects for one in targets]
    p_subjects = stouffer([np.array(t.p) for t in targets], [np.array(t.difference) for t in targets], counts)
    difference = estimate(list(gaps.values()), drawn_targets)
    notes = [
        f"{one.target}: {one.subjects} subjects, no test below {MIN_SUBJECTS}" for one in targets if np.isnan(one.p)
    ]
    return Comparison(
        arm="",
        base="",
        family="",
        size=1,
        difference=difference,
        p_subjects=float(p_subjects),
        p=float(np.maximum(p_subjects, difference.p)),  # NaN if there is no test
        p_holm=float("nan"),
        dz=_weighed([one.dz for one in targets], counts),
        rank_biserial=_weighed([one.rank_biserial for one in targets], counts),
        by_target=tuple(targets),
        notes=tuple(notes),
    )


def corrected(found: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Holm over the family; says where so few subjects could never pass it."""
    size = sum(bool(np.isfinite(one.p)) for one in found)
    adjusted = holm(pd.Series([one.p for one in found], dtype=np.float64))
    out = []
    for one, p in zip(found, adjusted, strict=True):
        least = smallest_p([t.subjects for t in one.by_target])
        note = f"few subjects: no p below {least:.3f} is possible, Holm may ask for {ALPHA / max(size, 1):.3f}"
        notes = (*one.notes, note) if least * size > ALPHA else one.notes
        out.append(replace(one, size=size, p_holm=float(p), notes=notes))
    return tuple(out)


def _weighed(values: Sequence[float], weights: Sequence[int]) -> float:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if np.isfinite(value)]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else float("nan")
