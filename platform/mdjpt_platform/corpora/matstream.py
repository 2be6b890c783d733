"""One branch of a nested MAT variable (versions 6 and 7), read as a stream: its siblings are passed over.

SciPy opens a variable whole. Where all subjects lie in one structure (DREAMER: 450 MB on disk, gigabytes unpacked) that
is a hundred times what a recording needs. A MAT variable is a tree of length-prefixed elements, so walking past a
branch costs nothing but its decompression, and damage behind the wanted one goes unnoticed. Source: MAT-File Format,
The MathWorks, "Level 5 MAT-File Format".

Nodes: numbers as arrays, text as str, cells as flat lists (column-major), a 1x1 structure as a dictionary.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import opened

MAX_BYTES = 2**30
"""Largest array or list of text read; DREAMER's have 6 MB."""
MAX_CHILDREN, MAX_DEPTH = 2**16, 16
_CHUNK = 1 << 16
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1",
           17: "u2"}  # fmt: skip
"""How values are stored (the element's type) -> NumPy; a variable of doubles may be stored as bytes."""
_DAMAGED = (
    OSError, EOFError, ValueError, TypeError, LookupError, OverflowError, MemoryError, zlib.error, struct.error,
)  # fmt: skip
"""What reading nonsense raises."""

Route = Sequence[str | int]
"""Field names and cell numbers (0-based) from a variable down to a node."""


class _Header(NamedTuple):
    kind: int
    shape: tuple[int, ...]
    name: str


def shape(path: str | Path, route: Route) -> tuple[int, ...]:
    """Shape of the node, as MATLAB has it; no values are read. Raises BadInput: as `branch`."""
    header: _Header = _walk(path, route, None)
    return header.shape


def branch(path: str | Path, route: Route, skip: Collection[str] = ()) -> Any:
    """The node with all below it but the fields named in `skip`.

    Raises BadInput: absent, truncated, no MAT file of version 6 or 7, nothing at the end of the route, a node that is
    no number, text, cell or 1x1 structure, or larger than the limits.
    """
    return _walk(path, route, skip)


def _walk(path: str | Path, route: Route, skip: Collection[str] | None) -> Any:
    try:
        with opened(path) as file:
            start = file.read(128)
            if len(start) < 128 or start[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
                raise ValueError("no header of version 5")
            return _Walk(file, "<" if start[126:128] == b"IM" else ">", skip).find(route)
    except _DAMAGED as error:
        found, place = f"{type(error).__name__}: {str(error)[:80]}", "/".join(map(str, route))
        raise BadInput(path, "MAT file", found, f"version 6 or 7, whole, with {place}") from None


_EMPTY = _Header(6, (0, 0), "")
"""A cell that was never filled: MATLAB writes a matrix of no bytes, without a header."""


class _Inflated(io.RawIOBase):
    """The next `size` bytes of a file, decompressed as they are asked for."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self.file, self.left, self.zlib = file, size, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data and not self.zlib.eof:
            given = self.zlib.unconsumed_tail
            if not given:
                given = self.file.read(min(_CHUNK, self.left))
                self.left -= len(given)
            data = self.zlib.decompress(given, len(buffer))
            if not (given or data or self.zlib.eof):
                raise EOFError("the file ends early")
        buffer[: len(data)] = data
        return len(data)


class _Walk:
    """A position in the file. `skip` None: the node's header is all that is wanted."""

    def __init__(self, file: io.BufferedReader, order: str, skip: Collection[str] | None) -> None:
        self.file, self.order, self.skip = file, order, skip

    def find(self, route: Route) -> Any:
        while self.file.peek(1):
            kind, size, _ = self._tag()
            after = self.file.tell() + size
            if kind == _COMPRESSED:
                inside = _Walk(io.BufferedReader(_Inflated(self.file, size), _CHUNK), self.order, self.skip)
                kind, size, _ = inside._tag()
            else:
                inside = self
            if kind == _MATRIX and size:
                header = inside._header()
                if header.name == route[0]:
                    return inside._descend(header, route[1:], 0)
            self.file.seek(after)
        raise ValueError("no such variable")

    def _descend(self, header: _Header, route: Route, depth: int) -> Any:
        if not route:
            return header if self.skip is None else self._content(header, depth)
        step, *rest = route
        names: list[Any] = self._fields(header) if header.kind == _STRUCT else list(range(self._children(header)))
        if header.kind not in (_CELL, _STRUCT) or step not in names:
            raise ValueError(f"nothing called {step}")
        for _ in range(names.index(step)):
            self._pass()
        return self._descend(self._child(), rest, depth + 1)

    def _content(self, header: _Header, depth: int) -> Any:
        if header is _EMPTY:
            return np.zeros((0, 0))
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels")
        if header.kind == _CELL:
            return [self._below(depth) for _ in range(self._children(header))]
        if header.kind == _STRUCT:
            found = {}
            for name in self._fields(header):
                if name in (self.skip or ()):
                    self._pass()
                else:
                    found[name] = self._below(depth)
            return found
        values = self._numbers()
        if header.kind == _CHAR:
            return "".join(map(chr, values.tolist()))
        if header.kind not in _NUMERIC or values.size != prod(header.shape):
            raise ValueError(f"{values.size} values in an array of class {header.kind} and shape {header.shape}")
        return values.reshape(header.shape, order="F")

    def _below(self, depth: int) -> Any:
        return self._content(self._child(), depth + 1)

    def _child(self) -> _Header:
        kind, size, _ = self._tag()
        if kind != _MATRIX:
            raise ValueError(f"element of type {kind} where a matrix belongs")
        return self._header() if size else _EMPTY

    def _pass(self) -> None:
        _, size, small = self._tag()
        if small is None:
            self._skip(size + -size % 8)

    def _header(self) -> _Header:
        flags = self._numbers()
        dimensions, name = self._numbers(), self._numbers()
        if flags.size != 2 or not 2 <= dimensions.size <= 32 or dimensions.min() < 0:
            raise ValueError("no array header")
        if flags[0] & 0x0800:
            raise ValueError("complex numbers")
        return _Header(int(flags[0]) & 0xFF, tuple(dimensions.tolist()), "".join(map(chr, name.tolist())))

    def _fields(self, header: _Header) -> list[str]:
        width, names = int(self._numbers()[0]), bytes(self._numbers().astype(np.uint8))
        if prod(header.shape) != 1 or width < 1:
            raise ValueError(f"a structure of shape {header.shape}, not 1x1")
        return [names[k : k + width].split(b"\0")[0].decode("ascii") for k in range(0, len(names), width)]

    def _children(self, header: _Header) -> int:
        if prod(header.shape) > MAX_CHILDREN:
            raise ValueError(f"a cell of shape {header.shape}")
        return prod(header.shape)

    def _numbers(self) -> np.ndarray[Any, Any]:
        kind, size, small = self._tag()
        if kind not in _STORED or size > MAX_BYTES:
            raise ValueError(f"{size} bytes of type {kind}")
        data = self._read(size) if small is None else small
        if small is None:
            self._skip(-size % 8)
        return np.frombuffer(data, np.dtype(self.order + _STORED[kind]))

    def _tag(self) -> tuple[int, int, bytes | None]:
        """(type, bytes, content if it is so short that it stands in the tag)."""
        (word,) = struct.unpack(f"{self.order}I", self._read(4))
        if word >> 16:
            return word & 0xFFFF, word >> 16, self._read(4)[: word >> 16]
        return word, *struct.unpack(f"{self.order}I", self._read(4)), None

    def _read(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError("the file ends early")
        return data

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, _CHUNK)))
