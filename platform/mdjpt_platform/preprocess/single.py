"""One recording that belongs to no corpus, through a recipe to its end: the recording is its own subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mdjpt_platform.config import StepConfig
from mdjpt_platform.corpora.base import Segment
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import signals
from mdjpt_platform.preprocess.identical import prints_of
from mdjpt_platform.preprocess.kept import Underway
from mdjpt_platform.preprocess.keys import steps_of_recording
from mdjpt_platform.preprocess.montage import repair
from mdjpt_platform.preprocess.quality import look
from mdjpt_platform.preprocess.recording import FIRST, after
from mdjpt_platform.preprocess.result import quality_of
from mdjpt_platform.preprocess.statistics import affine
from mdjpt_platform.preprocess.steps import STEPS

Span = tuple[int, int]


@dataclass(frozen=True)
class Single:
    """A recording after the recipe."""

    signal: NDArray[np.float32]
    """[samples, channels], scaled by the recipe's last step."""
    channels: tuple[str, ...]
    rate: float
    spread: float
    """SD before the scaling, by which it was divided; microvolts. 1 if the recipe does not scale."""
    good: tuple[Span, ...]
    """Stretches (start, stop) in samples outside what was marked bad: all of it, if nothing was."""
    factor: float
    """By which the file's numbers were multiplied to be microvolts."""
    quality: dict[str, Any]
    """See `quality_of`."""


def prepare_single(
    segment: Segment,
    where: str,
    recipe: Sequence[StepConfig],
    marked: Sequence[str] = (),
    artefacts: Sequence[tuple[float, float]] = (),
) -> Single:
    """The trial of a segment after every step of a recipe, the same numbers as in a store of that trial.

    `marked`: channels, by 10-05 name, that the file calls bad: given from the others before anything else is done.
    `artefacts`: stretches, in seconds of the trial, that do not count for the scaling.
    Raises BadInput: what the steps refuse, nothing good left.
    """
    steps = steps_of_recording(recipe)
    first = sum(1 for _ in takewhile(lambda step: step.step in FIRST, steps))
    with mne.utils.use_log_level("ERROR"):
        state = signals.begin([segment], where)
        underway = Underway(state, prints_of(state))
        for place in range(len(steps) + 1):
            if place == first:
                underway = replace(underway, before=look(underway.signals))
                underway = replace(underway, signals=_replaced(underway.signals, marked))
            if place < len(steps):
                underway = replace(underway, signals=after(underway.signals, steps[place]))
        quality = quality_of(underway)
        ((_, signal),) = signals.cut(underway.signals)
    state = underway.signals
    good = _good(len(signal), state.rate, artefacts)
    if not good:
        raise BadInput(where, "annotations", "the whole recording marked bad", "a stretch that is not")
    last = recipe[-1]
    shift, divisor = 0.0, 1.0
    if STEPS[last.step].stage == "subject":
        try:
            shift, divisor = STEPS[last.step].work([signal[start:stop] for start, stop in good], **last.params)
        except ValueError as error:
            raise BadInput(where, last.step, error, "EEG") from None
    scaled = affine(signal, shift, divisor)
    return Single(scaled, state.names, state.rate, divisor, good, state.factor, quality)


def _replaced(state: signals.Signals, marked: Sequence[str]) -> signals.Signals:
    """The channels that the file calls bad, from their neighbours; noted as replaced in every trial."""
    bad = tuple(name for name in state.names if name in marked)
    if not bad:
        return state
    if len(state.names) - len(bad) < 3:
        found = f"{len(bad)} of {len(state.names)} marked bad"
        raise BadInput(state.where, "channels", found, "three or more that are not")
    weights, rows = repair(state.names, bad, "auto"), [state.names.index(name) for name in bad]
    with threadpool_limits(1, "blas"):  # sums in one order, however many cores
        for piece in state.pieces:
            piece.data[rows] = weights @ piece.data
    numbers = [trial.trial for piece in state.pieces for trial in piece.trials]
    return replace(state, bad={**state.bad, **dict.fromkeys(numbers, bad)})


def _good(samples: int, rate: float, artefacts: Sequence[tuple[float, float]]) -> tuple[Span, ...]:
    """What lies between the artefacts, which are in order and do not touch."""
    found, place = [], 0
    for start, stop in artefacts:
        begin, end = max(0, int(np.floor(start * rate))), min(samples, int(np.ceil(stop * rate)))
        if begin > place:
            found.append((place, min(begin, samples)))
        place = max(place, end)
    return tuple([*found, (place, samples)] if place < samples else found)
