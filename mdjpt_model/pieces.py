"""A part of a model whose rows know nothing of each other, taken in pieces of rows.

On a CPU most of a step goes into moving activations to memory and back (178,200 tokens x 128 in 30 windows of mdJPT);
those of a small piece stay in the cache between one operation and the next, which more than halves the time. And a
piece may be computed again in the backward pass instead of being stored (Chen et al. 2016): a third more time, and next
to no memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

PIECE = {"cpu": 4 << 20}
"""Bytes of a piece's activations of one layer in float32, by kind of device: about what a core's caches hold."""
PIECE_ELSEWHERE = 256 << 20
"""The same where it matters more that few kernels are started, as on a GPU."""

Parts = tuple[Tensor, ...]


def count(rows: int, row: int, device: torch.device) -> int:
    """Number of pieces for `rows` rows of `row` float32 values in one layer's activations; at least one."""
    if torch.compiler.is_exporting():
        return 1  # an exported program takes any number of rows, so it cannot have a number of pieces
    most = max(1, PIECE.get(device.type, PIECE_ELSEWHERE) // (4 * max(1, row)))
    return max(1, math.ceil(rows / most))


def in_pieces(part: Callable[..., Parts], inputs: Parts, pieces: int, stored: float, random: bool = False) -> Parts:
    """`part(*inputs)` computed over pieces of the rows that all inputs and outputs have in their first axis.

    stored: share of the pieces whose activations are kept for the backward pass, 0 to 1. random: `part` draws random
    numbers, which must be the same the second time.
    """
    if pieces == 1 and not torch.is_grad_enabled():
        return part(*inputs)
    cut = list(zip(*(x.chunk(pieces) for x in inputs), strict=True))
    kept = round(stored * len(cut)) if torch.is_grad_enabled() else len(cut)
    found = [part(*piece) for piece in cut[:kept]]
    for piece in cut[kept:]:
        found.append(cast(Parts, checkpoint(part, *piece, use_reentrant=False, preserve_rng_state=random)))
    return found[0] if len(found) == 1 else tuple(torch.cat(same) for same in zip(*found, strict=True))
