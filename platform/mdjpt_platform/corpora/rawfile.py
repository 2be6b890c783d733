"""Any file with EEG that MNE can open: lazily, whole, typed by a table of channels.

MNE takes some truncated files for short ones, so those whose header tells a size are held against it: EDF, BDF, FIF,
and EEGLAB with its numbers in a `.fdt`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import mne

from mdjpt_platform.corpora import edf, fif
from mdjpt_platform.errors import BadInput

SUFFIXES = (".fif", ".edf", ".bdf", ".gdf", ".vhdr", ".set", ".cnt", ".mff", ".raw")
"""What is opened: FIF, EDF, BDF, GDF, BrainVision, EEGLAB, Neuroscan or ANT, EGI (`.mff` is a folder)."""
KINDS = {
    "EEG": "eeg", "EOG": "eog", "VEOG": "eog", "HEOG": "eog", "ECG": "ecg", "EMG": "emg", "TRIG": "stim",
    "STIM": "stim", "RESP": "resp", "GSR": "gsr", "TEMP": "temperature", "REF": "misc", "MISC": "misc",
}  # fmt: skip
"""Type in a table of channels (BIDS' words and MNE's, in upper case) -> MNE's."""
VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}


def open_raw(path: str | Path, files: Collection[str]) -> mne.io.BaseRaw:
    """Lazy Raw. Raises BadInput: unknown suffix, truncated, unreadable, signals in a file that is not one of `files`.

    The last keeps a header from naming any file of the machine, and all that is read in the recording's checksum.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(path, "suffix", suffix or "none", ", ".join(SUFFIXES))
    if suffix in (".edf", ".bdf"):
        edf.check_whole(path)
    elif suffix == ".fif":
        fif.check_whole(path)
    opens = mne.io.read_raw_egi if suffix == ".raw" else mne.io.read_raw
    try:
        raw = opens(path, preload=False, verbose="ERROR")
    except Exception as error:  # a dozen formats, read by as many libraries, and no error that they share
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise BadInput(path, "EEG file", found, f"a whole {suffix} file") from None
    known = {Path(file).resolve() for file in files}
    for part in (Path(name) for name in raw.filenames if name is not None):
        if part.resolve() not in known and path.resolve() not in part.resolve().parents:
            raise BadInput(path, "signals", f"in {part.name}", f"in a file called {path.stem}.*")
        if part.suffix.lower() == ".fdt" and part.stat().st_size != (size := 4 * len(raw.ch_names) * raw.n_times):
            raise BadInput(part, "size", f"{part.stat().st_size} bytes", f"{size}, as {path.name} says")
    return raw


def parts(path: Path) -> list[Path]:
    """The file and those beside it that belong to it: of the same name but for the suffix, or pieces of a split FIF."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    split = re.compile(re.escape(path.stem) + r"-\d+\.fif")
    beside = [p for p in path.parent.iterdir() if p.stem == path.stem or split.fullmatch(p.name)]
    return [path, *sorted(part for part in beside if part != path and part.is_file())]


def set_channels(raw: mne.io.BaseRaw, rows: Iterable[Mapping[str, str]], where: object) -> mne.io.BaseRaw:
    """Types, names and bad channels from a table with the columns name, type and perhaps rename, status, units.

    EEG channels of the table must be in the file; other rows may describe what MNE does not count as a channel. A unit
    is used where the file has none of its own (EEGLAB, which MNE takes for microvolts). Raises BadInput.
    """
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    scale: dict[str, float] = {}
    for row in rows:
        name, word = row["name"], (row.get("type") or "").upper()
        if name not in raw.ch_names:
            if KINDS.get(word) == "eeg":
                raise BadInput(where, "channel", name, f"one of the file's: {', '.join(raw.ch_names)}")
            continue
        if name in kinds:
            raise BadInput(where, "channel", f"{name} twice", "every channel once")
        kinds[name] = KINDS.get(word, "misc") if word not in ("", "N/A") else raw.get_channel_types([name])[0]
        if (row.get("rename") or "").strip():
            names[name] = row["rename"].strip()
        if (row.get("status") or "").lower() == "bad":
            raw.info["bads"].append(name)
        factor = VOLTS.get(row.get("units") or "", 1e-6) / 1e-6
        if factor != 1 and kinds[name] in ("eeg", "eog", "ecg", "emg"):
            scale[name] = factor
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="ERROR")
    if isinstance(raw, mne.io.eeglab.eeglab.RawEEGLAB) and scale:
        raw.load_data(verbose="ERROR")
        for name, factor in scale.items():
            raw.apply_function(lambda row, factor=factor: row * factor, picks=[name], verbose="ERROR")
    try:
        raw.rename_channels(names)
    except ValueError as error:
        raise BadInput(where, "rename", " ".join(str(error).split())[:120], "names that differ") from None
    return raw
