"""Windows from one rate to another, as one product: resampling a fixed length is linear, so it is a matrix."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def resampling(samples: int, ratio: Fraction) -> NDArray[np.float32]:
    """Matrix R [samples, ceil(samples x ratio)]: x @ R has `ratio` times the rate.

    Polyphase with scipy's filter; a straight line from first to last sample is taken out before and put back after,
    so that a window that does not begin and end at zero rings less at its edges.
    """
    if ratio == 1:
        return np.eye(samples, dtype=np.float32)
    from scipy.signal import resample_poly  # half a second that models at the windows' own rate need not wait

    columns = resample_poly(np.eye(samples), ratio.numerator, ratio.denominator, axis=0, padtype="line")
    return np.ascontiguousarray(columns.T, dtype=np.float32)
