"""Episodes of windows that are spread evenly over the valence-arousal plane, for contrasts that need no pairs (EMOD).

EMOD (AAAI 2026) cuts the plane into 3 x 3 regions and takes a segment from each region of each data set; its step of m
rounds is a step of m episodes here. Its code fills an empty region with the next one, so that the region after a gap
is drawn more often, and lets that shift the regions of the data sets that follow (SYSTEMS 2.8): `empty: carried`. Here
by default a corpus takes the regions that it has in turn, by itself.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mdjpt_platform.config import Empty
from mdjpt_platform.data.plan import Draw, Indices, Plan
from mdjpt_platform.errors import BadInput

REGIONS = 9
"""Windows of a corpus in an episode."""
_EDGES = (-0.25, 0.5)
"""Thirds of EMOD's grid 0..8, cut at 3 and 6, brought to [-1, 1]."""
_NOBODY = np.empty(0, np.int64)


@dataclass(frozen=True)
class Region:
    """Trials of a corpus that lie in one region."""

    number: int
    """Valence third + 3 x arousal third."""
    rows: Indices
    """Rows of the store's index."""
    cuts: Indices
    """Possible window starts of each."""


def regions(index: pd.DataFrame, corpus: str, among: Indices, length: int, hop: int) -> tuple[Region, ...]:
    """The regions of the plane that the rows `among` of the index lie in, by valence third + 3 x arousal third.

    Trials without coordinates are left out. Raises BadInput: none has coordinates, or one is shorter than the window.
    """
    known = among[index[["valence", "arousal"]].notna().all(axis=1).to_numpy()[among]]
    if not len(known):
        raise BadInput(f"store of {corpus}", "valence, arousal", "no trial with coordinates",
                       "ratings, or labels with coordinates: a plan of regions draws by them")  # fmt: skip
    samples = index["samples"].to_numpy()[known]
    if samples.min() < length:
        short = index.iloc[known[samples.argmin()]]
        where = f"{corpus}: subject {short['subject']} session {short['session']} trial {short['trial']}"
        raise BadInput(where, "length", f"{short['samples']} samples", f"at least the window's {length}")
    thirds = [np.digitize(index[name].to_numpy(float)[known], _EDGES) for name in ("valence", "arousal")]
    number = thirds[0] + 3 * thirds[1]
    cuts = (samples - length) // hop + 1
    return tuple(Region(int(one), known[number == one], cuts[number == one]) for one in np.unique(number))


@dataclass(frozen=True)
class RegionPlan(Plan):
    """`regions` by corpus in the run's order; `hop` in samples by corpus.

    `empty`: `turns` takes the regions that a corpus has in turn, so each is drawn equally often over the run; `next` puts
    the next region that it has at the place of an absent one; `carried` does so and shifts all later regions of the
    episode, of this corpus and the following ones, as released. Within a region every trial comes once before any
    comes twice.
    """

    regions: dict[str, tuple[Region, ...]]
    hop: dict[str, int]
    seed: int
    episodes: int
    empty: Empty = "turns"

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """Corpus -> which of its regions stands at each of the REGIONS places of an episode; unless by turns."""
        found, shift = {}, 0
        for name, there in self.regions.items():
            known: dict[int, int] = {region.number: at for at, region in enumerate(there)}
            places = []
            for place in range(REGIONS):
                gap = 0
                while (place + shift + gap) % REGIONS not in known:
                    gap += 1
                places.append(known[(place + shift + gap) % REGIONS])
                shift += gap if self.empty == "carried" else 0
            found[name] = places
        return found

    def _turn(self, name: str, number: int, place: int) -> tuple[int, int]:
        """At a place of an episode: which region, and how often it has been drawn before."""
        if self.empty == "turns":
            turn, at = divmod(number * REGIONS + place, len(self.regions[name]))
            return at, turn
        places = self._places[name]
        return places[place], number * places.count(places[place]) + places[:place].count(places[place])

    @cached_property
    def _orders(self) -> dict[tuple[str, int, int], Indices]:
        return {}

    @property
    def windows(self) -> dict[str, int]:
        """REGIONS of every corpus."""
        return dict.fromkeys(self.regions, REGIONS)

    def size(self, name: str) -> tuple[int, float]:
        """Episodes until the last trial was drawn (of regions that are drawn at all), and windows in each."""
        there = self.regions[name]
        if self.empty == "turns":
            return -(-max(len(region.rows) for region in there) * len(there) // REGIONS), float(REGIONS)
        places = self._places[name]
        return max(-(-len(there[at].rows) // places.count(at)) for at in set(places)), float(REGIONS)

    def draw(self, name: str, number: int) -> Draw:
        """The next REGIONS windows of the corpus; side b is empty."""
        there, key = self.regions[name], zlib.crc32(name.encode())
        dice = np.random.default_rng((self.seed, key, 1, number))
        rows, starts = np.empty((2, REGIONS), np.int64)
        for place in range(REGIONS):
            at, turn = self._turn(name, number, place)
            region = there[at]
            cycle, nth = divmod(turn, len(region.rows))
            if (name, at, cycle) not in self._orders:
                order = np.random.default_rng((self.seed, key, 2 + at, cycle)).permutation(len(region.rows))
                self._orders[name, at, cycle] = order
            trial = self._orders[name, at, cycle][nth]
            rows[place], starts[place] = region.rows[trial], dice.integers(region.cuts[trial]) * self.hop[name]
        return Draw(rows, _NOBODY, starts, _NOBODY)
