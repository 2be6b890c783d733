"""Results of costly steps on disk, so that a recipe that changes after them is not prepared from the raw files again.

`.work/steps/<key>/`: `pieces.npy` (float64, all pieces one after another) and `state.txt` (a checksum, and the rest as
JSON). A folder that is damaged or of another make counts as none. A float64 survives both files bit by bit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdjpt_platform.corpora.base import Trial
from mdjpt_platform.plain import array_of, json_of, read_text
from mdjpt_platform.preprocess.identical import Prints
from mdjpt_platform.preprocess.signals import Piece, Signals
from mdjpt_platform.store.read import file_sha256
from mdjpt_platform.store.write import Hashing, new_draft

KEPT, STATE, PIECES = "steps", "state.txt", "pieces.npy"
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, SyntaxError)
"""What reading a state raises that we did not write."""


@dataclass(frozen=True)
class Underway:
    """A recording between two steps."""

    signals: Signals
    prints: Prints
    """Of the signal as read."""
    before: dict[str, Any] | None = None
    """`quality.look` at the signal before it was changed; None: not looked at yet."""


def save_kept(folder: Path, underway: Underway) -> None:
    """Write a state; it appears whole or not at all. Raises OSError."""
    pieces = underway.signals.pieces
    shapes = [piece.data.shape for piece in pieces]
    draft = new_draft(folder.parent, folder.name)
    try:
        with (draft / PIECES).open("wb") as file:  # no fsync: the checksums tell what did not reach the disk
            out = Hashing(file)
            total = sum(piece.data.size for piece in pieces)
            out.header("<f8", (total,))
            for piece in pieces:
                out.write(np.ascontiguousarray(piece.data, dtype="<f8").data.cast("B"))
        # `asdict` would copy the signals
        rest = {name: getattr(underway.signals, name) for name in underway.signals.__dataclass_fields__}
        tree = {
            "signals": rest | {"pieces": [[asdict(trial) for trial in piece.trials] for piece in pieces]},
            "prints": asdict(underway.prints),
            "before": underway.before,
            "shapes": shapes,
            "sha256": out.sha.hexdigest(),
            "bytes": out.bytes,
        }
        text = json.dumps(tree, sort_keys=True)
        (draft / STATE).write_text(f"{_sum(text)}\n{text}\n", encoding="utf-8")
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already unless something failed


def load_kept(folder: Path) -> Underway | None:
    """The state in a folder, its arrays free to be written into; None (and the folder removed) if it is damaged."""
    try:
        tree = _tree(folder)
        if file_sha256(folder / PIECES) == tree["sha256"]:
            return _underway(tree, array_of(folder / PIECES))
    except DAMAGED:
        pass
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    return None


def is_kept(folder: Path) -> bool:
    """Whether a state is there, by its size; signals are not read, nothing is removed."""
    try:
        return bool((folder / PIECES).stat().st_size == _tree(folder)["bytes"])
    except DAMAGED:
        return False


def prune(work: Path, keys: Collection[str]) -> None:
    """Remove the kept states below a corpus' work folder but those named."""
    for folder in (work / KEPT).glob("*"):
        if folder.name not in keys:
            shutil.rmtree(folder, ignore_errors=True)


def _tree(folder: Path) -> dict[str, Any]:
    """What `state.txt` holds: the checksum of its second line, and that line. Raises ValueError, OSError."""
    checksum, text = read_text(folder / STATE).splitlines()
    if checksum != _sum(text):
        raise ValueError("damaged")
    tree: dict[str, Any] = json_of(text)
    return tree


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _underway(tree: dict[str, Any], flat: np.ndarray) -> Underway:
    parts = dict(tree["signals"])
    pieces, offset = [], 0
    for shape, trials in zip(tree["shapes"], parts["pieces"], strict=True):
        size = shape[0] * shape[1]
        data = np.array(flat[offset : offset + size], dtype=np.float64).reshape(shape)
        pieces.append(Piece(data, tuple(Trial(**trial) for trial in trials)))
        offset += size
    parts["pieces"] = tuple(pieces)
    parts["names"], parts["declared"] = tuple(parts["names"]), tuple(parts["declared"])
    parts["bad"] = {int(trial): tuple(names) for trial, names in parts["bad"].items()}
    parts["dropped"] = {int(trial): reason for trial, reason in parts["dropped"].items()}
    trials = {int(trial): mark for trial, mark in tree["prints"]["trials"].items()}
    return Underway(Signals(**parts), Prints(tree["prints"]["whole"], trials), tree["before"])
