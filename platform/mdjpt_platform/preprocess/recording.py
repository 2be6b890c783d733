"""One recording: hash its files, prepare it from where an earlier run got to, leave the result in a work folder."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeVar

import mne
import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.config import StepConfig, content_hash
from mdjpt_platform.corpora.base import Corpus, Recording, Trial, classes_of
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.preprocess import signals
from mdjpt_platform.preprocess.identical import prints_of
from mdjpt_platform.preprocess.kept import KEPT, Underway, load_kept, save_kept
from mdjpt_platform.preprocess.keys import chain, steps_of_recording
from mdjpt_platform.preprocess.quality import look
from mdjpt_platform.preprocess.result import load_prepared, quality_of, save_prepared
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.preprocess.timings import Seconds, timed
from mdjpt_platform.store.read import file_sha256

BAD_FILE = (MdjptError, OSError, ValueError, RuntimeError, LookupError, EOFError, ArithmeticError)
"""What readers and MNE raise on files that are not what they claim. A TypeError or AttributeError is a defect of ours
and stops the preparation with its traceback; what is finished stays finished."""
PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR}
"""Errors of network file systems that are worth another attempt."""
ATTEMPTS = 3
FIRST = ("channels", "unit")
"""Steps that only say what the numbers are; the look at the signal `before` is taken after them."""
WORTH = 20e6
"""Bytes on disk that a second of computing is worth: several times what it takes to write and read them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What preparing a recording takes, besides the recording."""

    corpus: Corpus
    recipe: tuple[StepConfig, ...]
    work: Path
    """Folder of the corpus' work folders."""
    codes: tuple[str, ...]
    """`codes_of` the corpus and the recipe, on the driver."""
    keep: Literal["costly", "all", "none"] = "costly"
    """Which results of steps to keep (`exec.keep_steps`)."""
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
    keys: str = "[]"
    """JSON: the chain of its keys."""
    seconds: str = "{}"
    """JSON: seconds by name, see `timings`."""
    bytes: int = 0
    """Of its input files."""


def prepare_recording(recording: Recording, task: Task) -> Outcome:
    """Prepare a recording unless its result is there; an unusable recording is an Outcome, not an exception."""
    if recording.problem:
        return Outcome(recording.id, "failed", reason=recording.problem)
    digests: dict[str, str] = {}
    seconds: Seconds = {}
    keys: tuple[str, ...] = ()
    size = 0

    def ended(state: Any, work: str = "", reason: str = "") -> Outcome:
        known, chained, spent = map(json.dumps, (digests, keys, seconds))
        return Outcome(recording.id, state, work, reason, known, chained, spent, size)

    try:
        with timed(seconds, "hash"):
            for name in recording.files:
                mark = signature(name)
                digests[mark] = task.digests.get(mark) or _patiently(partial(file_sha256, name))
        size = sum(Path(name).stat().st_size for name in recording.files)
        inputs = inputs_of(recording, digests)
        keys = chain(recording, inputs, task.recipe, task.codes)
        if task.known.get(recording.id) == keys[-1]:
            return ended("finished", keys[-1])
        folder = task.work / keys[-1]
        if load_prepared(folder) is not None:
            return ended("cached", keys[-1])
        underway, trials, quality = _patiently(partial(_prepare, recording, task, keys, seconds))
    except BAD_FILE as error:
        return ended("failed", reason=_reason(error))
    try:
        with timed(seconds, "save"):
            save_prepared(folder, recording, underway, trials, quality, inputs)
    except OSError as error:
        return ended("unwritable", str(folder), error.strerror or str(error))
    return ended("done", keys[-1])


def signature(name: str) -> str:
    """Hash of place, size and modification time of a file: equal for a file that was not touched. Raises OSError."""
    stat = Path(name).stat()
    return content_hash([str(Path(name).absolute()), stat.st_size, stat.st_mtime_ns])


def inputs_of(
    recording: Recording, digests: Mapping[str, str], mark: Callable[[str], str] = signature
) -> dict[str, str]:
    """Name of every file below the deepest folder that holds them all -> its SHA-256; `digests` go by `mark`.

    Raises OSError, KeyError.
    """
    files = recording.files
    top = Path(os.path.commonpath([Path(name).parent for name in files])) if files else Path()
    return {Path(name).relative_to(top).as_posix(): digests[mark(name)] for name in files}


def _prepare(
    recording: Recording, task: Task, keys: tuple[str, ...], seconds: Seconds
) -> tuple[Underway, list[tuple[Trial, NDArray[np.float32]]], dict[str, Any]]:
    """The recording after the last step, its trials, facts of its quality."""
    steps = steps_of_recording(task.recipe)
    first = sum(1 for _ in takewhile(lambda step: step.step in FIRST, steps))
    saved = time.perf_counter()  # from here on everything would have to be done again
    with mne.utils.use_log_level("ERROR"):
        begun, underway = _start(recording, task, steps, keys, seconds)
        _check_labels(recording, underway, classes_of(task.corpus.facts, recording.options))
        for place in range(begun, len(steps) + 1):
            if place == first:
                with timed(seconds, "quality"):
                    underway = replace(underway, before=look(underway.signals))
            if place == len(steps):
                break
            step = steps[place]
            with timed(seconds, step.step):
                underway = replace(underway, signals=after(underway.signals, step))
            if STEPS[step.step].keep and _is_worth_keeping(underway.signals, task.keep, time.perf_counter() - saved):
                with timed(seconds, "save"):
                    _keep(task.work / KEPT / keys[place + 1], underway)
                saved = time.perf_counter()
        with timed(seconds, "quality"):
            quality = quality_of(underway)
        return underway, signals.cut(underway.signals), quality


def _start(
    recording: Recording, task: Task, steps: list[StepConfig], keys: tuple[str, ...], seconds: Seconds
) -> tuple[int, Underway]:
    """(number of steps done, state after them): the longest beginning of the recipe that is kept, or the raw files."""
    for place in range(len(steps), 0, -1):
        if STEPS[steps[place - 1].step].keep:
            with timed(seconds, "resume"):
                found = load_kept(task.work / KEPT / keys[place])
            if found is not None:
                return place, found
    with timed(seconds, "read"):
        state = signals.begin(task.corpus.read(recording), recording.id, task.corpus.facts.channels)
        return 0, Underway(state, prints_of(state))


def after(state: signals.Signals, step: StepConfig) -> signals.Signals:
    """The recording after one more step, as `prepare` and `predict` alike have it. Raises BadInput."""
    state = STEPS[step.step].work(state, **step.params)
    return _as_kept(state) if STEPS[step.step].keep else state


def _as_kept(state: signals.Signals) -> signals.Signals:
    """The same numbers laid out as they come back from disk: sums depend on the order in memory, by a last bit."""
    pieces = (replace(piece, data=np.ascontiguousarray(piece.data, dtype=np.float64)) for piece in state.pieces)
    return replace(state, pieces=tuple(pieces))


def _is_worth_keeping(state: signals.Signals, keep: str, seconds: float) -> bool:
    """Whether a state that took this long since the last one kept is to be kept."""
    return keep == "all" or (keep == "costly" and sum(piece.data.nbytes for piece in state.pieces) < WORTH * seconds)


def _keep(folder: Path, underway: Underway) -> None:
    with suppress(OSError):  # a convenience: whether the storage is at fault shows when the result is written
        save_kept(folder, underway)


def _check_labels(recording: Recording, underway: Underway, labels: tuple[str, ...]) -> None:
    for trial in (trial for piece in underway.signals.pieces for trial in piece.trials):
        if trial.label is not None and trial.label not in labels:
            valid = ", ".join(labels)
            raise BadInput(recording.id, f"trial {trial.trial}", f"label {trial.label!r}", f"one of: {valid}")


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
