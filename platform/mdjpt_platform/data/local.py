"""`exec.fetch: local`: episodes cut from this node's memory maps on a prefetch thread."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

import torch
from torch import Tensor

from mdjpt_platform.data.ahead import CPU, ahead
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.data.plan import Row
from mdjpt_platform.store import Store


def prefetch(
    rows: Iterable[Row],
    stores: Mapping[str, Store],
    length: Mapping[str, int],
    most: Mapping[str, int],
    held: int = 1,
    device: torch.device = CPU,
) -> Generator[Episode]:
    """Episodes of `rows` in order, assembled ahead (data/ahead.py); `most` windows by corpus (`Plan.windows`)."""

    def make(row: Row, memory: dict[str, Tensor]) -> Episode:
        return assemble(row, stores, length, memory)

    shapes = {name: (most[name], length[name], len(stores[name].channels)) for name in most}
    return ahead(rows, make, shapes, held, device)
