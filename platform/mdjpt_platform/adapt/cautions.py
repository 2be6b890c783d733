"""What a reader must know of an adaptation's figures, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mdjpt_platform.adapt.given import Given, same
from mdjpt_platform.adapt.settings import Method, Settings
from mdjpt_platform.adapt.split import Draw
from mdjpt_platform.evaluate.features import by_group

FEW = 6
"""People below whom no test can reach 5 % after a correction."""


def cautions(
    given: Given, trials: pd.DataFrame, dealt: Sequence[Draw], left_out: Sequence[str], settings: Settings,
    methods: Sequence[Method],
) -> list[str]:  # fmt: skip
    """Sentences for the page; none names a person."""
    found = []
    rows = given.model.config["trained"]["corpora"]
    if any(same(row, given.store) for row in rows):
        found.append("The model was made with this very corpus: its encoder or its read-out had seen these people.")
    elif any(row["layout"] == given.store.manifest.layout for row in rows):
        found.append(
            "The model was made with a corpus of the same layout: if it holds the same people, they were seen."
        )
    if left_out:
        people = trials["subject"].nunique()
        found.append(
            f"{len(left_out)} of {people} people were left out: without enough trials of every class for both sides."
        )
    blocks = blocked(trials, given.task.labels)
    if blocks:
        found.append(
            f"Most people had all trials of {', '.join(blocks)} in one stretch of the recording: what tells such a "
            "class from the others may be the time, and any method can learn that. `--classes` leaves classes out."
        )
    if settings.reads == "whole" and by_group(given.model.encoder):
        found.append(
            "The encoder's layers are standardised by the whole recording of a subject, windows tested on included, "
            "without any label. Mode causal and mode frozen do not look ahead."
        )
    if settings.by == "subject" and not settings.same_stimuli and not trials.duplicated(["subject", "stimulus"]).any():
        found.append(
            "Nobody has one stimulus twice in this store, so no trial was lost to keeping stimuli apart. Whether two "
            "stimuli of a class are two films or one light shown twice, only the corpus can tell."
        )
    if settings.same_stimuli:
        found.append("Stimuli of the calibration were tested on too: what is learned may be the stimulus.")
    if "untrained" in methods:
        found.append("The untrained encoder is one set of random weights; another gives somewhat other figures.")
    if settings.by == "subject" and len({one.who for one in dealt}) < FEW:
        found.append("Fewer than six people: no test can tell much.")
    return found


def blocked(trials: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """Classes whose trials follow each other without a trial of another class, three or more, in most subjects.

    `trials`: as `split.trials_table`, in order of time.
    """
    count = dict.fromkeys(range(len(labels)), 0)
    subjects = 0
    for _, part in trials.groupby("subject", sort=False):
        subjects += 1
        codes = part["code"].to_numpy()
        for code in count:
            at = (codes == code).nonzero()[0]
            count[code] += len(at) > 2 and at[-1] - at[0] == len(at) - 1 < len(codes) - 1
    return [labels[code] for code, often in count.items() if often > subjects / 2]
