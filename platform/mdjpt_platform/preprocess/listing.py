"""A corpus about to be prepared: its recordings are listed and everything wrong with the run file is said."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mdjpt_platform.config import Config, CorpusConfig, StepConfig
from mdjpt_platform.corpora.base import Corpus, Recording, classes_of
from mdjpt_platform.errors import BadInput
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.objects import at, is_uri
from mdjpt_platform.preprocess.finalise import check_ids
from mdjpt_platform.preprocess.recording import signature
from mdjpt_platform.preprocess.remote import Outline, outline
from mdjpt_platform.store.remote import working_root
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
    outline: Outline | None = None
    """Where the raw files are objects: which of them each file of the listing stands for."""
    scratch: Path | None = None
    """Folder of the node that such objects are fetched into, a recording at a time."""

    @property
    def work(self) -> Path:
        """Folder of the recordings' results; all recipes share it."""
        return self.final.parent / WORK

    def mark(self, file: str) -> str:
        """Hash that changes when a raw file does. Raises OSError."""
        return signature(file) if self.outline is None else self.outline.mark(file)

    def size(self, file: str) -> int:
        """Bytes of a raw file. Raises OSError."""
        return Path(file).stat().st_size if self.outline is None else self.outline.size(file)


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
    uri, remote = config.exec.raw[name], dict[str, Any]()
    if is_uri(uri):
        scratch = scratch_of(config.exec) / name
        with outline(at(uri), scratch) as whole:
            raw = whole.root
            recordings = corpus.recordings(name, options, raw)
            remote = {
                "outline": whole.part(f for r in recordings if not r.problem for f in r.files),
                "scratch": scratch,
            }
    else:
        raw = Path(uri).expanduser().absolute()
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
    final = store_folder(working_root(config.exec), name, options, recipe).absolute()
    return Listing(name, corpus, options, recipe, tuple(recordings), final, raw, config.exec.keep_steps, **remote)


def scratch_of(execution: ExecConfig) -> Path:
    """The node's own folder for raw files that are being read."""
    return Path(execution.cache or Path(tempfile.gettempdir()) / "mdjpt") / "raw"


def check_names(config: Config, names: list[str]) -> None:
    """Raise BadInput for a corpus that the run does not have."""
    for name in names:
        if name not in config.run.corpora:
            raise BadInput("run file", "corpora", repr(name), f"one of: {', '.join(config.run.corpora)}")
