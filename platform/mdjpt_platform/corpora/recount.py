"""Facts counted anew in a folder of recordings, and where they differ from the declared ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Trial, classes_of

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

T = TypeVar("T")
Follow = Callable[[Iterable[Recording]], Iterable[Recording]]
"""Passes recordings on; a progress bar, say."""


@dataclass
class Recount:
    """What a folder holds."""

    subjects: set[str] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)
    recordings: int = 0
    opened: int = 0
    """Recordings whose files were opened; what follows is about them."""
    trials: int = 0
    channels: set[tuple[str, ...]] = field(default_factory=set)
    """EEG channels in file order, one entry a kind of file."""
    rates: set[float] = field(default_factory=set)
    seconds: dict[str, set[float]] = field(default_factory=dict)
    """Stimulus -> lengths met."""
    labels: dict[str, set[str | None]] = field(default_factory=dict)
    """Stimulus -> labels met in the chosen scheme."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Recording -> what is wrong with it."""


def recount(
    corpus: Corpus, config: CorpusConfig, root: Path, *, every: bool = True, follow: Follow = lambda some: some
) -> Recount:
    """Count what lies in `root`; with `every` false only the first usable recording is opened.

    Raises BadInput: the folder as a whole is not of the layout.
    """
    from mdjpt_platform.errors import BadInput

    classes_of(corpus.facts, config)
    listed = corpus.recordings("corpus", config, root)
    found = Recount({r.subject for r in listed}, {r.session for r in listed}, len(listed))
    for recording in follow(listed):
        if recording.problem:
            found.unusable[recording.id] = recording.problem
            continue
        try:
            segments = corpus.read(recording)
        except BadInput as error:
            found.unusable[recording.id] = str(error)
            continue
        found.opened += 1
        for segment in segments:
            kinds = zip(segment.raw.ch_names, segment.raw.get_channel_types(), strict=True)
            found.channels.add(tuple(name for name, kind in kinds if kind == "eeg"))
            rate = float(segment.raw.info["sfreq"])
            found.rates.add(rate)
            for trial in segment.trials:
                found.trials += 1
                found.seconds.setdefault(trial.stimulus, set()).add(_length(trial, segment.raw.n_times / rate))
                found.labels.setdefault(trial.stimulus, set()).add(trial.label)
        if not every:
            break
    return found


def differences(facts: Facts, config: CorpusConfig, found: Recount) -> list[str]:
    """One line for each way in which the folder differs from the declared facts; empty: it is the published corpus.

    Layouts that leave their facts to the files (`bids`, `folder`) differ in nothing.
    """
    if not facts.shown:
        return []
    lines = []
    shown = {stimulus.id: stimulus for stimulus in facts.shown}
    if len(found.subjects) != facts.subjects:
        lines.append(f"subjects: {len(found.subjects)} found, {facts.subjects} declared")
    if len(found.sessions) != (config.facts.sessions or facts.sessions):
        lines.append(f"sessions: {len(found.sessions)} found, {config.facts.sessions or facts.sessions} declared")
    for recording, reason in found.unusable.items():
        lines.append(f"{recording}: {reason}")
    if not found.opened:
        return lines
    lines += [
        f"channels: {len(names)} found, differing in {', '.join(sorted(set(names) ^ set(facts.channels))) or 'order'}"
        for names in found.channels - {facts.channels}
    ]
    lines += [f"rate: {rate:g} Hz found, {facts.rate:g} Hz declared" for rate in sorted(found.rates - {facts.rate})]
    expected = {stimulus.id for stimulus in facts.shown if stimulus.session in (0, *found.sessions)}
    if config.facts.stimuli is not None:
        expected = set(map(str, config.facts.stimuli))
    for word, some in (("no", expected - set(found.labels)), ("undeclared", set(found.labels) - expected)):
        if some:
            lines.append(f"stimuli: {word} {', '.join(sorted(some)[:8])}{' ...' if len(some) > 8 else ''}")
    for stimulus, lengths in found.seconds.items():
        declared = config.facts.seconds or (shown[stimulus].seconds if stimulus in shown else None)
        wrong = [length for length in lengths if declared is not None and abs(length - declared) > 1.5 / facts.rate]
        if wrong:
            lines.append(f"seconds of stimulus {stimulus}: {wrong[0]:g} found, {declared:g} declared")
    if not config.labels.startswith("own_"):
        classes = classes_of(facts, config)
        for stimulus, labels in found.labels.items():
            aimed = shown[stimulus].label if stimulus in shown else None
            if len(labels) > 1:
                lines.append(f"label of stimulus {stimulus}: {', '.join(map(str, labels))}, one declared")
            elif aimed in classes and labels != {aimed}:
                lines.append(f"label of stimulus {stimulus}: {next(iter(labels))} found, {aimed} declared")
    return lines


def _length(trial: Trial, whole: float) -> float:
    return (whole if trial.stop is None else trial.stop) - trial.start
