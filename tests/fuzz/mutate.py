"""Damage of every kind, drawn from one random generator: equal seeds give equal inputs."""

from __future__ import annotations

import copy
import pickletools
import random
import struct
from typing import Any

NUMBERS = (
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**24,
    2**28,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, -1e308, "", "../../x", "/etc/passwd", "signals/../../x.npy",
    "\0",
    "\x1b[31m", "a" * 5000, [], {}, [[]], "=1+1", "<script>", "{{7*7}}", "NaN", 1e-320,
)  # fmt: skip
GLOBALS = (
    b"os\nsystem", b"posix\nsystem", b"builtins\neval", b"builtins\ngetattr", b"numpy\nndarray", b"numpy\ndtype",
    b"numpy.core.multiarray\n_reconstruct", b"numpy._core.multiarray\nscalar", b"numpy._core.numeric\n_frombuffer",
    b"_codecs\nencode", b"copyreg\n_reconstructor", b"subprocess\nPopen",
)  # fmt: skip
OPERATIONS = list(pickletools.opcodes)


def scrambled(content: bytes, rng: random.Random) -> bytes:
    """Bytes with some flipped, cut out, doubled, moved or replaced by telling numbers."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if data:
                data[place % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[place % len(data)] = rng.randrange(256)
            case 2:
                del data[place : place + rng.choice((1, 4, 16, 200))]
            case 3:
                data[place:place] = data[place : place + rng.randrange(1, 40)]
            case 4:
                width = rng.choice(("<H", "<I", "<Q", ">I"))
                top = 1 << 8 * struct.calcsize(width)
                number = struct.pack(width, rng.choice(NUMBERS) % top)
                data[place : place + len(number)] = number
            case 5:
                del data[place:]
    return bytes(data)


def operations(content: bytes) -> list[bytes]:
    """A pickle as its operations, each with its argument."""
    starts = [position for _, _, position in pickletools.genops(content)]
    ends = [*starts[1:], len(content)]
    return [content[start:end] for start, end in zip(starts, ends, strict=True) if start is not None]


def operation(rng: random.Random) -> bytes:
    """Any operation with an argument that fits it, or nearly."""
    kind = rng.choice(OPERATIONS)
    code = kind.code.encode("latin1")
    if kind.arg is None:
        return code
    number = rng.choice(NUMBERS)
    lengths = {-2: "<B", -3: "<i", -4: "<I", -5: "<Q"}
    if kind.name in ("GLOBAL", "INST"):
        return code + rng.choice(GLOBALS) + b"\n"
    if kind.arg.n == pickletools.UP_TO_NEWLINE:
        return code + rng.choice((b"1", b"-5", b"'touch canary'", b"9" * 400, str(number).encode())) + b"\n"
    if kind.arg.n in lengths:
        text = rng.choice((b"", b"latin1", b"touch canary", b"system", b"f8", bytes(40)))
        width = lengths[kind.arg.n]
        length = len(text) if rng.random() < 0.7 else number % (1 << 8 * struct.calcsize(width) - 1)
        return code + struct.pack(width, length) + text
    return code + (number % (1 << 8 * kind.arg.n)).to_bytes(kind.arg.n, "little")


def pickled(content: bytes, rng: random.Random) -> bytes:
    """A pickle whose operations were dropped, doubled, moved, or joined by others; sometimes its bytes too."""
    parts = operations(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        place = rng.randrange(len(parts)) if parts else 0
        match rng.randrange(6):
            case 0 if parts:
                del parts[place]
            case 1 if parts:
                parts[place:place] = [parts[place]] * rng.choice((1, 2, 3000 if rng.random() < 0.02 else 5))
            case 2 if parts:
                parts.insert(rng.randrange(len(parts)), parts.pop(place))
            case 3 | 4:
                parts.insert(place, operation(rng))
            case 5 if parts:
                parts[place] = operation(rng)
    found = b"".join(parts)
    return scrambled(found, rng) if rng.random() < 0.2 else found


def leaf(tree: Any, rng: random.Random) -> Any:
    """A JSON tree with one value replaced, removed, renamed or doubled."""
    tree = copy.deepcopy(tree)
    node, trail = tree, []
    while isinstance(node, dict | list) and node and (not trail or rng.random() < 0.8):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        trail.append((node, key))
        node = node[key]
    if not trail:
        return rng.choice(VALUES)
    parent, key = trail[-1]
    match rng.randrange(4):
        case 0 if isinstance(parent, dict):
            parent[str(rng.choice(VALUES))] = parent.pop(key)
        case 1:
            del parent[key]
        case 2 if isinstance(node, int) and not isinstance(node, bool):
            parent[key] = node + rng.choice((-1, 1, *NUMBERS))
        case _:
            parent[key] = rng.choice(VALUES)
    return tree
