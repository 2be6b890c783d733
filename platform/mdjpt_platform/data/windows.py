"""Windows of a draw, cut from a memory map. NumPy alone, so that a process that only cuts never loads torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.data.plan import Draw
from mdjpt_platform.store import Store


def cut_windows(store: Store, draw: Draw, length: int, out: NDArray[np.float32]) -> None:
    """Write the windows of one corpus, a before b, into `out` [B, length, C].

    Raises ValueError: a window that does not lie inside its trial, or another number of them.
    """
    window = store.window
    for place, row, start in zip(range(len(out)), draw.rows.tolist(), draw.starts.tolist(), strict=True):
        out[place] = window(row, start, length)
