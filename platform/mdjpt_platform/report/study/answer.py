"""What the page says in words: the question, the statistics' own sentences, and what limits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mdjpt_platform.report.study.contrasts import FAMILIES, Contrast
from mdjpt_platform.report.study.growth import Growth
from mdjpt_platform.study.interval import ALPHA, FEW_SEEDS, counted
from mdjpt_platform.study.paired import MIN_SUBJECTS
from mdjpt_platform.study.run import Study
from mdjpt_platform.study.scores import named


@dataclass(frozen=True)
class Said:
    """A sentence, and whether it claims something ('good'), does not ('open') or could not ('none')."""

    verdict: str
    about: str
    text: str
    details: tuple[str, ...] = ()


def question(study: Study, varied: dict[str, list[Any]], scaled: bool) -> str:
    """What the study asks, from its design."""
    targets = list(dict.fromkeys(cell.run.targets[0] for cell in study.cells))
    on = targets[0] if len(targets) == 1 else f"{len(targets)} held-out corpora"
    asked = []
    if scaled:
        asked.append(f"does pre-training on more corpora, and on which, raise the score on {on}")
    for name, levels in varied.items():
        others = counted(len(levels) - 1, "other setting")
        what = f"{others} of {name}" if name != "arm" else counted(len(levels) - 1, "change")
        does = "does" if len(levels) == 2 else "do"
        asked.append(f"what {does} {what} do to the score on {on}, against {named(levels[0])}")
    if not asked:
        asked.append(f"how well does the pre-trained encoder transfer to {on}, against the controls")
    text = "; ".join(asked) + "?"
    return text[0].upper() + text[1:]


def answers(growths: Sequence[Growth], contrasts: Sequence[Contrast]) -> list[Said]:
    """The sentences of the statistics, unchanged."""
    found = []
    for one in growths:
        where = f", {one.setting}" if one.setting else ""
        if one.scaling is None:
            continue
        overall, curve = one.scaling.overall, one.scaling.curve
        if overall is not None:
            found.append(Said(_verdict(overall.p_holm), f"Number of corpora{where}", overall.sentence()))
        claimed = curve.shape in ("linear", "saturating")
        found.append(Said("good" if claimed else "open", f"Shape{where}", curve.sentence()))
        if one.values:
            shown = [value for value in one.values if value.p_holm <= ALPHA]
            text = f"A difference by corpus is shown for {len(shown)} of {len(one.values)} corpora."
            details = tuple(value.sentence() for value in one.values)
            found.append(Said("good" if shown else "open", f"Choice of corpora{where}", text, details))
    for contrast in contrasts:
        prefix = "" if contrast.factor in FAMILIES else f"{contrast.factor} "
        found += [Said(_verdict(c.p_holm), f"{prefix}{c.arm}", c.sentence()) for c in contrast.family]
    return found


def _verdict(p: float) -> str:
    if p != p:  # no test
        return "none"
    return "good" if p <= ALPHA else "open"


def limits(study: Study, scores: pd.DataFrame) -> list[str]:
    """What keeps the study from saying more; `scores`: the headline's rows of the trained encoder."""
    found = []
    waiting = len(study.waiting())
    if waiting:
        found.append(f"{waiting} of {counted(len(study.cells), 'cell')} are not done; all numbers rest on the others.")
    if scores.empty:
        return found
    seeds = scores["seed"].nunique()
    if seeds == 1:
        found.append("One seed: a difference may be the luck of one training. Intervals count subjects alone.")
    elif seeds < FEW_SEEDS:
        found.append(f"{seeds} seeds: the luck of training is barely known; intervals may be too narrow.")
    for target, part in scores.groupby("target"):
        subjects = part["subject"].nunique()
        if subjects < MIN_SUBJECTS:
            found.append(
                f"{target}: {counted(subjects, 'subject')}, too few for a test over subjects ({MIN_SUBJECTS} needed); "
                "points are shown, nothing is claimed."
            )
    return found


def warnings(study: Study) -> list[tuple[str, str]]:
    """(title, text) of what makes numbers incomparable or leaky."""
    found = []
    if any(cell.run.evaluate.protocol == "published" for cell in study.cells):
        found.append(
            (
                "Protocol “published”: contains leaks by design.",
                "Numbers of these cells repeat the released procedure, which lets the test subjects influence what is "
                "tested on them. They overstate what a new subject would get.",
            )
        )
    codes = Counter(entry.code for entry in study.entries.values() if entry.state == "done")
    if len(codes) > 1:
        which = ", ".join(f"{code} ({counted(count, 'cell')})" for code, count in sorted(codes.items()))
        found.append(
            ("Mixed code.", f"The finished cells were run by {len(codes)} versions of the sources: {which}. "
             "Differences between cells may be differences between versions.")
        )  # fmt: skip
    return found
