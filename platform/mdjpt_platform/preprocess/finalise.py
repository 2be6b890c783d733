"""From the results of all recordings to a store: the subject's scaling, index, quality, manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.corpora.base import Corpus, classes_of
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.identical import find_copies
from mdjpt_platform.preprocess.result import SIGNAL, Prepared
from mdjpt_platform.preprocess.statistics import affine
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.store.read import map_signal
from mdjpt_platform.store.schema import SAFE_NAME, SIGNALS, Manifest, SignalFile
from mdjpt_platform.store.write import finish_store, save_signal, unwritable

TOOLS = ("mne", "mne-icalabel", "numpy", "pyriemann", "python-picard", "scipy")


@dataclass(frozen=True)
class Scaled:
    """Signal files of one subject, or why there are none. Flat, since it travels as a row of Ray Data."""

    id: str
    """The subject."""
    files: str = "[]"
    """JSON: SignalFile of every recording, in the order given."""
    reason: str = ""
    fatal: str = ""


def scale_subject(
    subject: str, members: Sequence[tuple[str, Prepared]], work: Path, draft: Path, step: StepConfig | None
) -> Scaled:
    """Write a subject's signal files into the draft, through the recipe's subject step if it has one."""
    try:
        maps = [map_signal(work / prepared.source.work / SIGNAL, prepared.signal) for _, prepared in members]
        parts = [
            mapped[row.offset : row.offset + row.samples]
            for mapped, (_, prepared) in zip(maps, members, strict=True)
            for row in prepared.rows
        ]
        shift, divisor = STEPS[step.step].work(parts, **step.params) if step else (0.0, 1.0)
    except BadInput as error:  # the recording's result was whole a moment ago: the storage is at fault
        return Scaled(subject, fatal=str(error))
    except ValueError as error:
        return Scaled(subject, reason=f"{step.step if step else 'signal'} of subject {subject}: {error}")
    files = []
    try:
        for mapped, (recording, prepared) in zip(maps, members, strict=True):
            whole = [mapped[row.offset : row.offset + row.samples] for row in prepared.rows]
            scaled = (affine(part, shift, divisor) for part in whole)
            entry = save_signal(draft / SIGNALS / f"{recording}.npy", scaled, prepared.signal.shape)
            files.append(entry.model_dump(mode="json"))
    except OSError as error:
        return Scaled(subject, fatal=str(unwritable(draft.parent, error)))
    return Scaled(subject, json.dumps(files))


def check_agreement(prepared: Mapping[str, Prepared]) -> dict[str, str]:
    """Recordings whose channels or rate differ from those of most, with the reason; a store has one of each."""
    kinds = [(entry.channels, entry.rate) for entry in prepared.values()]
    common = max(sorted(set(kinds)), key=kinds.count)
    found = {}
    for recording, entry in sorted(prepared.items()):
        if (entry.channels, entry.rate) != common:
            differ = sorted(set(entry.channels) ^ set(common[0]))
            text = f"{len(entry.channels)} channels at {entry.rate:g} Hz; differing: {', '.join(differ) or 'the order'}"
            found[recording] = str(BadInput(recording, "channels", text, f"{len(common[0])} at {common[1]:g} Hz"))
    return found


def check_copies(prepared: Mapping[str, Prepared]) -> dict[str, str]:
    """Recordings whose signal is that of an earlier one, with the reason; `prepared` are in order."""
    return find_copies({recording: entry.prints for recording, entry in prepared.items()})[0]


def check_ids(recordings: Sequence[str]) -> None:
    """Raise BadInput for ids that cannot name files, or that are not unique."""
    for recording in recordings:
        if not SAFE_NAME.fullmatch(recording):
            raise BadInput("corpus", "recording", repr(recording), "letters, digits, '-', '_', '.'")
    if len(set(recordings)) < len(recordings):
        twice = sorted({recording for recording in recordings if recordings.count(recording) > 1})
        raise BadInput("corpus", "recording", f"{twice[0]} twice", "every subject and session once")


def quality_of_store(kept: Mapping[str, Prepared]) -> dict[str, Any]:
    """Recording -> what `quality_of` found; a trial whose signal another trial has too says which, as `same_as`."""
    same = find_copies({recording: entry.prints for recording, entry in kept.items()})[1]
    found = {}
    for recording, entry in kept.items():
        trials = [
            trial | ({"same_as": same[recording, trial["trial"]]} if (recording, trial["trial"]) in same else {})
            for trial in entry.quality["trials"]
        ]
        found[recording] = entry.quality | {"trials": trials}
    return found


def assemble(
    draft: Path,
    final: Path,
    corpus: Corpus,
    config: CorpusConfig,
    recipe: tuple[StepConfig, ...],
    code: str,
    prepared: Mapping[str, Prepared],
    files: Mapping[str, SignalFile],
    failed: Mapping[str, str],
) -> Manifest:
    """Index, quality and manifest into a draft whose signals are written; publish it as `final`. Raises OSError."""
    rows = [
        row.model_copy(update={"file": f"{SIGNALS}/{recording}.npy"})
        for recording, entry in sorted(prepared.items())
        if recording not in failed
        for row in entry.rows
    ]
    kept = {recording: prepared[recording] for recording in sorted(prepared) if recording not in failed}
    first = next(iter(kept.values()))
    last = STEPS[recipe[-1].step]
    facts = corpus.facts
    return finish_store(
        draft,
        final,
        rows,
        quality_of_store(kept),
        corpus=final.parent.name,
        layout=corpus.layout,
        key=final.name,
        config=config,
        recipe=recipe,
        channels=first.channels,
        rate=first.rate,
        unit=last.unit or "uV",
        labels=classes_of(facts, config),
        code=code,
        files={f"{SIGNALS}/{recording}.npy": files[recording] for recording in kept},
        recordings={recording: entry.source for recording, entry in kept.items()},
        failed=dict(sorted(failed.items())),
        refused={recording: entry.source.work for recording, entry in sorted(prepared.items()) if recording in failed},
        provenance={
            "title": facts.title,
            "licence": facts.licence,
            "obtain": facts.obtain,
            "citation": facts.citation,
            **{tool: version(tool) for tool in TOOLS},
        },
    )


def discard_work(work: Path, prepared: Mapping[str, Prepared]) -> None:
    """Remove the work folders that a complete store has made superfluous (they are its size again)."""
    for entry in prepared.values():
        shutil.rmtree(work / entry.source.work, ignore_errors=True)
