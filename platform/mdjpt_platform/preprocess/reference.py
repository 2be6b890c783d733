"""What the signal is measured against, and what it is measured in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.parameters import Positive
from mdjpt_platform.preprocess.signals import Signals
from mdjpt_platform.preprocess.statistics import clipped_moments


def average_reference(signals: Signals) -> Signals:
    """Subtract the mean over channels at every sample. Raises BadInput: a single channel."""
    if len(signals.names) < 2:
        raise BadInput(signals.where, "average_reference", "one channel", "two or more")
    for piece in signals.pieces:
        piece.data[:] -= piece.data.mean(axis=0, keepdims=True)
    return signals


def scale(parts: Sequence[NDArray[np.float32]], *, multiple: Positive = 30.0) -> tuple[float, float]:
    """Mean and SD of a subject, one scalar each, over all channels, trials and sessions (SYSTEMS 1.2).

    Computed on samples with |x| < multiple * median |x|; the signal is then (x - mean) / SD, outliers included, so
    relative channel amplitudes survive. Exact, in memory bounded by one part.
    Raises ValueError: nothing but zeros.
    """
    return clipped_moments(parts, multiple)
