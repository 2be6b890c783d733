"""A look at a pickle before it is loaded: is it small in everything but its bytes?

Python's unpickler believes the numbers in a file. A memo index of 2^28 makes it allocate 4 GiB, a length of 2^40 as
much as there is, and a tuple nested a million times, used as a key, overruns the stack and takes the process with it.
Arrays need none of that, so the operations are walked through first, their arguments skipped over.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

MAX_OPERATIONS = 10_000
"""The public corpora need below a hundred. Nothing can be nested deeper than this."""
MAX_MEMO = 2 * MAX_OPERATIONS
"""Python 2 counted from 1 and never reused a number."""
MAX_LINE = 512
"""Bytes of a number or name in protocol 0."""
_BY_CODE = {ord(one.code): one for one in pickletools.opcodes}
_LENGTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4,
            pickletools.TAKEN_FROM_ARGUMENT4U: 4, pickletools.TAKEN_FROM_ARGUMENT8U: 8}  # fmt: skip
_TEXT = ("STRING", "UNICODE")
"""Protocol 0: the bytes of an array as one line."""
_LINES = {"GLOBAL": 2, "INST": 2}
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


def check_operations(file: BinaryIO, size: int) -> None:
    """Walk through the pickle at the beginning of a file of `size` bytes, and return to its beginning.

    Raises ValueError: no pickle, too many operations, a memo index or a length beyond all reason.
    """
    for _ in range(MAX_OPERATIONS):
        code = file.read(1)
        kind = _BY_CODE.get(code[0]) if code else None
        if kind is None:
            raise ValueError(f"no operation {code!r} at byte {file.tell() - 1}" if code else "the file ends early")
        if kind.name == "STOP":
            file.seek(0)
            return
        _pass(file, kind, size)
    raise ValueError(f"more than {MAX_OPERATIONS} operations")


def _pass(file: BinaryIO, kind: pickletools.OpcodeInfo, size: int) -> None:
    """Skip the operation's argument."""
    if kind.arg is None:
        return
    if kind.name == "FRAME":  # its length promises what follows, operation by operation
        length = int.from_bytes(_exactly(file, 8), "little")
        if length > size - file.tell():
            raise ValueError(f"a frame of {length} bytes in a file of {size}")
        return
    if kind.arg.n == pickletools.UP_TO_NEWLINE:
        for _ in range(_LINES.get(kind.name, 1)):
            line = file.readline(size if kind.name in _TEXT else MAX_LINE)
            if not line.endswith(b"\n"):
                raise ValueError(f"a {kind.name} without end")
        number = line if kind.name in _MEMO else b"0"
        _check_memo(int(number))
    elif kind.arg.n in _LENGTHS:
        length = int.from_bytes(_exactly(file, _LENGTHS[kind.arg.n]), "little")
        if length > size - file.tell():
            raise ValueError(f"a {kind.name} of {length} bytes in a file of {size}")
        file.seek(length, 1)
    else:
        argument = _exactly(file, kind.arg.n)
        if kind.name in _MEMO:
            _check_memo(int.from_bytes(argument, "little"))


def _check_memo(index: int) -> None:
    if not 0 <= index <= MAX_MEMO:
        raise ValueError(f"memo index {index}")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("the file ends early")
    return data
