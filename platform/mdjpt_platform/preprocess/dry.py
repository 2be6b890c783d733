"""What preparing would do, without doing it: nothing is read but listings and small files, nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mdjpt_platform.config import Config, StepConfig
from mdjpt_platform.corpora.base import Corpus, Recording
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.kept import KEPT, is_kept
from mdjpt_platform.preprocess.keys import chain, codes_of, steps_of_recording
from mdjpt_platform.preprocess.listing import Listing, check_names, list_corpus
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.preprocess.recording import inputs_of
from mdjpt_platform.preprocess.result import is_prepared
from mdjpt_platform.preprocess.stages import load_digests, work_of
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.preprocess.timings import load_timings
from mdjpt_platform.store.read import open_store
from mdjpt_platform.store.schema import MANIFEST, Manifest

FINISHED, PREPARED, READ, TOUCHED = "in the store", "prepared", "read", "compare"
"""What is to be done for a recording: nothing (twice), everything, or to find out whether touched files changed. Any
other word is the step after which it resumes."""


@dataclass(frozen=True)
class Outlook:
    """One corpus. Sizes in bytes, times in seconds; None where nothing is known."""

    name: str
    error: str = ""
    """Why the corpus cannot be prepared at all; nothing else is known then."""
    simulated: str = ""
    """Folder that its raw recordings would be simulated into first; nothing else is known then."""
    recordings: int = 0
    subjects: int = 0
    missing: tuple[str, ...] = ()
    """What the declared facts have and the folder has not."""
    problems: tuple[tuple[str, str], ...] = ()
    """Recordings that would be left out, with the reason."""
    raw: int = 0
    store: str = ""
    """What the store holds already."""
    ahead: dict[str, int] = field(default_factory=dict)
    """Recordings by what is to be done for them."""
    size: int | None = None
    """Of the store to be."""
    seconds: float | None = None
    untimed: tuple[str, ...] = ()
    """Steps that were never timed and are not in `seconds`."""

    @property
    def ok(self) -> bool:
        """Nothing would be left out."""
        return not self.error and not self.problems


def dry_run(
    config: Config, *, only: Sequence[str] | None = None, corpora: Mapping[str, Corpus] | None = None
) -> list[Outlook]:
    """What `prepare` with the same arguments would do. A corpus that cannot be listed says why; the others go on.

    Raises BadInput: unknown corpus or recipe step.
    """
    if corpora is None:
        from mdjpt_platform.corpora import CORPORA

        corpora = CORPORA
    names = list(config.run.corpora) if only is None else list(only)
    recipe = resolve(config.run.recipe)
    check_names(config, names)
    found = []
    for name in names:
        try:
            found.append(_outlook(list_corpus(config, name, recipe, corpora)))
        except BadInput as error:
            found.append(Outlook(name, error=str(error)))
    return found


def _outlook(listing: Listing) -> Outlook:
    usable = [recording for recording in listing.recordings if not recording.problem]
    sizes = {recording.id: sum(_size(listing, file) for file in recording.files) for recording in usable}
    held, old = _store(listing)
    plans = _plans(listing, usable, old)
    steps = [step.step for step in steps_of_recording(listing.recipe)]
    words = Counter(word for word, _ in plans.values())
    ahead = {
        name: (sizes[name], [*(["resume"] if done else ["hash", "read"]), *steps[done:], "quality", "save"])
        for name, (word, done) in plans.items()
        if word not in (FINISHED, PREPARED)
    }
    timings = load_timings(listing.work)
    total = sum(sizes.values())
    changes = old is None or set(words) != {FINISHED}
    seconds, untimed = timings.expected(ahead, total) if changes else (0.0, [])
    return Outlook(
        listing.name,
        recordings=len(listing.recordings),
        subjects=len({recording.subject for recording in listing.recordings}),
        missing=tuple(_missing(listing)),
        problems=tuple((recording.id, recording.problem) for recording in listing.recordings if recording.problem),
        raw=total,
        store=held,
        ahead=dict(words),
        size=sum(entry.bytes for entry in old.files.values()) if old and not changes else _expected_size(listing),
        seconds=seconds,
        untimed=tuple(untimed),
    )


def _plans(listing: Listing, recordings: Sequence[Recording], old: Manifest | None) -> dict[str, tuple[str, int]]:
    """Recording -> (what is to be done for it, number of steps done)."""
    known = work_of(old) if old else {}
    codes, digests = codes_of(listing.corpus, listing.recipe), load_digests(listing.work)
    steps = steps_of_recording(listing.recipe)
    found = {}
    for recording in recordings:
        try:
            keys = chain(recording, inputs_of(recording, digests, listing.mark), listing.recipe, codes)
        except (KeyError, OSError):  # never hashed as they are now
            found[recording.id] = (TOUCHED if recording.id in known else READ, 0)
            continue
        if known.get(recording.id) == keys[-1]:
            found[recording.id] = (FINISHED, len(steps))
        elif is_prepared(listing.work / keys[-1]):
            found[recording.id] = (PREPARED, len(steps))
        else:
            found[recording.id] = _resumes(listing.work / KEPT, steps, keys)
    return found


def _resumes(folder: Path, steps: Sequence[StepConfig], keys: Sequence[str]) -> tuple[str, int]:
    for done in range(len(steps), 0, -1):
        step = steps[done - 1].step
        if STEPS[step].keep and is_kept(folder / keys[done]):
            return step, done
    return READ, 0


def _store(listing: Listing) -> tuple[str, Manifest | None]:
    if not (listing.final / MANIFEST).exists():
        return "nothing", None
    try:
        manifest = open_store(listing.final, verify=False).manifest
    except BadInput:
        return "damaged", None
    hours = sum(entry.shape[0] for entry in manifest.files.values()) / manifest.rate / 3600
    return f"{len(manifest.recordings)} recordings, {hours:.2f} h", manifest


def _missing(listing: Listing) -> list[str]:
    """Subjects and sessions that are declared and not there; nothing where a layout declares no numbers."""
    facts, options = listing.corpus.facts, listing.config
    sessions = options.facts.sessions or facts.sessions
    per_subject = Counter(recording.subject for recording in listing.recordings)
    subjects = facts.subjects if options.subjects is None else len(options.subjects)
    found = []
    if options.simulate is not None:
        subjects = options.simulate.subjects
    if len(per_subject) < subjects:
        found.append(f"{subjects - len(per_subject)} of {subjects} subjects")
    short = {subject: count for subject, count in per_subject.items() if count < sessions}
    found += [f"subject {subject}: {sessions - count} of {sessions} sessions" for subject, count in short.items()]
    return found


def _expected_size(listing: Listing) -> int | None:
    """Bytes of the store by the declared facts; None where they do not tell how long trials are."""
    facts, options = listing.corpus.facts, listing.config.facts
    rate = facts.rate
    for step in listing.recipe:
        rate = step.params["rate"] if step.step == "resample" else rate
    total = 0.0
    for recording in listing.recordings:
        shown = [one for one in facts.shown if one.session in (0, recording.session)]
        if options.stimuli is not None:
            shown = [shown[number - 1] for number in options.stimuli if number <= len(shown)]
        shown = [replace(one, seconds=options.seconds or one.seconds) for one in shown]
        if not shown or any(one.seconds is None for one in shown):
            return None
        if not recording.problem:
            total += sum(one.seconds or 0.0 for one in shown)
    return round(total * rate * len(facts.channels) * 4) or None


def _size(listing: Listing, file: str) -> int:
    try:
        return listing.size(file)
    except OSError:
        return 0  # the preparation will say so
