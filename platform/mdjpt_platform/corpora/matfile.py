"""MATLAB files of versions 4 to 7 (`save -v6`, `-v7`): what is inside, and one variable at a time.

A published session holds hundreds of megabytes, so nothing here opens a whole file. Version 7.3 is HDF5 by another name
and is refused with the way out. Source: MAT-File Format, The MathWorks; `scipy.io`.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError

from mdjpt_platform.corpora import matstream, reading
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened

MAX_VALUES = 2**29
"""Largest variable opened (4 GiB of float64); the largest public one is a fourth of it."""
MAX_CELLS = 2**16
"""SciPy makes room for the cells that a header announces, before it looks for them."""
_DAMAGED = (MatReadError, Warning, NameError, ValueError, TypeError, LookupError, EOFError, OSError, zlib.error)
"""What SciPy raises on files that are truncated or no MAT file (NameError: a defect of its own)."""
_HDF5 = (b"\x89HDF\r\n\x1a\n", b"MATLAB 7.3")
"""How files of version 7.3 begin: HDF5's signature, or (as MATLAB writes them) a text before it."""


def variables(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every variable, in file order; reads headers, no values.

    Raises BadInput: absent, damaged, version 7.3, a name twice, a variable of more than MAX_VALUES.
    """
    with _guarded(path):
        headers = whosmat(str(path))
    found: dict[str, tuple[int, ...]] = {}
    for name, shape, _ in headers:
        if name in found:
            raise BadInput(path, "variables", f"{name} twice", "every name once")
        if prod(shape) > MAX_VALUES:
            raise BadInput(path, f"shape of {name}", tuple(shape), f"at most {MAX_VALUES} values")
        found[name] = tuple(shape)
    return found


def load(path: str | Path, key: str) -> np.ndarray[Any, Any]:
    """One variable as SciPy gives it, at least two-dimensional; for structures and cells.

    Raises BadInput: as `variables`, and where there is none of that name.
    """
    with _guarded(path):
        for name, shape, kind in whosmat(str(path)):
            most = MAX_CELLS if kind in ("cell", "struct", "object") else MAX_VALUES
            if name == key and prod(shape) > most:
                raise BadInput(path, f"shape of {key}", f"{kind} {shape}", f"at most {most} cells or values")
        tree = loadmat(str(path), variable_names=[key])
    if key not in tree:
        raise BadInput(path, "variables", "none of that name", key)
    return np.asarray(tree[key])


def numbers(path: str | Path, key: str) -> np.ndarray[Any, Any]:
    """One variable of finite real numbers, in the type in which they are stored; read-only.

    Read by `matstream`, as SciPy believes the type codes of damaged files and takes the process down with them.
    Raises BadInput: as `load`, and for text, cells, structures, complex numbers, NaN, infinity.
    """
    with _guarded(path):
        values = matstream.branch(path, [key])
    if not isinstance(values, np.ndarray):
        raise BadInput(path, f"type of {key}", type(values).__name__, "numbers")
    reading.check_numbers(path, key, values)
    return values


def matrix(path: str | Path, key: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """`numbers` in exactly this shape, which is looked at before they are read."""
    with _guarded(path):
        reading.check_shape(path, key, matstream.shape(path, [key]), shape)
    return numbers(path, key)


@contextmanager
def _guarded(path: str | Path) -> Iterator[None]:
    """Around SciPy: what it raises on damaged files, and what it merely warns of, becomes BadInput."""
    try:
        with opened(path) as file:
            if file.read(10).startswith(_HDF5):
                expected = "version 5 to 7 (in MATLAB: load it, then save(..., '-v7'))"
                raise BadInput(path, "MAT file", "version 7.3 (HDF5)", expected)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Unreadable variable", Warning)
            yield
    except FileNotFoundError:
        raise BadInput(path, "file", "nothing there", "a MAT file") from None
    except _DAMAGED as error:
        found = f"{type(error).__name__}: {str(error)[:80]}".replace("\n", " ")
        raise BadInput(path, "MAT file", found, "a whole MAT file, version 5 to 7") from None
