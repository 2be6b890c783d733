"""The table of episodes: which trials of every corpus, and which cut points. A pure function, no samples in it.

Episode number e = step x K + slot. Every draw is seeded by (seed, corpus name, number), so rows do not depend on the
machine, the worker count, the other corpora or the past: resuming is an integer. What a draw is, is the kind of the
plan: pairs.py for subjects who saw the same, regions.py for windows spread over the valence-arousal plane.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """One corpus' part of an episode."""

    a: Indices
    """[V] rows of the store's index, one subject; or any windows, where the plan draws no pairs."""
    b: Indices
    """[V] rows, the other subject; entry i is the partner of a's: the same stimulus, unless positives are shuffled. Empty
    where the plan draws no pairs."""
    start_a: Indices
    """[V] first sample of each window of a."""
    start_b: Indices
    """[V] first sample of each window of b: the same, unless the plan's positives are not aligned."""

    @cached_property
    def rows(self) -> Indices:
        """Rows of all windows, a before b."""
        return np.concatenate([self.a, self.b])

    @cached_property
    def starts(self) -> Indices:
        """First samples of all windows, a before b."""
        return np.concatenate([self.start_a, self.start_b])


@dataclass(frozen=True)
class Row:
    """One episode: a draw from every corpus."""

    step: int
    slot: int
    draws: dict[str, Draw]

    def flat(self) -> dict[str, Any]:
        """As one row of a table."""
        out: dict[str, Any] = {"step": self.step, "slot": self.slot}
        for name, draw in self.draws.items():
            out |= {f"{name}:a": draw.a, f"{name}:b": draw.b}
            out |= {f"{name}:start_a": draw.start_a, f"{name}:start_b": draw.start_b}
        return out

    @classmethod
    def from_flat(cls, row: Mapping[str, Any]) -> Row:
        """Inverse of `flat`."""
        names = [key[:-2] for key in row if key.endswith(":a")]
        parts = ("a", "b", "start_a", "start_b")
        draws = {n: Draw(*(np.asarray(row[f"{n}:{part}"], dtype=np.int64) for part in parts)) for n in names}
        return cls(int(row["step"]), int(row["slot"]), draws)


class Plan(ABC):
    """Episodes of a run, K = `episodes` a step."""

    episodes: int

    @property
    @abstractmethod
    def windows(self) -> dict[str, int]:
        """Most windows of each corpus in an episode, in the run's order: what buffers must hold."""

    @abstractmethod
    def size(self, name: str) -> tuple[int, float]:
        """Episodes until everything of corpus `name` has been drawn once, and its mean windows in an episode."""

    @abstractmethod
    def draw(self, name: str, number: int) -> Draw:
        """What corpus `name` gives to episode `number`."""

    def row(self, step: int, slot: int) -> Row:
        """Episode `slot` of `step`."""
        number = step * self.episodes + slot
        return Row(step, slot, {name: self.draw(name, number) for name in self.windows})

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """Episodes of the steps [start, stop), by step and slot."""
        return (self.row(step, slot) for step in range(start, stop) for slot in range(self.episodes))

    def shard(self, rank: int, world: int, start: int, stop: int) -> Iterator[Row]:
        """The rows of `rows` that a worker owns: slots rank, rank + world, ... of every step."""
        return (row for row in self.rows(start, stop) if row.slot % world == rank)
