"""One corpus from recordings to a finished store, whatever carries out its tasks."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.corpora.base import Corpus, Recording
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.preprocess.finalise import Scaled, assemble, check_agreement, discard_work, scale_subject
from mdjpt_platform.preprocess.recording import (
    Outcome,
    Prepared,
    Task,
    code_version,
    load_prepared,
    prepare_recording,
)
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.store.read import open_store
from mdjpt_platform.store.schema import MANIFEST, SIGNALS, Manifest, SignalFile
from mdjpt_platform.store.write import WRITABLE, new_draft, unwritable

WORK, DIGESTS, LOCK = ".work", "inputs.json", "lock"

Each = Callable[[Callable[[Any], dict[str, Any]], Sequence[Any], str], list[dict[str, Any]]]
"""(function, items, title) -> its results in any order; in this process or through Ray Data."""


@dataclass(frozen=True)
class Plan:
    """A corpus about to be prepared."""

    name: str
    corpus: Corpus
    config: CorpusConfig
    recipe: tuple[StepConfig, ...]
    recordings: tuple[Recording, ...]
    final: Path
    raw: Path

    @property
    def work(self) -> Path:
        """Folder of the recordings' results; all recipes share it."""
        return self.final.parent / WORK


@dataclass(frozen=True)
class CorpusReport:
    """What became of one corpus."""

    folder: str
    fingerprint: str
    done: tuple[str, ...] = ()
    """Recordings prepared now."""
    skipped: tuple[str, ...] = ()
    """Recordings whose result was there already."""
    failed: tuple[tuple[str, str], ...] = ()
    """Recordings left out, with the reason."""
    dropped: int = 0
    """Single trials left out of recordings that are in the store; the manifest says which and why."""
    corrected: dict[str, float] = field(default_factory=dict)
    """Recordings whose unit was wrong, with the factor that mended it."""
    unchanged: bool = False
    """The finished store was left as it was."""
    seconds: float = 0.0
    hours: float = 0.0
    """Hours of signal in the store."""


def prepare_corpus(plan: Plan, each: Each) -> CorpusReport:
    """Prepare what is not prepared, then write the store unless it is what it was.

    Raises BadInput: no recording can be used, the store cannot be written or is not seen by every node.
    """
    with _alone(plan):
        return _prepare_alone(plan, each)


def _prepare_alone(plan: Plan, each: Each) -> CorpusReport:
    began = time.perf_counter()
    old = _finished(plan)
    known = {recording: source.work for recording, source in old.recordings.items()} if old else {}
    found = _round(plan, each, plan.recordings, known)
    usable, failed = _split(found, plan.raw)
    if old is not None and usable == known and failed == old.failed:
        return _report(plan, old, began, skipped=tuple(sorted(usable)), unchanged=True)
    again = [recording for recording in plan.recordings if found[recording.id].state == "finished"]
    if again:  # the store changes after all, so what it holds is needed once more before the scaling
        found |= _round(plan, each, again, {})
        usable, failed = _split(found, plan.raw)
    manifest = _finalise(plan, each, usable, failed)
    states = {state: tuple(sorted(o.id for o in found.values() if o.state == state)) for state in ("done", "cached")}
    return _report(plan, manifest, began, done=states["done"], skipped=states["cached"])


def _round(plan: Plan, each: Each, recordings: Sequence[Recording], known: Mapping[str, str]) -> dict[str, Outcome]:
    """Outcomes of recordings by id; what was read of raw files is remembered for the next run."""
    task = Task(plan.corpus, plan.recipe, plan.work, code_version(plan.corpus), known, _digests(plan.work))
    rows = each(lambda recording: asdict(prepare_recording(recording, task)), recordings, f"{plan.name}: recordings")
    outcomes = {outcome.id: outcome for outcome in (Outcome(**row) for row in rows)}
    digests = dict(task.digests)
    for outcome in outcomes.values():
        if outcome.state == "unwritable":
            raise BadInput(outcome.work, "exec.store", outcome.reason, WRITABLE)
        digests |= json.loads(outcome.digests)
    if digests != task.digests:
        try:
            write_atomic(plan.work / DIGESTS, json.dumps(digests, sort_keys=True).encode())
        except OSError as error:
            raise unwritable(plan.work, error) from None
    return outcomes


def _split(found: Mapping[str, Outcome], raw: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(recording -> work hash, recording -> why it is left out)."""
    usable = {outcome.id: outcome.work for outcome in found.values() if outcome.state != "failed"}
    return usable, {o.id: _portable(o.reason, raw) for o in found.values() if o.state == "failed"}


def _finalise(plan: Plan, each: Each, usable: dict[str, str], failed: dict[str, str]) -> Manifest:
    prepared: dict[str, Prepared] = {}
    for name, work in usable.items():
        entry = load_prepared(plan.work / work)
        if entry is None:
            expected = "the result of a task: raw data and store on storage that all nodes share"
            raise BadInput(plan.work / work, "exec.store", "nothing", expected)
        prepared[name] = entry
    if not prepared:
        raise _nothing_usable(plan, failed)
    failed = failed | check_agreement(prepared)
    subjects: dict[str, list[tuple[str, Prepared]]] = {}
    for recording in plan.recordings:
        if recording.id in prepared and recording.id not in failed:
            subjects.setdefault(recording.subject, []).append((recording.id, prepared[recording.id]))
    step = plan.recipe[-1] if STEPS[plan.recipe[-1].step].stage == "subject" else None
    files: dict[str, SignalFile] = {}
    try:
        with _draft(plan.final) as draft:
            (draft / SIGNALS).mkdir()

            def scaled(subject: str) -> dict[str, Any]:
                return asdict(scale_subject(subject, subjects[subject], plan.work, draft, step))

            for result in (Scaled(**row) for row in each(scaled, list(subjects), f"{plan.name}: subjects")):
                if result.fatal:
                    raise MdjptError(result.fatal)
                members = [name for name, _ in subjects[result.id]]
                if result.reason:
                    failed |= dict.fromkeys(members, _portable(result.reason, plan.raw))
                else:
                    entries = map(SignalFile.model_validate, json.loads(result.files))
                    files |= dict(zip(members, entries, strict=True))
            if not files:
                raise _nothing_usable(plan, failed)
            manifest = assemble(draft, plan.final, plan.corpus, plan.config, plan.recipe, prepared, files, failed)
    except OSError as error:
        raise unwritable(plan.final.parent.parent, error) from None
    if not failed:
        discard_work(plan.work, prepared)
    return manifest


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """One preparation of a corpus at a time: the jobs of an array that start together wait for the first."""
    lock = FileLock(plan.work / LOCK)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{plan.name}: being prepared by another process, waiting", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        raise unwritable(plan.work, error) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _draft(final: Path) -> Iterator[Path]:
    draft = new_draft(final.parent, final.name)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # moved away already unless something failed


def _finished(plan: Plan) -> Manifest | None:
    """Manifest of the finished store; None if there is none or a file of it is damaged (then it is written anew)."""
    if not (plan.final / MANIFEST).exists():
        return None
    try:
        return open_store(plan.final).manifest
    except BadInput:
        return None


def _report(plan: Plan, manifest: Manifest, began: float, **facts: Any) -> CorpusReport:
    samples = sum(entry.shape[0] for entry in manifest.files.values())
    return CorpusReport(
        folder=str(plan.final),
        fingerprint=manifest.fingerprint,
        failed=tuple(sorted(manifest.failed.items())),
        dropped=sum(len(source.dropped) for source in manifest.recordings.values()),
        corrected={name: s.factor for name, s in manifest.recordings.items() if s.factor != 1},
        seconds=time.perf_counter() - began,
        hours=samples / manifest.rate / 3600,
        **facts,
    )


def _nothing_usable(plan: Plan, failed: Mapping[str, str]) -> BadInput:
    first = next((f"{name}: {reason}" for name, reason in sorted(failed.items())), "none")
    found = f"none usable of {len(plan.recordings)}; the first: {first}"
    return BadInput(plan.raw, f"recordings of {plan.name}", found, "at least one")


def _portable(reason: str, raw: Path) -> str:
    """The reason without the place of the raw data: it enters the manifest."""
    return reason.replace(f"{raw}/", "").replace(str(raw), ".")


def _digests(work: Path) -> dict[str, str]:
    """Checksums of raw files that earlier runs have read; a convenience, so a broken file counts as none."""
    try:
        tree = json.loads((work / DIGESTS).read_bytes())
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
