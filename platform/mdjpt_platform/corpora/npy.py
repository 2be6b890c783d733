"""A NumPy file, mapped into memory: its shape is known before a byte of its values is read, and nothing unpickled."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import array_of, opened

_DAMAGED = (
    OSError, ValueError, TypeError, LookupError, EOFError, OverflowError, MemoryError, SyntaxError, RecursionError,
    TokenError,
)  # fmt: skip
"""What NumPy raises on headers that are no headers."""


def open_array(path: str | Path) -> np.ndarray[Any, Any]:
    """The array in an .npy file, mapped read-only.

    Raises BadInput: absent, a pickle called .npy (as published next to real ones), objects, truncated, no NumPy file.
    """
    path = Path(path)
    try:
        with opened(path) as file:
            begins = file.read(8)
        if not begins.startswith(np.lib.format.MAGIC_PREFIX):
            found = "a pickle" if begins[:1] == b"\x80" else repr(begins)
            raise BadInput(path, "NumPy file", found, "an array saved by NumPy; nothing was unpickled")
        return array_of(path)
    except _DAMAGED as error:
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        raise BadInput(path, "NumPy file", found, "a whole array of real numbers") from None
