"""Episodes of pairs: two subjects of a session at the same moments of the same stimuli (mdJPT, CLISA).

For every corpus by itself, episodes walk through a permutation of the pairs (subject, subject, session) that is drawn
anew whenever all pairs were used, so every pair comes once before any comes twice (released code: one shared random
index modulo list length, multi_dataloader.py:147-158).
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mdjpt_platform.config import Positives
from mdjpt_platform.data.plan import Draw, Indices, Plan
from mdjpt_platform.errors import BadInput


@dataclass(frozen=True)
class Pair:
    """Two subjects of one session with the stimuli that both saw, in the order of the stimulus ids."""

    session: int
    subjects: tuple[str, str]
    rows: tuple[Indices, Indices]
    """Rows of the store's index, [V] each; entry i of both is the same stimulus."""
    cuts: Indices
    """Possible window starts of each stimulus, [V]: as many as fit into the shorter of the two trials."""


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
class PairPlan(Plan):
    """`pairs` by corpus in the run's order; `hop` in samples by corpus.

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

    @cached_property
    def windows(self) -> dict[str, int]:
        """2V by corpus, V the most stimuli that a pair shares: the chance level of the contrast is ln(2V - 1)."""
        return {name: 2 * max(len(pair.cuts) for pair in choices) for name, choices in self.pairs.items()}

    def size(self, name: str) -> tuple[int, float]:
        """Pairs, and the mean of their windows."""
        choices = self.pairs[name]
        return len(choices), sum(2 * len(pair.cuts) for pair in choices) / len(choices)

    def draw(self, name: str, number: int) -> Draw:
        """The next pair of the corpus' permutation, with its cut points."""
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
