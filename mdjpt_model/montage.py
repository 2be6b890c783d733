"""From any cap to the 60 channels that every corpus is read in.

A channel that the cap has is taken as it is; an absent one is the plain mean of the nearest few that are there.
That is linear and fixed, so a cap is one matrix P [60, C] and the projection one product
(released code: a Python loop over channels in every step, MultiModel_PL.py:221-272).
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

UNIFIED: tuple[str, ...] = tuple(
    """FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8
    TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 O1 OZ O2""".split()  # noqa: SIM905
)
"""The published order of the 60 unified channels."""

ALIASES: dict[str, str] = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
"""Old 10-20 names of four sites."""


@lru_cache(maxsize=1)
def electrodes() -> dict[str, tuple[float, float, float]]:
    """Positions in mm (x right, y front, z up) of every 10-05 site by upper-case name (Oostenveld & Praamstra 2001)."""
    text = resources.files("mdjpt_model").joinpath("electrodes.json").read_text(encoding="utf-8")
    return {name: (x, y, z) for name, (x, y, z) in json.loads(text).items()}


def canonical(name: str) -> str:
    """Upper-case 10-05 name of a channel, old names replaced."""
    upper = name.strip().upper()
    return ALIASES.get(upper, upper)


@lru_cache(maxsize=1)
def neighbour_ranking() -> NDArray[np.int64]:
    """Rows of UNIFIED by distance from each, nearest first, itself last; [60, 60]."""
    where = np.array([electrodes()[name] for name in UNIFIED])
    distance = np.linalg.norm(where[:, None] - where[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")


def placed(channels: Sequence[str], known: Container[str], lacking: str) -> list[str]:
    """Canonical names of a cap. Raises ValueError: names that are not `known` (`lacking` says so), or given twice."""
    names = [canonical(name) for name in channels]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{lacking}: {', '.join(unknown)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"channels named twice: {', '.join(twice)}")
    return names


def projection(
    channels: Sequence[str], neighbours: NDArray[np.int64] | None = None, count: int = 3
) -> NDArray[np.float32]:
    """Matrix P [60, C] that turns a cap's channels into the unified ones.

    `neighbours` [60, 60] ranks unified channels as `neighbour_ranking` does and then alone decides who fills in for
    whom (as released). Without it every channel of the cap with a known position is a candidate, also those outside
    the 60 (the released code drops AF7, F9 ... silently).

    Raises ValueError: unknown or duplicate names, no channels, a ranking of another shape.
    """
    table = electrodes()
    names = placed(channels, table, "channels without a 10-05 position")
    if not names:
        raise ValueError("no channels")
    if neighbours is not None and np.shape(neighbours) != (len(UNIFIED), len(UNIFIED)):
        raise ValueError(f"neighbour ranking: found shape {np.shape(neighbours)}, expected (60, 60)")
    column = {name: index for index, name in enumerate(names)}
    where = np.array([table[name] for name in names])
    matrix = np.zeros((len(UNIFIED), len(names)), dtype=np.float32)
    for row, name in enumerate(UNIFIED):
        if name in column:
            matrix[row, column[name]] = 1.0
            continue
        if neighbours is None:
            nearest = np.argsort(np.linalg.norm(where - np.array(table[name]), axis=1), kind="stable")
            fill = [int(index) for index in nearest[:count]]
        else:
            ranked = (UNIFIED[int(index)] for index in neighbours[row])
            fill = [column[other] for other in ranked if other in column][:count]
        for index in fill:
            matrix[row, index] = 1.0 / len(fill)
    return matrix
