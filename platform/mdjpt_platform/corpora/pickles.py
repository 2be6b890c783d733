"""Arrays out of pickles that strangers wrote, without running anything they wrote.

A pickle is a program: it names functions and calls them. Here every name it may use (those by which NumPy arrays are
pickled, and no other) stands for a `_Note`, which writes the call down and makes none. Afterwards the notes are read:
plain real-number arrays are built with `numpy.frombuffer`, whatever else they say is refused. So neither a foreign
function nor NumPy's own unpickling code ever sees the file's arguments.

Covers pickles of protocol 0-5, Python 2 (latin-1 text) and the two homes of NumPy's core (`numpy.core` up to 1.x,
`numpy._core` since 2.0). Sources: Python library reference, `pickle`, "Restricting Globals"; NumPy, `numpy.lib.format`.
"""

from __future__ import annotations

import pickle
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mdjpt_platform.corpora.opcodes import check_operations
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened

MAX_BYTES = 4 * 2**30
"""Largest pickle opened; the largest public one is a fifteenth of it."""
MAX_DIMENSIONS = 8
_ALLOWED = (
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
)
_DAMAGED = (EOFError, AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError)
"""What Python's unpickler raises on bytes that are no pickle (UnpicklingError is caught apart)."""


class _Note:
    """A call the pickle asks for, written down and not made."""

    called: ClassVar[str] = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


_NOTES = {(module, name): type(f"_{name}", (_Note,), {"called": name}) for module, name in _ALLOWED}


class _RefusedError(Exception):
    """A global or a content that is not admitted; carries (found, expected)."""


class _NotesOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NOTES:
            raise _RefusedError(f"a call of {module}.{name}", "NumPy arrays only; nothing was executed")
        return _NOTES[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("a persistent id", "NumPy arrays only")


def load_arrays(path: str | Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array, or the dictionary of arrays, in a pickle; arrays are read-only and of real numbers.

    Raises BadInput: absent, over MAX_BYTES, truncated or no pickle; names any global but NumPy's array constructors
    (the message says which); holds anything but an array or a dictionary from text to arrays; non-numeric arrays.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadInput(path, "size", f"{size} bytes", f"at most {MAX_BYTES}")
        with opened(path) as file:
            check_operations(file, size)
            tree = _NotesOnly(file, encoding="latin1").load()
    except OSError as error:
        raise BadInput(path, "file", error.strerror, "a readable pickle") from None
    except _RefusedError as error:
        raise BadInput(path, "pickle", *error.args) from None
    except pickle.UnpicklingError as error:
        raise BadInput(path, "pickle", f"truncated or damaged data ({error})", "a whole pickle") from None
    except _DAMAGED as error:
        raise BadInput(
            path, "pickle", f"truncated or damaged data ({type(error).__name__})", "a whole pickle"
        ) from None
    try:
        if isinstance(tree, dict) and all(isinstance(key, str) for key in tree):
            return _arrays(tree, size)
        return _array(tree)
    except _RefusedError as error:
        raise BadInput(path, "pickle", *error.args) from None


def _arrays(tree: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    """Arrays by name; together no larger than the file that they come from: text may be shared and is copied."""
    found, total, built = {}, 0, dict[int, np.ndarray]()
    for key, note in tree.items():
        array = built.get(id(note))
        if array is None:
            array = built[id(note)] = _array(note)
            total += array.nbytes
        if total > size:
            raise _RefusedError(f"arrays of more than {total} bytes in {size}", "arrays with bytes of their own")
        found[key] = array
    return found


def _array(note: Any) -> np.ndarray:
    """Build a plain array from what is written down."""
    if not isinstance(note, _Note):
        raise _RefusedError(type(note).__name__, "an array or a dictionary of arrays")
    if note.called == "_reconstruct" and isinstance(note.state, tuple) and len(note.state) == 5:
        _, shape, dtype, fortran, data = note.state
        order = "F" if fortran else "C"
    elif note.called == "_frombuffer" and len(note.args) == 4:
        data, dtype, shape, order = note.args
    elif note.called == "scalar" and len(note.args) == 2:
        (dtype, data), shape, order = note.args, (), "C"
    else:
        raise _RefusedError(f"a {note.called or 'call'} that is no array", "an array or a dictionary of arrays")
    kind, content = _dtype(dtype), _bytes(data)
    sound = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS
    sound = sound and all(type(length) is int and 0 <= length <= MAX_BYTES for length in shape)
    if not sound or order not in ("C", "F") or prod(shape) * kind.itemsize != len(content):
        raise _RefusedError(f"{len(content)} bytes for shape {shape} of {kind}", "as many bytes as the shape needs")
    flat: np.ndarray = np.frombuffer(content, kind) if len(content) else np.zeros(0, kind)
    try:
        return flat.reshape(shape) if order == "C" else flat.reshape(shape[::-1]).T
    except ValueError:  # no value at all, and other dimensions beyond NumPy's reach
        raise _RefusedError(f"shape {shape}", "the shape of an array") from None


def _dtype(note: Any) -> np.dtype[Any]:
    """A real-number dtype; no objects, no records, no text."""
    code = note.args[0] if isinstance(note, _Note) and note.called == "dtype" and note.args else None
    if not isinstance(code, str) or len(code) != 2 or code[0] not in "fiu" or code[1] not in "1248":
        raise _RefusedError(f"dtype {code}", "real numbers (f2-f8, i1-i8, u1-u8)")
    if code == "f1":
        raise _RefusedError(f"dtype {code}", "real numbers (f2-f8, i1-i8, u1-u8)")
    order = note.state[1] if isinstance(note.state, tuple) and len(note.state) > 1 else "="
    return np.dtype((order if order in ("<", ">") else "=") + code)


def _bytes(data: Any) -> bytes | bytearray:
    """Raw bytes: as such, as latin-1 text (Python 2), or as a written-down `_codecs.encode(text, "latin1")`."""
    if isinstance(data, _Note) and data.called == "encode" and len(data.args) == 2 and data.args[1] == "latin1":
        data = data.args[0]
    if isinstance(data, str):
        try:
            data = data.encode("latin1")
        except UnicodeEncodeError:
            raise _RefusedError("text that is no latin-1", "the bytes of an array") from None
    if not isinstance(data, bytes | bytearray):
        raise _RefusedError(type(data).__name__, "the bytes of an array")
    return data
