"""One recording: hash its files, prepare it, leave the result in a work folder named by what decided it."""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import mne
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mdjpt_platform import __version__
from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import Frozen, StepConfig, content_hash
from mdjpt_platform.corpora.base import Corpus, Recording, Trial, classes_of
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.preprocess import montage, signals, statistics, steps
from mdjpt_platform.store.read import file_sha256
from mdjpt_platform.store.schema import FORMAT, SignalFile, Source, TrialRow
from mdjpt_platform.store.write import new_draft, publish, save_signal

RESULT, SIGNAL = "result.json", "signal.npy"
BAD_FILE = (MdjptError, OSError, ValueError, RuntimeError, LookupError, EOFError, ArithmeticError)
"""What readers and MNE raise on files that are not what they claim. A TypeError or AttributeError is a defect of ours
and stops the preparation with its traceback; what is finished stays finished."""
PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR}
"""Errors of network file systems that are worth another attempt."""
ATTEMPTS = 3

T = TypeVar("T")


class Prepared(Frozen):
    """Result of one recording, before the subject's scaling."""

    channels: tuple[str, ...]
    rate: float
    signal: SignalFile
    source: Source
    rows: tuple[TrialRow, ...]


@dataclass(frozen=True)
class Task:
    """What preparing a recording takes, besides the recording."""

    corpus: Corpus
    recipe: tuple[StepConfig, ...]
    work: Path
    """Folder of the corpus' work folders."""
    code: str
    """`code_version` of the driver."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Recording id -> work hash in the finished store."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Signature of an input file (`signature`) -> its SHA-256, from an earlier run."""


@dataclass(frozen=True)
class Outcome:
    """How preparing a recording ended. Flat, since it travels as a row of Ray Data."""

    id: str
    state: Literal["done", "cached", "finished", "failed", "unwritable"]
    """done: prepared now · cached: found in its work folder · finished: unchanged in the store · failed ·
    unwritable: the work folder cannot be written, which is nobody's recording's fault."""
    work: str = ""
    reason: str = ""
    digests: str = "{}"
    """JSON: signature -> SHA-256 of its input files."""


def prepare_recording(recording: Recording, task: Task) -> Outcome:
    """Prepare a recording unless its result is there; an unusable recording is an Outcome, not an exception."""
    if recording.problem:
        return Outcome(recording.id, "failed", reason=recording.problem)
    digests: dict[str, str] = {}
    try:
        for name in recording.files:
            mark = signature(name)
            digests[mark] = task.digests.get(mark) or _patiently(partial(file_sha256, name))
        inputs = {short: digests[signature(name)] for short, name in _short_names(recording.files).items()}
        key = work_hash(recording, inputs, task)
        if task.known.get(recording.id) == key:
            return Outcome(recording.id, "finished", key, digests=json.dumps(digests))
        folder = task.work / key
        if load_prepared(folder) is not None:
            return Outcome(recording.id, "cached", key, digests=json.dumps(digests))
        cut = _patiently(partial(_prepare, recording, task))
    except BAD_FILE as error:
        return Outcome(recording.id, "failed", reason=_reason(error), digests=json.dumps(digests))
    try:
        _save(folder, recording, cut, key, inputs)
    except OSError as error:
        return Outcome(recording.id, "unwritable", str(folder), error.strerror or str(error))
    return Outcome(recording.id, "done", key, digests=json.dumps(digests))


def work_hash(recording: Recording, inputs: Mapping[str, str], task: Task) -> str:
    """Hash of everything that decides the recording's numbers before the subject's scaling; no path, no time."""
    return content_hash(
        {
            "corpus": recording.corpus,
            "layout": recording.layout,
            "recording": recording.id,
            "files": dict(inputs),
            "options": recording.options.model_dump(mode="json"),
            "recipe": [s.model_dump(mode="json") for s in task.recipe if steps.STEPS[s.step].stage == "recording"],
            "code": task.code,
            "format": FORMAT,
        }
    )


def code_version(corpus: Corpus) -> str:
    """Hash of the sources that decide numbers: the steps and the corpus' reader; an edit there prepares anew."""
    sources = [inspect.getsource(module) for module in (montage, signals, statistics, steps)]
    reader = inspect.getsourcefile(corpus.read)
    if reader is not None:
        sources.append(Path(reader).read_text(encoding="utf-8"))
    return content_hash([__version__, *(hashlib.sha256(source.encode()).hexdigest() for source in sources)])


def signature(name: str) -> str:
    """Hash of place, size and modification time of a file: equal for a file that was not touched. Raises OSError."""
    stat = Path(name).stat()
    return content_hash([str(Path(name).absolute()), stat.st_size, stat.st_mtime_ns])


def _short_names(files: tuple[str, ...]) -> dict[str, str]:
    """Name of every file below the deepest folder that holds them all -> the file."""
    top = Path(os.path.commonpath([Path(name).parent for name in files])) if files else Path()
    return {Path(name).relative_to(top).as_posix(): name for name in files}


def load_prepared(folder: Path) -> Prepared | None:
    """The result in a work folder, or None if there is none or it is damaged."""
    try:
        prepared = Prepared.model_validate_json((folder / RESULT).read_bytes())
        if file_sha256(folder / SIGNAL) == prepared.signal.sha256:
            return prepared
    except (OSError, ValidationError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


@dataclass(frozen=True)
class _Cut:
    state: signals.Signals
    trials: list[tuple[Trial, NDArray[np.float32]]]


def _prepare(recording: Recording, task: Task) -> _Cut:
    labels = classes_of(task.corpus.facts, recording.options)
    with mne.utils.use_log_level("ERROR"):
        state = signals.begin(task.corpus.read(recording), recording.id, task.corpus.facts.channels)
        for step in task.recipe:
            entry = steps.STEPS[step.step]
            if entry.stage == "recording":
                state = entry.work(state, **step.params)
    trials = signals.cut(state)
    for trial, _ in trials:
        if trial.label is not None and trial.label not in labels:
            valid = ", ".join(labels)
            raise BadInput(recording.id, f"trial {trial.trial}", f"label {trial.label!r}", f"one of: {valid}")
    return _Cut(state, trials)


def _save(folder: Path, recording: Recording, cut: _Cut, key: str, inputs: dict[str, str]) -> None:
    state, rows, offset = cut.state, [], 0
    dropped = {str(trial): reason for trial, reason in sorted(state.dropped.items())}
    source = Source(work=key, inputs=inputs, factor=state.factor, dropped=dropped)
    for trial, signal in cut.trials:
        bad = state.bad.get(trial.trial, ())
        rows.append(
            TrialRow(
                corpus=recording.corpus,
                subject=recording.subject,
                session=recording.session,
                trial=trial.trial,
                stimulus=trial.stimulus,
                play_order=trial.play_order,
                label=trial.label,
                valence=trial.valence,
                arousal=trial.arousal,
                offset=offset,
                samples=len(signal),
                bad_channels=len(bad),
                bad_names=" ".join(bad),
            )
        )
        offset += len(signal)
    draft = new_draft(folder.parent, folder.name)
    try:
        entry = save_signal(draft / SIGNAL, (signal for _, signal in cut.trials), (offset, len(state.names)))
        result = Prepared(channels=state.names, rate=state.rate, signal=entry, source=source, rows=tuple(rows))
        write_atomic(draft / RESULT, result.model_dump_json().encode())
        publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already unless something failed


def _patiently(call: Callable[[], T]) -> T:
    for attempt in range(1, ATTEMPTS):
        try:
            return call()
        except OSError as error:
            if error.errno not in PASSING:
                raise
        time.sleep(0.5 * 4**attempt)
    return call()


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, MdjptError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
