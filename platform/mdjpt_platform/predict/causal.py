"""Files through the online path as fast as they go: what a live stream of the same samples would have said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd

from mdjpt_model.pretrained import CHECKSUMS, Pretrained
from mdjpt_platform import __version__
from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput, MdjptError, is_full
from mdjpt_platform.export.folder import load
from mdjpt_platform.predict.one import place_of
from mdjpt_platform.predict.online import AFFECT, Line, Online
from mdjpt_platform.predict.recipe import changed_steps, recipe_of
from mdjpt_platform.predict.replay import replayed
from mdjpt_platform.predict.run import folders_of, recordings_in
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.predict.write import table_files, write_folder
from mdjpt_platform.preprocess.recording import BAD_FILE
from mdjpt_platform.store.read import file_sha256

LINES = "answers.jsonl"
SUFFIX = "-causal"
"""Of a folder's name, so that offline results of the same file can lie beside it."""

Outcome = tuple[Path, Path, str, dict[str, Any]]
"""(file, its folder, why it failed or nothing, the last line)."""


def predict_causally(
    model_folder: Path,
    given: Iterable[Path],
    out: Path,
    settings: Settings,
    tell: Callable[[int, int, str], None],
    stop: Event,
) -> list[Outcome]:
    """A folder a file below `out`; a file that cannot be used is told and passed by.

    Raises BadInput: the model cannot be used, nothing to predict.
    """
    paths = recordings_in(given)
    model = load(model_folder)
    recipe = recipe_of(model, model_folder)
    about = {
        "version": __version__,
        "model": {"name": model_folder.resolve().name, "sha256": file_sha256(model_folder / CHECKSUMS)},
        "mode": "causal",
        "changed_steps": changed_steps(model),
    }
    outcomes: list[Outcome] = []
    for number, (path, beside) in enumerate(folders_of(paths, out).items()):
        folder = beside.with_name(beside.name + SUFFIX)
        tell(number, len(paths), path.name)
        try:
            lines = answers(model, recipe, path, settings, stop)
            tree = {**about, "place": place_of(path), "file": path.name, "start": lines[0], "end": lines[-1]}
            text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
            write_folder(folder, {LINES: text.encode(), **table_files(table(lines))}, tree)
        except BAD_FILE as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            why = str(error) if isinstance(error, MdjptError) else f"{path}: {type(error).__name__}: {error}"
            outcomes.append((path, folder, " ".join(why.split()), {}))
            continue
        outcomes.append((path, folder, "", lines[-1]))
    return outcomes


def answers(model: Pretrained, recipe: Sequence[StepConfig], path: Path, settings: Settings, stop: Event) -> list[Line]:
    """All lines of one file, from `start` to `end`. Raises BadInput: unusable, or no window has an answer."""
    rename = None if settings.rename is None else Path(settings.rename)
    source = replayed(path, rename, None, stop, settings.tmin, settings.tmax)
    online = Online(model, recipe, source, settings.step, settings.least_channels)
    lines = [online.start()]
    for chunk in source.chunks:
        lines += online.feed(chunk)
    lines.append(online.end("told to end" if stop.is_set() else source.ended()))
    if not online.answers:
        why = next((line["why"] for line in lines if line["line"] == "skipped"), f"{lines[-1]['seconds']:g} s")
        raise BadInput(path, "windows", f"none with an answer: {why}", f"a window of {model.seconds:g} s and the delay")
    return lines


def table(lines: Sequence[Line]) -> pd.DataFrame:
    """The answers with the columns of offline prediction, and `time`, the last sample that each knew."""
    rows = []
    for line in lines:
        if line["line"] != "answer":
            continue
        row = {name: line[name] for name in ("start", "stop", "time")}
        if "label" in line:
            row |= {f"p_{name}": value for name, value in line["probabilities"].items()}
            row |= {"label": line["label"], "confidence": max(line["probabilities"].values())}
        for name in AFFECT:
            if name in line:
                row[name] = line[name]
                if f"{name}_interval" in line:
                    row[f"{name}_low"], row[f"{name}_high"] = line[f"{name}_interval"]
        rows.append(row)
    return pd.DataFrame(rows)
