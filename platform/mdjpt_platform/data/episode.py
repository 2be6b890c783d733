"""An episode: one row of the plan with its windows, cut from the node's memory maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mdjpt_platform.data.plan import Draw, Row
from mdjpt_platform.data.windows import cut_windows
from mdjpt_platform.store import Store


@dataclass(frozen=True)
class Episode:
    """One draw from every corpus, as windows."""

    row: Row
    windows: dict[str, Tensor]
    """By corpus [B, C, T] float32. Where the plan draws pairs B = 2V: rows 0..V-1 one subject, V..2V-1 the other, i and
    i + V partners (the same moment, if the plan's positives are aligned). Views of time-major cuts."""
    labels: dict[str, Tensor]
    """By corpus [B] int64: class code of each window's trial in the corpus' own scheme, -1 where it has none."""
    affect: dict[str, Tensor]
    """By corpus [B, 2] float32: valence and arousal of each window's trial in [-1, 1], NaN where unknown."""

    def __post_init__(self) -> None:
        """Refuse windows that do not belong to the row: a torn pair must be impossible."""
        for name, draw in self.row.draws.items():
            expected, found = (
                len(draw.rows),
                tuple(len(part[name]) for part in (self.windows, self.labels, self.affect)),
            )
            if found != (expected,) * 3:
                raise ValueError(f"{name}: windows, labels, affect: {found} of them for a plan row of {expected}")

    def to(self, device: torch.device) -> Episode:
        """The same on a device."""
        parts = (self.windows, self.labels, self.affect)
        return Episode(self.row, *({name: x.to(device, non_blocking=True) for name, x in p.items()} for p in parts))


def cut(store: Store, draw: Draw, length: int, out: Tensor | None = None) -> Tensor:
    """Windows of one corpus, [B, length, C] time-major; written into the first B rows of `out` if given.

    Raises ValueError: a window that does not lie inside its trial.
    """
    count = len(draw.rows)
    out = torch.empty(count, length, len(store.channels)) if out is None else out[:count]
    cut_windows(store, draw, length, out.numpy())
    return out


def assemble(
    row: Row, stores: Mapping[str, Store], length: Mapping[str, int], memory: Mapping[str, Tensor] | None = None
) -> Episode:
    """Cut all windows of an episode; `length` in samples by corpus."""
    windows = {
        name: cut(stores[name], draw, length[name], None if memory is None else memory[name]).transpose(1, 2)
        for name, draw in row.draws.items()
    }
    labels = {name: torch.from_numpy(stores[name].codes[draw.rows]) for name, draw in row.draws.items()}
    affect = {name: torch.from_numpy(stores[name].affect[draw.rows]) for name, draw in row.draws.items()}
    return Episode(row, windows, labels, affect)
