"""What every corpus file declares and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mne

    from mdjpt_platform.config import CorpusConfig


@dataclass(frozen=True)
class Facts:
    """Declared facts of a public corpus (as published; a copy may declare deviations in its CorpusConfig)."""

    title: str
    channels: tuple[str, ...]
    """Channels in file order, EEG only."""
    rate: float
    """Samples per second of the files the reader opens."""
    subjects: int
    sessions: int
    stimuli: int
    """Different stimuli of one session."""
    unit: str
    """Unit of the numbers in the files: 'uV', 'V' or a note on a known error."""
    labels: dict[str, tuple[str, ...]]
    """Label schemes: class names in order of their code."""
    licence: str
    obtain: str
    citation: str


@dataclass(frozen=True)
class Trial:
    """One stimulus shown once."""

    trial: int
    """1-based position in the file."""
    stimulus: str
    """Equal for two trials iff the subjects saw the same thing."""
    play_order: int
    """1-based position in which the subject saw it; equals `trial` where unknown."""
    label: str | None
    """Class *name* in the chosen label scheme; None: unlabelled or left out by the scheme."""
    valence: float | None = None
    """In [-1, 1]."""
    arousal: float | None = None
    """In [-1, 1]."""
    start: float = 0.0
    """Seconds into its segment."""
    stop: float | None = None
    """Seconds into its segment; None: to the end."""


@dataclass(frozen=True)
class Recording:
    """One subject in one session: the unit of preparation. Listing recordings reads no signals."""

    corpus: str
    """The name used in results, e.g. `sim-a`."""
    layout: str
    """Key of CORPORA."""
    subject: str
    session: int
    files: tuple[str, ...]
    """Every file the reader opens for this recording (absolute); hashed for the cache."""
    options: CorpusConfig = field(repr=False)
    """The corpus' configuration: label scheme, facts overrides."""

    @property
    def id(self) -> str:
        """Unique inside a corpus; safe as a file name."""
        return f"sub-{self.subject}_ses-{self.session}"


@dataclass
class Segment:
    """Uninterrupted signal with the trials inside it. Continuous files give one segment, cut files one a trial."""

    raw: mne.io.BaseRaw
    """Volts, as MNE has it. Channel types set; names as in the file."""
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Corpus:
    """A layout: its facts and its two functions. One instance a file, listed in CORPORA."""

    layout: str
    facts: Facts
    recordings: Callable[[str, CorpusConfig, Path], list[Recording]]
    """(corpus name, configuration, folder) -> recordings, sorted by (subject, session).

    Raises BadInput: folder absent, no recording in it, a file that the layout demands absent."""
    read: Callable[[Recording], list[Segment]]
    """Raises BadInput: truncated or foreign file, shapes other than declared, hostile pickle."""
