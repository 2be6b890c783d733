"""A corpus about to be prepared: its recordings are listed and everything wrong with the run file is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mdjpt_platform.config import Config, CorpusConfig, StepConfig
from mdjpt_platform.corpora.base import Corpus, Recording, classes_of
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.finalise import check_ids
from mdjpt_platform.store.schema import store_folder

WORK = ".work"


@dataclass(frozen=True)
class Listing:
    """A corpus, its recordings, and where they come from and go to."""

    name: str
    corpus: Corpus
    config: CorpusConfig
    recipe: tuple[StepConfig, ...]
    recordings: tuple[Recording, ...]
    final: Path
    raw: Path
    keep: Literal["costly", "all", "none"]
    """Which results of steps to keep (`exec.keep_steps`)."""

    @property
    def work(self) -> Path:
        """Folder of the recordings' results; all recipes share it."""
        return self.final.parent / WORK


def list_corpus(config: Config, name: str, recipe: tuple[StepConfig, ...], corpora: Mapping[str, Corpus]) -> Listing:
    """List the recordings of a corpus of the run; reads no signals, writes nothing.

    Raises BadInput: unknown layout, label scheme or subject, no `exec.raw` entry, no recording, ids that name no file.
    """
    options = config.run.corpora[name]
    if options.layout not in corpora:
        raise BadInput("run file", f"corpora.{name}.layout", repr(options.layout), f"one of: {', '.join(corpora)}")
    corpus = corpora[options.layout]
    classes_of(corpus.facts, options)
    if name not in config.exec.raw:
        raise BadInput("run file", f"exec.raw.{name}", "nothing", "the folder of the raw recordings")
    raw = Path(config.exec.raw[name]).expanduser().absolute()
    recordings = corpus.recordings(name, options, raw)
    if options.subjects is not None:
        there = {recording.subject for recording in recordings}
        absent = [subject for subject in options.subjects if subject not in there]
        if absent:
            raise BadInput(raw, f"corpora.{name}.subjects", f"no {', '.join(absent)}", ", ".join(sorted(there)))
        recordings = [recording for recording in recordings if recording.subject in options.subjects]
    if not recordings:
        raise BadInput(raw, "recordings", "none", f"files of layout {options.layout}")
    check_ids([recording.id for recording in recordings])
    final = store_folder(config.exec.store, name, options, recipe).absolute()
    return Listing(name, corpus, options, recipe, tuple(recordings), final, raw, config.exec.keep_steps)


def check_names(config: Config, names: list[str]) -> None:
    """Raise BadInput for a corpus that the run does not have."""
    for name in names:
        if name not in config.run.corpora:
            raise BadInput("run file", "corpora", repr(name), f"one of: {', '.join(config.run.corpora)}")
