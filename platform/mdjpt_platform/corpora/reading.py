"""Steps that the readers share: find files, hold the configuration against the facts, make a typed Raw.

Every function names the file, the field, what was found and what was expected when it refuses (BadInput).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import mne
import numpy as np

from mdjpt_platform.corpora.affect import valence_class
from mdjpt_platform.corpora.base import Facts, Stimulus, Trial
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

MICROVOLT = 1e-6
"""Volts in a microvolt."""

READ_ERRORS = (
    OSError, ValueError, TypeError, RuntimeError, LookupError, AttributeError, AssertionError, struct.error,
)  # fmt: skip
"""What MNE raises on damaged files; it has no error of its own for them."""

Item = TypeVar("Item")


def existing_folder(*parts: str | Path) -> Path:
    """The joined absolute path, which must be a folder."""
    path = Path(*parts).absolute()
    if not path.is_dir():
        raise BadInput(path, "folder", "a file" if path.exists() else "nothing there", "a folder")
    return path


def existing_file(*parts: str | Path) -> Path:
    """The joined absolute path, which must be a file."""
    path = Path(*parts).absolute()
    if not path.is_file():
        raise BadInput(path, "file", "a folder" if path.exists() else "nothing there", "a file")
    return path


def matching(folder: Path, pattern: str) -> list[tuple[re.Match[str], Path]]:
    """Entries of `folder` whose whole name matches, in natural order (2 before 10). An empty list is refused."""
    hits = [(match, path) for path in folder.iterdir() if (match := re.fullmatch(pattern, path.name))]
    if not hits:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:3]) or "an empty folder"
        raise BadInput(folder, "recordings", names, f"names like {pattern}")
    return sorted(hits, key=lambda hit: natural(hit[1].name))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which digits count as numbers: `x2` before `x10`, which plain sorting gets wrong."""
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", text) if p)


def wanted(found: Iterable[tuple[str, Item]], config: CorpusConfig, where: Path) -> list[tuple[str, Item]]:
    """Keep the (subject, item) whose subject the configuration names; naming one that is absent is refused."""
    found = list(found)
    if config.subjects is None:
        return found
    present = {subject for subject, _ in found}
    absent = [subject for subject in config.subjects if subject not in present]
    if absent or not config.subjects:
        raise BadInput(where, "subjects", ", ".join(absent) or "none", f"some of {', '.join(sorted(present))}")
    return [item for item in found if item[0] in config.subjects]


def check_options(
    config: CorpusConfig, facts: Facts, *, sessions: bool = False, seconds: bool = True, mapping: bool = False
) -> None:
    """Refuse a label scheme the layout lacks and overrides its files have no room for."""
    if config.labels not in facts.labels:
        raise BadInput(facts.title, "labels", config.labels, f"one of {', '.join(facts.labels)}")
    if config.mapping is not None and not mapping:
        raise BadInput(facts.title, "mapping", "a table of one's own", "none: the layout says what its files mean")
    check_affect(config, facts)
    if not sessions and config.facts.sessions not in (None, facts.sessions):
        raise BadInput(facts.title, "facts.sessions", config.facts.sessions, f"{facts.sessions}: a fact of the layout")
    if not seconds and config.facts.seconds is not None:
        raise BadInput(facts.title, "facts.seconds", config.facts.seconds, "none: the files tell their own length")


def check_affect(config: CorpusConfig, facts: Facts) -> None:
    """Refuse a table of valence and arousal that the corpus does not have."""
    if config.affect != "unified" and config.affect not in facts.affect:
        raise BadInput(facts.title, "affect", config.affect, f"one of unified, {', '.join(facts.affect)}")


def place(word: str | None, config: CorpusConfig, facts: Facts) -> tuple[float | None, float | None]:
    """(valence, arousal) of an emotion word in the chosen table; (None, None) where it has no place."""
    return facts.affect.get(config.affect, {}).get(word or "", (None, None))


def declared_stimuli(config: CorpusConfig, facts: Facts) -> tuple[int, ...]:
    """Published numbers (1-based) of the stimuli in the files, in file order."""
    stimuli = config.facts.stimuli
    if stimuli is None:
        return tuple(range(1, facts.stimuli + 1))
    if not stimuli or len(set(stimuli)) < len(stimuli) or not all(1 <= s <= facts.stimuli for s in stimuli):
        raise BadInput(facts.title, "facts.stimuli", list(stimuli), f"different numbers in 1..{facts.stimuli}")
    return stimuli


def words(text: str) -> tuple[str, ...]:
    """The words of a line: a long list of channel names, legible."""
    return tuple(text.split())


def samples(seconds: float, rate: float) -> int:
    """Whole number of samples in `seconds`."""
    return round(seconds * rate)


def trial(position: int, shown: Stimulus, span: tuple[float, float], config: CorpusConfig, facts: Facts) -> Trial:
    """Trial of a stimulus with an emotion word, (start, stop) in seconds of its segment, seen in the order of the file.

    The scheme `default` keeps the word, the others sort it by valence; (valence, arousal) come from the chosen table.
    """
    label = in_scheme(shown.label if config.labels == "default" else valence_class(shown.label or ""), config, facts)
    return Trial(position, shown.id, position, label, *place(shown.label, config, facts), *span)


def in_scheme(label: str | None, config: CorpusConfig, facts: Facts) -> str | None:
    """The label if the chosen scheme has it, else None (left out)."""
    return label if label in facts.labels[config.labels] else None


def check_shape(where: object, field: str, found: Sequence[int], expected: Sequence[int]) -> None:
    """Refuse an array whose shape differs from the declared one."""
    if tuple(found) != tuple(expected):
        raise BadInput(where, f"shape of {field}", tuple(found), tuple(expected))


def check_numbers(where: object, field: str, values: np.ndarray) -> None:
    """Refuse what is no real number, NaN and infinity included."""
    if values.dtype.kind not in "fiu":
        raise BadInput(where, f"type of {field}", values.dtype, "real numbers")
    # The sum is NaN or infinite iff some value is (or the values overflow): no array of booleans is built.
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(dtype=np.float64)
    if not np.isfinite(total):
        raise BadInput(where, field, "values that are NaN or infinite", "finite numbers")


def raw_from_microvolts(
    values: np.ndarray, names: Sequence[str], types: Sequence[str], rate: float, unscaled: Collection[str] = ()
) -> mne.io.RawArray:
    """Raw in volts from (channels, samples); rows named in `unscaled` are no voltages and keep their numbers."""
    scale = np.array([1.0 if name in unscaled else MICROVOLT for name in names])
    info = mne.create_info(list(names), rate, list(types))
    return mne.io.RawArray(np.multiply(values, scale[:, None], dtype=np.float64), info, verbose="ERROR")
