"""Bad channels: found by published thresholds and by criteria of one's own, repaired from their neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.montage import repair
from mdjpt_platform.preprocess.parameters import Positive, Share
from mdjpt_platform.preprocess.signals import Signals, span
from mdjpt_platform.preprocess.statistics import bad_rows, deviant_rows, lonely_rows


def bad_channels(
    signals: Signals,
    *,
    moderate: Positive = 3.0,
    moderate_share: Share = 0.4,
    extreme: Positive | None = 30.0,
    extreme_share: Share = 0.01,
    flat: Share = 0.01,
    deviation: Positive | None = None,
    correlation: Share | None = None,
    correlation_share: Share = 0.5,
    scope: Literal["trial", "recording"] = "trial",
    most: Share = 0.5,
    protect: tuple[str, ...] = (),
    method: Literal["auto", "spline", "nearest"] = "auto",
) -> Signals:
    """Find and replace bad channels (rule: DATASETS 19, mdJPT's released script).

    Bad: more than `moderate_share` of the samples above `moderate` times the median |x| of all channels, or
    `extreme_share` above `extreme` times (both defaults mdJPT's; EmoEEG-MC: `moderate_share` .3, `extreme` null), or
    flat (below `flat` of the median SD). Off unless asked for: `deviation`, the highest |robust z| of the channel's SD
    among those of all; `correlation`, the lowest acceptable 98th percentile of |r| with the other channels in stretches
    of a second, missed in more than `correlation_share` of them (criteria of the PREP pipeline, Bigdely-Shamlo 2015).
    Judged per trial or once for all trials of the recording. A trial with more than `most` of its channels bad, or
    fewer than three good ones, is left out and listed in the manifest. Signal between trials is neither judged nor
    mended: nobody reads it. `protect`: never bad; a name the recording lacks is no fault.
    Raises BadInput: no trial remains.
    """
    spots = [(piece, trial, span(signals, piece, trial)) for piece in signals.pieces for trial in piece.trials]
    groups = [[spot] for spot in spots] if scope == "trial" else [spots]
    limits = [(moderate, moderate_share), *([(extreme, extreme_share)] if extreme is not None else [])]
    bad, dropped = dict(signals.bad), dict(signals.dropped)
    for group in groups:
        views = [piece.data[:, where] for piece, _, where in group]
        marked = np.array(bad_rows(views, limits, flat))
        if deviation is not None:
            marked |= deviant_rows(views, marked, deviation)
        if correlation is not None:
            marked |= lonely_rows(views, marked, round(signals.rate), correlation, correlation_share)
        names = tuple(n for n, is_bad in zip(signals.names, marked, strict=True) if is_bad and n not in protect)
        if not names:
            continue
        if len(names) > most * len(signals.names) or len(signals.names) - len(names) < 3:
            dropped |= {trial.trial: f"{len(names)} of {len(signals.names)} channels bad" for _, trial, _ in group}
            continue
        weights = repair(signals.names, names, method)
        rows = [signals.names.index(name) for name in names]
        with threadpool_limits(1, "blas"):  # sums in one order, however many cores
            for view in views:
                view[rows] = weights @ view
        for _, trial, _ in group:
            bad[trial.trial] = tuple(n for n in signals.names if n in names or n in bad.get(trial.trial, ()))
    if len(dropped) == len(spots):
        raise BadInput(signals.where, "trials", f"none left: {dropped[spots[0][1].trial]}", "good channels")
    return replace(signals, bad=bad, dropped=dropped)
