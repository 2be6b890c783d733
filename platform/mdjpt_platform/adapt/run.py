"""Model and store -> a folder with the learning curve, and if asked for, an adapted model folder."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mdjpt_model.pretrained import CHECKSUMS
from mdjpt_platform import __version__
from mdjpt_platform.adapt import curve
from mdjpt_platform.adapt.cautions import cautions
from mdjpt_platform.adapt.given import Given, View, features, open_both, own_answers, without_own
from mdjpt_platform.adapt.save import adapted, check_target, write_adapted
from mdjpt_platform.adapt.settings import METHODS, Method, Settings
from mdjpt_platform.adapt.split import Draw, draws, trials_table
from mdjpt_platform.adapt.tune import tuned_reader
from mdjpt_platform.code import sources
from mdjpt_platform.config import content_hash
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.features import by_group
from mdjpt_platform.evaluate.progress import progress_bar
from mdjpt_platform.plain import json_of, object_of, read, table_of
from mdjpt_platform.predict.write import jsonable
from mdjpt_platform.report.adaptation.page import Told, render
from mdjpt_platform.spreadsheet import inert
from mdjpt_platform.store.write import new_draft

RESULT, CURVE, SUBJECTS, TESTS, PAGE = "result.json", "curve.parquet", "subjects.parquet", "tests.parquet", "page.html"
KIND = "mdjpt adaptation"


@dataclass(frozen=True)
class Adaptation:
    """What was found, as it lies in the folder."""

    result: dict[str, Any]
    curve: pd.DataFrame
    tests: pd.DataFrame
    fresh: bool
    """Whether it was computed now."""


def adapt(
    model_folder: Path,
    store_folder: Path,
    out: Path,
    settings: Settings,
    save: Path | None = None,
    subject: str | None = None,
    progress: bool = True,
) -> Adaptation:
    """Write the learning curve of a model on a store to `out`; the same again is read from there.

    `save`: a new model folder with a read-out fitted on all labelled trials of `subject`, or of all by corpus.
    Raises BadInput: model or store damaged or not made for each other, settings that the store cannot meet, a folder
    that holds something else.
    """
    settings.check()
    given = open_both(model_folder, store_folder, settings.classes)
    check_target(given, settings, save, subject)
    model_sum = hashlib.sha256(read(model_folder / CHECKSUMS)).hexdigest()
    about = {
        "model": model_sum, "store": given.store.fingerprint,
        "settings": settings.tree(), "version": __version__, "sources": sources()[1],
    }  # fmt: skip
    identity = content_hash(about)
    found = _there(out, identity)
    trials = trials_table(given.task.table, given.task.codes)
    dealt, left_out = draws(trials, len(given.task.labels), settings, given.corpus)
    if found is None:
        found = _computed(given, trials, dealt, left_out, settings, progress)
        found.result.update(kind=KIND, identity=identity, **about)
        _write(out, found)
    if save is not None:
        config, readouts = adapted(given, trials, dealt, settings, subject, model_sum, progress)
        write_adapted(save, given.model, config, readouts, model_folder.resolve().name)
    return found


def _there(out: Path, identity: str) -> Adaptation | None:
    """What an equal command left. Raises BadInput: something else is there."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        tree = json_of(read(out / RESULT))
    except (OSError, ValueError):
        tree = None
    if not isinstance(tree, dict) or tree.get("identity") != identity:
        what = "another adaptation" if isinstance(tree, dict) and tree.get("kind") == KIND else "something there"
        raise BadInput(out, "--out", what, "a new or empty folder")
    result = object_of(out / RESULT, ("identity", "labels", "notes"))
    return Adaptation(result, table_of(out / CURVE), table_of(out / TESTS), fresh=False)


def _computed(
    given: Given, trials: pd.DataFrame, dealt: Sequence[Draw], left_out: Sequence[str], settings: Settings,
    progress: bool,
) -> Adaptation:  # fmt: skip
    mode = settings.reads
    if mode not in given.modes:
        raise BadInput("command line", "--mode", mode, f"one of: {', '.join(given.modes)}: no read-out of this model")
    methods, notes = _methods(given, settings)
    values: dict[str, list[dict[str, object]]] = {}
    sizes = len(dealt[0].calibration)
    for method in methods:
        if method == "given":
            answers = own_answers(given, mode)
            values[method] = list(
                curve.measured(lambda draw, size, known, test: answers[test], given.task, trials, dealt, (0,))  # noqa: B023
            )
            continue
        view = None
        if method != "fine_tuned":
            raw = features(given, given.task, method, mode, settings.seed, progress)
            view = View(raw, given.task, settings.by == "corpus", mode, given.model.decay)
        steps = len(dealt) * sizes * (1 if view is not None else settings.epochs)
        with progress_bar(steps, f"{method}: {len(dealt) * sizes} calibrations", progress) as advance:
            if view is None:
                reader = tuned_reader(given, settings, mode, advance)
            else:
                reader = curve.linear_reader(view, given.task, given.config(mode))
            values[method] = []
            for draw in dealt:
                values[method] += curve.measured(reader, given.task, trials, [draw])
                advance(sizes if view is not None else 0)
    config = given.config(mode, seed=settings.seed)
    table = curve.by_subject(curve.curve_of(values))
    scores = curve.summary(table, 1 / len(given.task.labels), config)
    result = {
        "corpus": given.corpus, "labels": list(given.task.labels), "methods": list(methods), "mode": mode,
        "people": table["subject"].nunique(), "left_out": len(left_out), "trials": len(trials),
        "windows": len(given.task.table), "test_trials": round(sum(len(one.test) for one in dealt) / len(dealt), 1),
        "seconds": given.model.seconds, "notes": notes + cautions(given, trials, dealt, left_out, settings, methods),
        "sources_of_model": given.model.config["trained"]["sources"],
    }  # fmt: skip
    found = Adaptation(result, scores, curve.compared(table, config), fresh=True)
    found.result["subjects"] = table.to_dict("records")
    return found


def _methods(given: Given, settings: Settings) -> tuple[tuple[Method, ...], list[str]]:
    """What will be compared, and why something is not."""
    reason = without_own(given, settings.reads)
    blind = settings.reads == "frozen" and by_group(given.model.encoder)
    random = "random weights have no layer statistics of other people" if blind else ""
    refused: dict[Method, str] = {"given": reason, "untrained": random}
    for method in settings.methods:
        if refused.get(method):
            raise BadInput("command line", "--methods", method, f"another: {refused[method]}")
    asked = settings.methods or tuple(name for name in METHODS if name != "fine_tuned" and not refused.get(name))
    names: dict[Method, str] = {"given": "the model's own read-out", "untrained": "the untrained encoder"}
    notes = [
        f"Left out: {names[name]}, because {why}." for name, why in refused.items() if why and not settings.methods
    ]
    return tuple(name for name in METHODS if name in asked), notes


def _write(out: Path, found: Adaptation) -> None:
    subjects = pd.DataFrame(found.result.pop("subjects"))
    text = json.dumps(jsonable(found.result), indent=1, allow_nan=False)
    draft = new_draft(out.resolve().parent, out.name)
    try:
        for name, table in ((CURVE, found.curve), (SUBJECTS, subjects), (TESTS, found.tests)):
            content = io.BytesIO()
            table.to_parquet(content, index=False)
            (draft / name).write_bytes(content.getvalue())
            (draft / name).with_suffix(".csv").write_text(inert(table).to_csv(index=False, float_format="%.6g"))
        (draft / PAGE).write_text(render(Told(found.result, found.curve, subjects, found.tests)), encoding="utf-8")
        (draft / RESULT).write_text(text + "\n", encoding="utf-8")
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # moved away unless something failed
