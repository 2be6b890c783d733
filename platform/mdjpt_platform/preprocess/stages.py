"""One corpus from recordings to a finished store, whatever carries out its tasks."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import content_hash
from mdjpt_platform.corpora.base import Recording
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.plain import json_of, read
from mdjpt_platform.preprocess.finalise import (
    Scaled,
    assemble,
    check_agreement,
    check_copies,
    discard_work,
    scale_subject,
)
from mdjpt_platform.preprocess.kept import prune
from mdjpt_platform.preprocess.keys import codes_of
from mdjpt_platform.preprocess.listing import Listing
from mdjpt_platform.preprocess.recording import Outcome, Task, prepare_recording
from mdjpt_platform.preprocess.remote import prepare_remote
from mdjpt_platform.preprocess.result import Prepared, load_prepared
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.preprocess.timings import Timed, load_timings, save_timings
from mdjpt_platform.store.read import open_store
from mdjpt_platform.store.schema import MANIFEST, SIGNALS, Manifest, SignalFile
from mdjpt_platform.store.write import WRITABLE, new_draft, unwritable

DIGESTS, LOCK = "inputs.json", "lock"

Each = Callable[[Callable[[Any], dict[str, Any]], Sequence[Any], str], list[dict[str, Any]]]
"""(function, items, title) -> its results in any order; in this process or through Ray Data."""


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
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds that the recordings prepared now took, by name (see `timings`), and `finish`: the rest of the run."""


def prepare_corpus(listing: Listing, each: Each) -> CorpusReport:
    """Prepare what is not prepared, then write the store unless it is what it was.

    Raises BadInput: no recording can be used, the store cannot be written or is not seen by every node.
    """
    with _alone(listing):
        return _prepare_alone(listing, each)


def _prepare_alone(listing: Listing, each: Each) -> CorpusReport:
    began = time.perf_counter()
    codes = codes_of(listing.corpus, listing.recipe)
    code = content_hash(codes)
    old = _finished(listing)
    known = work_of(old) if old else {}
    found = _round(listing, each, codes, listing.recordings, known)
    usable, failed = _split(found, listing.raw)
    if old is not None and (usable, failed, code) == (known, _early(old), old.code):
        prune(listing.work, _keys(found) if listing.keep != "none" else ())
        return _report(listing, old, began, skipped=tuple(sorted(usable)), unchanged=True)
    again = [recording for recording in listing.recordings if found[recording.id].state == "finished"]
    if again:  # the store changes after all, so what it holds is needed once more before the scaling
        found |= _round(listing, each, codes, again, {})
        usable, failed = _split(found, listing.raw)
    prepared = time.perf_counter()
    manifest = _finalise(listing, each, code, usable, failed)
    prune(listing.work, _keys(found) if listing.keep != "none" else ())
    spent = _remember(listing, found, prepared - began, time.perf_counter() - prepared)
    states = {state: tuple(sorted(o.id for o in found.values() if o.state == state)) for state in ("done", "cached")}
    return _report(listing, manifest, began, done=states["done"], skipped=states["cached"], timings=spent)


def _round(
    listing: Listing, each: Each, codes: tuple[str, ...], recordings: Sequence[Recording], known: Mapping[str, str]
) -> dict[str, Outcome]:
    """Outcomes of recordings by id; what was read of raw files is remembered for the next run."""
    task = Task(listing.corpus, listing.recipe, listing.work, codes, listing.keep, known, load_digests(listing.work))
    title = f"{listing.name}: recordings"
    rows = each(_work(listing, task, recordings), recordings, title)
    outcomes = {outcome.id: outcome for outcome in (Outcome(**row) for row in rows)}
    digests = dict(task.digests)
    for outcome in outcomes.values():
        if outcome.state == "unwritable":
            raise BadInput(outcome.work, "exec.store", outcome.reason, WRITABLE)
        digests |= json.loads(outcome.digests)
    if digests != task.digests:
        try:
            write_atomic(listing.work / DIGESTS, json.dumps(digests, sort_keys=True).encode())
        except OSError as error:
            raise unwritable(listing.work, error) from None
    return {recording.id: outcomes[recording.id] for recording in recordings}  # in order, however tasks ended


def _remember(listing: Listing, found: Mapping[str, Outcome], wall: float, finish: float) -> dict[str, float]:
    """Keep what the run's tasks took; their sums by name, in the order of the recipe."""
    done = {o.id: Timed(bytes=o.bytes, seconds=json.loads(o.seconds)) for o in found.values() if o.state == "done"}
    if not done:
        return {}
    with suppress(OSError):  # the store is written; how long it took is a convenience
        save_timings(listing.work, load_timings(listing.work).after(done, wall, finish))
    names = dict.fromkeys(name for one in done.values() for name in one.seconds)
    return {name: sum(one.seconds.get(name, 0.0) for one in done.values()) for name in names} | {"finish": finish}


def work_of(manifest: Manifest) -> dict[str, str]:
    """Recording -> work hash of all that were prepared for a store, those that did not fit the others too."""
    return {name: source.work for name, source in manifest.recordings.items()} | manifest.refused


def _early(manifest: Manifest) -> dict[str, str]:
    """Recordings of a store that could not be prepared."""
    return {name: reason for name, reason in manifest.failed.items() if name not in manifest.refused}


def _keys(found: Mapping[str, Outcome]) -> set[str]:
    """Every key of every recording."""
    return {key for outcome in found.values() for key in json.loads(outcome.keys)}


def _work(listing: Listing, task: Task, recordings: Sequence[Recording]) -> Callable[[Recording], dict[str, Any]]:
    """What a task does with its recording."""
    outline, scratch = listing.outline, listing.scratch
    if outline is None or scratch is None:
        return lambda recording: asdict(prepare_recording(recording, task))
    parts = {one.id: outline.part(() if one.problem else one.files) for one in recordings}
    return lambda recording: asdict(prepare_remote(recording, task, parts[recording.id], scratch))


def _split(found: Mapping[str, Outcome], raw: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(recording -> work hash, recording -> why it is left out)."""
    usable = {outcome.id: outcome.work for outcome in found.values() if outcome.state != "failed"}
    return usable, {o.id: _portable(o.reason, raw) for o in found.values() if o.state == "failed"}


def _finalise(listing: Listing, each: Each, code: str, usable: dict[str, str], failed: dict[str, str]) -> Manifest:
    prepared: dict[str, Prepared] = {}  # in the order of the recordings
    for name, work in usable.items():
        entry = load_prepared(listing.work / work)
        if entry is None:
            expected = "the result of a task: raw data and store on storage that all nodes share"
            raise BadInput(listing.work / work, "exec.store", "nothing", expected)
        prepared[name] = entry
    if not prepared:
        raise _nothing_usable(listing, failed)
    failed = failed | check_agreement(prepared)
    failed |= check_copies({name: entry for name, entry in prepared.items() if name not in failed})
    subjects: dict[str, list[tuple[str, Prepared]]] = {}
    for recording in listing.recordings:
        if recording.id in prepared and recording.id not in failed:
            subjects.setdefault(recording.subject, []).append((recording.id, prepared[recording.id]))
    step = listing.recipe[-1] if STEPS[listing.recipe[-1].step].stage == "subject" else None
    files: dict[str, SignalFile] = {}
    try:
        with _draft(listing.final) as draft:
            (draft / SIGNALS).mkdir()

            def scaled(subject: str) -> dict[str, Any]:
                return asdict(scale_subject(subject, subjects[subject], listing.work, draft, step))

            for result in (Scaled(**row) for row in each(scaled, list(subjects), f"{listing.name}: subjects")):
                if result.fatal:
                    raise MdjptError(result.fatal)
                members = [name for name, _ in subjects[result.id]]
                if result.reason:
                    failed |= dict.fromkeys(members, _portable(result.reason, listing.raw))
                else:
                    entries = map(SignalFile.model_validate, json.loads(result.files))
                    files |= dict(zip(members, entries, strict=True))
            if not files:
                raise _nothing_usable(listing, failed)
            manifest = assemble(
                draft, listing.final, listing.corpus, listing.config, listing.recipe, code, prepared, files, failed
            )
    except OSError as error:
        raise unwritable(listing.final.parent.parent, error) from None
    if not failed:
        discard_work(listing.work, prepared)
    return manifest


@contextmanager
def _alone(listing: Listing) -> Iterator[None]:
    """One preparation of a corpus at a time: the jobs of an array that start together wait for the first."""
    lock = FileLock(listing.work / LOCK)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{listing.name}: being prepared by another process, waiting", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        raise unwritable(listing.work, error) from None
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


def _finished(listing: Listing) -> Manifest | None:
    """Manifest of the finished store; None if there is none or a file of it is damaged (then it is written anew)."""
    if not (listing.final / MANIFEST).exists():
        return None
    try:
        return open_store(listing.final).manifest
    except BadInput:
        return None


def _report(listing: Listing, manifest: Manifest, began: float, **facts: Any) -> CorpusReport:
    samples = sum(entry.shape[0] for entry in manifest.files.values())
    return CorpusReport(
        folder=str(listing.final),
        fingerprint=manifest.fingerprint,
        failed=tuple(sorted(manifest.failed.items())),
        dropped=sum(len(source.dropped) for source in manifest.recordings.values()),
        corrected={name: s.factor for name, s in manifest.recordings.items() if s.factor != 1},
        seconds=time.perf_counter() - began,
        hours=samples / manifest.rate / 3600,
        **facts,
    )


def _nothing_usable(listing: Listing, failed: Mapping[str, str]) -> BadInput:
    first = next((f"{name}: {reason}" for name, reason in sorted(failed.items())), "none")
    found = f"none usable of {len(listing.recordings)}; the first: {first}"
    where = listing.raw if listing.outline is None else listing.outline.place
    return BadInput(where, f"recordings of {listing.name}", found, "at least one")


def _portable(reason: str, raw: Path) -> str:
    """The reason without the place of the raw data: it enters the manifest."""
    return reason.replace(f"{raw}/", "").replace(str(raw), ".")


def load_digests(work: Path) -> dict[str, str]:
    """Checksums of raw files that earlier runs have read; a convenience, so a broken file counts as none."""
    try:
        tree = json_of(read(work / DIGESTS))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
