"""Electrodes that bear no 10-05 name but a position in the file: the site that each lies at.

Only the sites that models read are handed out (some 30 mm apart): heads and digitisers differ by a third of that, and
finer names would be arbitrary.
"""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mdjpt_model.emod.channels import ELECTRODES
from mdjpt_platform.preprocess.montage import positions

RADIUS = 95.0
"""mm: a head on which distances between directions are told."""
TURNS = 5
"""Times that the head is turned to where it fits best: caps and digitisers differ in where they see the ears."""
NEAR = 17.0
"""mm; about half the way from one site to the next."""
Array = NDArray[np.float64]
LEAST = 16
"""Positions from which the middle of a head can be told."""
HEADS = (0.06, 0.13)
"""Metres: radii of heads, so that positions in millimetres or of a phantom are not taken for a head's."""


def nearest_sites(raw: mne.io.BaseRaw, names: Sequence[str]) -> dict[str, str]:
    """Channel -> site of ELECTRODES, one to one, at the least sum of distances; with none within NEAR: left out.

    Both sets of positions are seen from the middle of the sphere that fits them best. Empty where the file has no
    positions in head coordinates for most of `names`, or where they are no head.
    """
    montage = raw.get_montage()
    if montage is None:
        return {}
    known = montage.get_positions()
    placed = {n: p for n in names if (p := known["ch_pos"].get(n)) is not None and np.isfinite(p).all() and p.any()}
    if known["coord_frame"] != "head" or len(placed) < max(LEAST, len(names) / 2):
        return {}
    points = np.array(list(placed.values()))
    middle, radius = _sphere(points)
    if not HEADS[0] < radius < HEADS[1]:
        return {}
    sites = {name: positions()[name] for name in ELECTRODES}
    there = _directions(np.array(list(sites.values())))  # their origin is the middle of their sphere
    here = _directions(points - middle)
    for _ in range(TURNS):
        rows, columns, away = _matched(here, there)
        near = away <= NEAR
        if near.sum() < LEAST:
            return {}
        here = here @ _turn(here[rows[near]], there[columns[near]])
    rows, columns, away = _matched(here, there)
    labels, targets = list(placed), list(sites)
    pairs = zip(rows, columns, away, strict=True)
    return {labels[row]: targets[column] for row, column, far in pairs if far <= NEAR}


def _matched(here: Array, there: Array) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """One-to-one pairs of directions and how far they lie apart, in mm."""
    away = RADIUS * np.arccos(np.clip(here @ there.T, -1, 1))
    rows, columns = linear_sum_assignment(np.minimum(away, 2 * NEAR))  # the hopeless do not push the others about
    return rows, columns, away[rows, columns]


def _turn(here: Array, there: Array) -> Array:
    """The rotation R for which `here @ R` lies nearest to `there` (Kabsch 1976)."""
    u, _, v = np.linalg.svd(here.T @ there)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    return np.asarray(u @ flip @ v)


def _sphere(points: Array) -> tuple[Array, float]:
    """Middle and radius of the best sphere: |p - c|^2 = r^2 is linear in (c, r^2 - |c|^2)."""
    solved = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
    middle = solved[:3]
    return middle, float(np.sqrt(max(solved[3] + middle @ middle, 0.0)))


def _directions(points: Array) -> Array:
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))
