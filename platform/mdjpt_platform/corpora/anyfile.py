"""One recording of anybody's, in any file MNE can open: which of its channels are scalp EEG, and at which sites.

No corpus stands behind it, so nothing is declared: names are read, positions in the file where names say nothing, and
a file whose electrodes cannot be placed is refused. What the file itself calls bad, channels or stretches, is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mne

from mdjpt_platform.corpora import rawfile
from mdjpt_platform.corpora.base import Segment, Trial
from mdjpt_platform.corpora.digitised import nearest_sites
from mdjpt_platform.corpora.mapping import table
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.montage import DROPPED, canonical, positions

EARS = frozenset({"A1", "A2", "M1", "M2", "A1A2", "M1M2", "A1+A2", "M1+M2", "LM", "RM"})
"""References behind a dash that leave a channel what it was: a site against the ears."""
OTHERS = re.compile(
    r"(EEG\W*)?(ECG|EKG|[VHLR]?EOG|[VH]EO|[LR]OC\b|EMG|CHIN|GSR|EDA|RESP|PLETH|PPG|SPO2|SAO2|ET?CO2|PULSE|PHOTIC|STATUS|"
    r"TRIG|STI|MARK|EVENT|DC\d|EXG|ERG|TEMP|ACC|GYRO|GYR|COUNT|BATT|SYNC|REF$|GND$|H[LR]$|X\d+$|AUX|ANNOT)",
    re.IGNORECASE,
)
"""What is no scalp EEG whatever the file's type for it says: EDF knows no types."""
SHOWN = 8
"""Names in a message."""


@dataclass(frozen=True)
class Opened:
    """A recording whose EEG channels bear 10-05 names."""

    raw: mne.io.BaseRaw
    files: tuple[str, ...]
    """Every file it is in."""
    left_out: tuple[str, ...] = ()
    """Channels that the file calls EEG and that are no scalp site by name or place."""
    marked: tuple[str, ...] = ()
    """Channels that the file calls bad, by their 10-05 names."""
    placed: tuple[str, ...] = ()
    """`E11 as FZ`: channels that were named by their position."""
    artefacts: tuple[tuple[float, float], ...] = ()
    """(start, stop) in seconds of annotations called BAD..., in order, those that touch merged."""


def open_recording(path: Path, rename: Path | None = None) -> Opened:
    """Open a file lazily; `rename`: table with columns name, rename and perhaps type, status (as `channels.csv`).

    Raises BadInput: no such file, unreadable or truncated, no EEG channel, channels that have no place.
    """
    if not path.exists():
        raise BadInput(path, "file", "nothing there", "a recording")
    files = tuple(str(part) for part in rawfile.parts(path))
    raw = rawfile.open_raw(path, files)
    if rename is not None:
        raw = rawfile.set_channels(raw, _renaming(rename, raw.ch_names), rename)
    kinds = raw.get_channel_types()
    named = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"]
    candidates = [name for name in named if not OTHERS.match(name.strip())]
    if not candidates:
        found = ", ".join(named[:SHOWN]) or f"{len(kinds)} channels, none of type EEG"
        raise BadInput(path, "channels", f"no EEG ({found})", "EEG channels")
    sites = sites_of(candidates)
    placed: dict[str, str] = {}
    unknown = [name for name in candidates if name not in sites and canonical(name) not in DROPPED]
    if len(unknown) > len(sites):  # a few odd names are odd channels, most of them another nomenclature
        placed = nearest_sites(raw, candidates)
        if not placed:
            raise _without_place(path, candidates, unknown)
        sites = placed
    twice = sorted({site for site in sites.values() if list(sites.values()).count(site) > 1})
    if twice:
        spelled = ", ".join(name for name in sites if sites[name] == twice[0])
        raise BadInput(path, "channels", f"{twice[0]} twice ({spelled})", "every site once (--rename tells which)")
    left_out = tuple(name for name in named if name not in sites)
    marked = tuple(sites[name] for name in raw.info["bads"] if name in sites)
    # a name that is free once the recording's others are renamed may be taken now, so they go by way of a third
    raw.set_channel_types(dict.fromkeys(left_out, "misc"), on_unit_change="ignore", verbose="ERROR")
    for names in ({name: f"\0{name}" for name in raw.ch_names}, {f"\0{name}": site for name, site in sites.items()}):
        raw.rename_channels(names, verbose="ERROR")
    stretches = _artefacts(raw)
    told = tuple(f"{name} as {site}" for name, site in placed.items())
    return Opened(raw, files, left_out, marked, told, stretches)


def segment_of(opened: Opened, start: float = 0.0, stop: float | None = None) -> Segment:
    """The recording as one trial from `start` to `stop` seconds. Raises BadInput: no stretch of it."""
    raw = opened.raw
    length = raw.n_times / raw.info["sfreq"]
    end = length if stop is None else stop
    if not 0 <= start < end <= length + 1 / raw.info["sfreq"]:
        raise BadInput(opened.files[0], "tmin, tmax", f"{start:g} s to {end:g} s", f"within its {length:.2f} s")
    return Segment(raw, (Trial(1, "1", 1, None, start=start, stop=stop),))


def sites_of(names: Sequence[str]) -> dict[str, str]:
    """Name in the file -> 10-05 site, for the names that say one: `EEG Fp1-Ref`, `T3`, `C3-A2`; `C3-CZ` if all have CZ.

    Ears, mastoids and all other names are left out.
    """
    known = positions()
    found = {name: canonical(name) for name in names if canonical(name) in known}
    behind = {name: canonical(name).rpartition("-")[::2] for name in names if name not in found}
    one_for_all = not found and len({reference for _, reference in behind.values()}) == 1
    for name, (site, reference) in behind.items():
        if canonical(site) in known and (reference in EARS or one_for_all):
            found[name] = canonical(site)
    return {name: found[name] for name in names if name in found}


def _renaming(path: Path, present: Sequence[str]) -> list[dict[str, str]]:
    rows = table(path, ",", ["name", "rename"])
    odd = [row["type"] for row in rows if row.get("type", "").upper() not in ("", *rawfile.KINDS)]
    if odd:
        raise BadInput(path, "type", odd[0], ", ".join(rawfile.KINDS))
    mine = [{"type": "", **row} for row in rows if row["name"] in present]
    if not mine:
        raise BadInput(path, "name", "no channel of the recording", f"some of {', '.join(present[:SHOWN])}, ...")
    return mine


def _without_place(path: Path, candidates: Sequence[str], unknown: Sequence[str]) -> BadInput:
    known = positions()
    pairs = [name for name in unknown if all(canonical(part) in known for part in canonical(name).split("-"))]
    more = f", ... ({len(unknown)} of {len(candidates)})" if len(unknown) > SHOWN else ""
    names = ", ".join(name.strip() for name in unknown[:SHOWN]) + more
    if len(pairs) > len(unknown) / 2:
        return BadInput(path, "channels", f"differences between two sites: {names}", "channels with one reference")
    expected = "10-05 names such as Fp1, Cz, O2, or electrode positions in the file; --rename TABLE.csv gives names"
    return BadInput(path, "channels", f"no known site: {names}", expected)


def _artefacts(raw: mne.io.BaseRaw) -> tuple[tuple[float, float], ...]:
    first = raw.first_time  # MNE counts from the amplifier's start, a file may have been cut since
    spans = sorted(
        (float(one["onset"]) - first, float(one["onset"] + one["duration"]) - first)
        for one in raw.annotations
        if str(one["description"]).upper().startswith("BAD")
    )
    merged: list[tuple[float, float]] = []
    for start, stop in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
