"""Channel names and positions of the 10-05 system, and the repair of a channel from its neighbours."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import lru_cache

import mne
import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.errors import BadInput

ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
"""Names of the older 10-20 system, which MNE's montage holds beside the newer ones."""
DROPPED = frozenset({"M1", "M2", "A1", "A2", "A1-A2", "A2-A1", "CB1", "CB2"})
"""Typed as EEG in public files though not scalp EEG of the 10-05 system: mastoids, ears, cerebellar."""
MIN_SPLINE = 16
"""Good channels from which spherical splines are trusted; below, the montage covers too little of the sphere."""
NEAREST = 3
"""Neighbours of the other repair, the one mdJPT's released script uses."""

_PREFIX = re.compile(r"^(EEG|EEG:)[\s_-]*", re.IGNORECASE)
_SUFFIX = re.compile(r"(-(REF|LE|AVG|AVE|AR))?(-\d+)?\.*$", re.IGNORECASE)  # '-0', '-1': MNE's mark of a name met twice


@lru_cache(maxsize=1)
def positions() -> dict[str, NDArray[np.float64]]:
    """Upper-case 10-05 name -> position in metres, head coordinates, origin at the centre of the best sphere."""
    try:
        montage = mne.channels.make_standard_montage("colin27_1005")
    except ValueError:  # MNE before 1.13 knows the same positions by another name
        montage = mne.channels.make_standard_montage("standard_1005")
    info = mne.create_info(montage.ch_names, 1.0, "eeg", verbose="ERROR")
    info.set_montage(montage)
    place = {name.upper(): ch["loc"][:3].copy() for name, ch in zip(montage.ch_names, info["chs"], strict=True)}
    for name in (*ALIASES, *DROPPED):
        place.pop(name, None)
    points = np.array(list(place.values()))
    # |p - c|^2 = r^2 is linear in (c, r^2 - |c|^2)
    solved = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
    return {name: point - solved[:3] for name, point in place.items()}


def canonical(name: str) -> str:
    """`EEG Fp1-REF` -> `FP1`, `T3` -> `T7`; the name in upper case, known or not."""
    plain = name.strip().upper()
    if plain in DROPPED:
        return plain
    plain = _SUFFIX.sub("", _PREFIX.sub("", plain)).strip()
    return ALIASES.get(plain, plain)


def scalp_channels(names: Sequence[str], where: str) -> dict[str, int]:
    """Canonical scalp names -> row of the file's channel, in file order, mastoids and the like left out.

    Raises BadInput: a name that is neither a 10-05 position nor known to be droppable, a position named twice, none.
    """
    known = positions()
    rows: dict[str, int] = {}
    unknown, twice = [], []
    for row, name in enumerate(names):
        plain = canonical(name)
        if plain in DROPPED:
            continue
        if plain not in known:
            unknown.append(name)
        elif plain in rows:
            twice.append(f"{names[rows[plain]]} and {name}")
        else:
            rows[plain] = row
    if unknown:
        expected = "10-05 names (or another channel type, if they are not EEG)"
        raise BadInput(where, "channels", f"unknown {', '.join(unknown)}", expected)
    if twice:
        raise BadInput(where, "channels", f"the same position twice: {'; '.join(twice)}", "every position once")
    if not rows:
        raise BadInput(where, "channels", f"no scalp channel among {', '.join(names)}", "10-05 names")
    return rows


@lru_cache(maxsize=4096)
def repair(names: tuple[str, ...], bad: tuple[str, ...], method: str) -> NDArray[np.float64]:
    """Weights [len(bad), len(names)] that give bad channels from good ones (their own weight is zero).

    `spline`: spherical splines as in MNE (Perrin et al. 1989). `nearest`: inverse distance, three nearest.
    `auto`: splines given enough good channels.
    """
    good = [name for name in names if name not in bad]
    if method == "nearest" or (method == "auto" and len(good) < MIN_SPLINE):
        return _nearest(names, bad, good)
    place = positions()
    info = mne.create_info(list(names), 1.0, "eeg", verbose="ERROR")
    info.set_montage(mne.channels.make_dig_montage({name: place[name] for name in names}, coord_frame="head"))
    info["bads"] = list(bad)
    # interpolation is linear and has no memory: what it does to unit vectors is the whole of it
    unit = mne.EvokedArray(np.eye(len(names)), info, verbose="ERROR")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(dev_head_t|extrapolat|sphere).*")
        unit.interpolate_bads(reset_bads=False, method={"eeg": "spline"}, origin=(0.0, 0.0, 0.0), verbose="ERROR")
    return np.ascontiguousarray(unit.data[[names.index(name) for name in bad]])


def _nearest(names: tuple[str, ...], bad: tuple[str, ...], good: list[str]) -> NDArray[np.float64]:
    place, weights = positions(), np.zeros((len(bad), len(names)))
    for row, name in enumerate(bad):
        near = sorted((float(np.linalg.norm(place[name] - place[other])), other) for other in good)[:NEAREST]
        total = sum(1 / distance for distance, _ in near)
        for distance, other in near:
            weights[row, names.index(other)] = 1 / distance / total
    return weights
