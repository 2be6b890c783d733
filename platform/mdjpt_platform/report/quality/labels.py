"""Checks of labels: their balance, and whether time or session gives them away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats.contingency import association

from mdjpt_platform.report.quality.inputs import Quality
from mdjpt_platform.report.quality.verdict import Verdict, counted, fine, listed, look, unknown

UNEVEN = 0.5
"""Trials of the smallest class over those of the largest."""
EXPLAINED = 0.5
"""Share of the variance of play order that classes explain: a balanced order of 15 trials in 3 classes exceeds .39 once
in twenty draws, a blocked one is near 1."""
ASSOCIATED = 0.3
"""Cramer's V of class and session."""


def label_balance(quality: Quality) -> Iterator[Verdict]:
    """Trials by class, classes without any, trials without a class, subjects with a single one."""
    about, kept, labels = "label balance", quality.kept, quality.manifest.labels
    known = kept[kept["label"].notna()]
    if known.empty:
        yield unknown(about, "No trial has a label.")
        return
    counts = known["label"].value_counts().reindex(list(labels), fill_value=0)
    told = ", ".join(f"{label} {count}" for label, count in counts.items())
    empty, missing = [label for label, count in counts.items() if not count], len(kept) - len(known)
    problems = []
    if empty:
        problems.append(f"no trial of {listed(empty)}")
    elif counts.min() < UNEVEN * counts.max():
        problems.append(f"the largest class has {counts.max() / counts.min():.1f} times the trials of the smallest")
    if missing:
        problems.append(f"{missing} of {counted(len(kept), 'trial')} without a label")
    classes = known.groupby("subject")["label"].nunique()
    single = [quality.person(str(subject)) for subject, count in classes.items() if count == 1 and len(labels) > 1]
    if single:
        problems.append(f"a single class for {listed(single)}")
    if problems:
        text = "; ".join(problems)
        yield look(about, f"{text[0].upper()}{text[1:]} ({told}).", single)
    else:
        yield fine(about, f"{told}.")


def play_order(quality: Quality) -> Iterator[Verdict]:
    """Whether everybody saw the stimuli in the same order, and who did not."""
    about, notes, odd = "play order", [], []
    for session, own in quality.kept.groupby("session", sort=True):
        orders = _orders(own)
        if len(orders) < 2:
            continue
        usual = _usual(orders)
        others = [r for r, order in orders.items() if not _agree(order, usual)]
        where = f" in session {session}" if quality.kept["session"].nunique() > 1 else ""
        if not others:
            notes.append(f"The same for everybody{where}")
        elif len(others) <= max(1, 0.2 * len(orders)):
            odd += [quality.name(r) for r in others]
        else:
            notes.append(f"Different between subjects{where}: {len(orders) - len(others)} of {len(orders)} share one")
    if odd:
        yield look(about, f"The same for everybody but {listed(odd)}.", odd)
    elif notes:
        same = all(note.startswith("The same") for note in notes)
        caveat = ": what a stimulus does and what time does cannot be told apart" if same else ""
        yield fine(about, "; ".join(notes) + caveat + ".")
    else:
        yield unknown(about, "A single recording has nothing to be compared with.")


def class_and_order(quality: Quality) -> Iterator[Verdict]:
    """Whether the time at which a trial was shown gives its class away."""
    about, known = "class and play order", quality.kept[quality.kept["label"].notna()]
    parts = [own for _, own in known.groupby("recording") if own["label"].nunique() > 1]
    if not parts:
        yield unknown(about, "No recording has two classes.")
        return
    place = pd.concat([own["play_order"].rank() / len(own) for own in parts])
    label = known["label"].loc[place.index]
    means = place.groupby(label).transform("mean")
    share = float(((means - place.mean()) ** 2).sum() / max(((place - place.mean()) ** 2).sum(), 1e-12))
    text = f"Classes explain {100 * share:.0f} % of the variance of play order over all recordings"
    if share > EXPLAINED:
        late = place.groupby(label).mean().sort_values()
        yield look(about, f"{text}: {late.index[0]} comes early, {late.index[-1]} late, and so does every drift.")
    else:
        yield fine(about, f"{text}.")


def class_and_session(quality: Quality) -> Iterator[Verdict]:
    """Whether the session gives the class away."""
    about, known = "class and session", quality.kept[quality.kept["label"].notna()]
    table = pd.crosstab(known["label"], known["session"])
    if table.shape[1] < 2 or table.shape[0] < 2:
        yield unknown(about, "One session or one class: nothing to be confounded.")
        return
    strength = float(association(table.to_numpy(), method="cramer"))
    absent = [f"{label} in session {s}" for label, row in table.iterrows() for s, n in row.items() if n == 0]
    text = f"Cramér's V of class and session is {strength:.2f}"
    if absent or strength > ASSOCIATED:
        yield look(about, text + (f"; no trial of {listed(absent)}." if absent else "."), absent)
    else:
        yield fine(about, f"{text}.")


Order = dict[str, float]
"""Stimulus -> position."""


def _orders(trials: pd.DataFrame) -> dict[str, Order]:
    return {
        str(recording): dict(zip(own["stimulus"], own["play_order"].astype(float), strict=True))
        for recording, own in trials.groupby("recording", sort=True)
    }


def _usual(orders: dict[str, Order]) -> Order:
    """The order that most recordings agree with; the first of several."""
    every = list({tuple(sorted(order, key=order.__getitem__)): order for order in orders.values()}.values())
    return max(every, key=lambda one: (sum(_agree(order, one) for order in orders.values()), len(one)))


def _agree(one: Order, other: Order) -> bool:
    """The stimuli that both hold come in the same order."""
    common = [stimulus for stimulus in one if stimulus in other]
    return bool(np.all(np.argsort([one[s] for s in common]) == np.argsort([other[s] for s in common])))
