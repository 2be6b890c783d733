"""The table of episodes: which two subjects, which trials, which cut points. A pure function, no samples in it.

Episode number e = step x K + slot. For every corpus by itself, e walks through a permutation of the pairs
(subject, subject, session) that is drawn anew whenever all pairs were used, so every pair comes once before any comes
twice (released code: one shared random index modulo list length, multi_dataloader.py:147-158). Every draw is seeded by
(seed, corpus name, number), so rows do not depend on the machine, the worker count, the other corpora or the past:
resuming is an integer.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mdjpt_platform.config import Positives
from mdjpt_platform.errors import BadInput

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two subjects of one session with the stimuli that both saw, in the order of the stimulus ids."""

    session: int
    subjects: tuple[str, str]
    rows: tuple[Indices, Indices]
    """Rows of the store's index, [V] each; entry i of both is the same stimulus."""
    cuts: Indices
    """Possible window starts of each stimulus, [V]: as many as fit into the shorter of the two trials."""


@dataclass(frozen=True)
class Draw:
    """One corpus' part of an episode."""

    a: Indices
    """[V] rows of the store's index, one subject."""
    b: Indices
    """[V] rows, the other subject; entry i is the partner of a's: the same stimulus, unless positives are shuffled."""
    start_a: Indices
    """[V] first sample of each window of a."""
    start_b: Indices
    """[V] first sample of each window of b: the same, unless the plan's positives are not aligned."""


@dataclass(frozen=True)
class Row:
    """One episode: a pair from every corpus."""

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


def pairs(index: pd.DataFrame, corpus: str, length: int, hop: int) -> tuple[Pair, ...]:
    """All pairs of different subjects in the same session that share at least two stimuli.

    Raises BadInput: a trial shorter than the window, no such pair (one subject, or nothing shown to two of them).
    """
    short = index[index["samples"] < length]
    if len(short):
        first = short.iloc[0]
        where = f"{corpus}: subject {first['subject']} session {first['session']} trial {first['trial']}"
        raise BadInput(where, "length", f"{first['samples']} samples", f"at least the window's {length}")
    seen: dict[int, dict[str, dict[tuple[str, int], int]]] = {}
    occurrence = index.groupby(["subject", "session", "stimulus"]).cumcount()
    for row, (subject, session, stimulus, nth) in enumerate(
        zip(index["subject"], index["session"], index["stimulus"], occurrence, strict=True)
    ):
        seen.setdefault(int(session), {}).setdefault(str(subject), {})[str(stimulus), int(nth)] = row
    samples = index["samples"].to_numpy()
    found = []
    for session, subjects in sorted(seen.items()):
        for one, other in itertools.combinations(sorted(subjects), 2):
            shared = sorted(set(subjects[one]) & set(subjects[other]))
            if len(shared) < 2:
                continue
            rows = tuple(np.array([subjects[who][key] for key in shared], dtype=np.int64) for who in (one, other))
            cuts = (np.minimum(samples[rows[0]], samples[rows[1]]) - length) // hop + 1
            found.append(Pair(session, (one, other), (rows[0], rows[1]), cuts.astype(np.int64)))
    if not found:
        raise BadInput(
            corpus, "subjects", f"{index['subject'].nunique()} with no pair", "two subjects who share two stimuli"
        )
    return tuple(found)


@dataclass(frozen=True)
class Plan:
    """Episodes of a run. `pairs` by corpus in the run's order; `hop` in samples by corpus; K = `episodes`.

    `positives` (config.ContrastConfig) decides what stands beside a window of the first subject; that subject's side is
    the same whatever it is.
    """

    pairs: dict[str, tuple[Pair, ...]]
    hop: dict[str, int]
    seed: int
    episodes: int
    positives: Positives = "aligned"

    @cached_property
    def _orders(self) -> dict[tuple[str, int], Indices]:
        return {}

    def row(self, step: int, slot: int) -> Row:
        """Episode `slot` of `step`."""
        return Row(step, slot, {name: self._draw(name, step * self.episodes + slot) for name in self.pairs})

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """Episodes of the steps [start, stop), by step and slot."""
        return (self.row(step, slot) for step in range(start, stop) for slot in range(self.episodes))

    def shard(self, rank: int, world: int, start: int, stop: int) -> Iterator[Row]:
        """The rows of `rows` that a worker owns: slots rank, rank + world, ... of every step."""
        return (row for row in self.rows(start, stop) if row.slot % world == rank)

    def _draw(self, name: str, number: int) -> Draw:
        choices = self.pairs[name]
        cycle, place = divmod(number, len(choices))
        key = zlib.crc32(name.encode())
        if (name, cycle) not in self._orders:
            self._orders[name, cycle] = np.random.default_rng((self.seed, key, 0, cycle)).permutation(len(choices))
        pair = choices[self._orders[name, cycle][place]]
        dice = np.random.default_rng((self.seed, key, 1, number))
        one = other = dice.integers(pair.cuts) * self.hop[name]
        rows = pair.rows[1]
        if self.positives == "same_stimulus":
            other = dice.integers(pair.cuts) * self.hop[name]
        elif self.positives == "shuffled":
            partner = _cycle(dice, len(rows))
            rows, other = rows[partner], other[partner]
        return Draw(pair.rows[0], rows, one, other)


def _cycle(dice: np.random.Generator, count: int) -> Indices:
    """A random permutation of one cycle, so that none of two or more keeps its place."""
    order = dice.permutation(count)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner


def windows_per_side(plan: Plan) -> dict[str, int]:
    """Most stimuli that a pair of each corpus shares: V, which sizes buffers and sets the chance level ln(2V - 1)."""
    return {name: max(len(pair.cuts) for pair in choices) for name, choices in plan.pairs.items()}
