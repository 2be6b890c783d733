"""What every corpus file declares and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    import mne

    from mdjpt_platform.config import CorpusConfig


Plane = dict[str, tuple[float, float]]
"""Emotion word -> (valence, arousal), both in [-1, 1]."""


@dataclass(frozen=True)
class Stimulus:
    """Something that a corpus shows, as its publishers describe it."""

    id: str
    """As in `Trial.stimulus`."""
    label: str | None
    """Emotion word that the publishers aimed at; None where only ratings tell."""
    seconds: float | None
    """Length in the files the reader opens; None: unpublished, or different for every subject."""
    session: int = 0
    """The session that shows it; 0: every session."""


@dataclass(frozen=True)
class Facts:
    """Declared facts of a public corpus (as published; a copy may declare deviations in its CorpusConfig)."""

    title: str
    channels: tuple[str, ...]
    """Channels in file order, EEG only."""
    rate: float
    """Samples per second of the files the reader opens; where copies differ, the most frequent."""
    recorded: float
    """Samples per second of the amplifier."""
    subjects: int
    sessions: int
    shown: tuple[Stimulus, ...]
    """Every stimulus, in the order of the files (in order of number where every subject saw another order)."""
    unit: str
    """Unit of the numbers in the files: 'uV', 'V' or a note on a known error."""
    labels: dict[str, tuple[str, ...]]
    """Targets customary in the literature: class names in order of their code. Schemes that begin with `own_` cut each
    subject's own ratings, the others go by stimulus."""
    licence: str
    obtain: str
    citation: str
    tested: Literal["layout", "real"]
    """What the reader was tried on: files made to the published layout, or the publishers' own recordings."""
    affect: dict[str, Plane] = field(default_factory=dict)
    """Tables of valence and arousal by emotion word: `unified` (the same for all corpora), `measured` (means of this
    corpus' ratings), `emod` (the grid of EMOD, AAAI 2026). A run names one (`CorpusConfig.affect`)."""

    @property
    def stimuli(self) -> int:
        """Different stimuli of one session."""
        return sum(stimulus.session in (0, 1) for stimulus in self.shown)


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
    problem: str = ""
    """Why this recording cannot be used, known from the listing alone (a session is missing); it is left out, with
    this reason, and the other recordings go on."""

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


def classes_of(facts: Facts, config: CorpusConfig) -> tuple[str, ...]:
    """Class names of the chosen label scheme: the run file's own, or the corpus' declared ones.

    Raises BadInput: the corpus has no such scheme.
    """
    if config.mapping is not None and config.mapping.classes:
        return config.mapping.classes
    if config.labels not in facts.labels:
        raise BadInput(facts.title, "labels", repr(config.labels), f"one of: {', '.join(facts.labels)}")
    return facts.labels[config.labels]


@dataclass(frozen=True)
class Corpus:
    """A layout: its facts and its two functions. One instance a file, listed in CORPORA."""

    layout: str
    facts: Facts
    recordings: Callable[[str, CorpusConfig, Path], list[Recording]]
    """(corpus name, configuration, folder) -> recordings, sorted by (subject, session).

    Reads names, sizes and small side files, no signals. Raises BadInput: folder absent, no recording in it, a side file
    that all recordings need absent. What is wrong with one recording alone goes into its `problem`."""
    read: Callable[[Recording], list[Segment]]
    """Raises BadInput: truncated or foreign file, shapes other than declared, hostile pickle."""
