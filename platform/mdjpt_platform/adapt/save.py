"""The adapted model folder: the same encoder, read out for the store's classes, with what that is worth.

Its read-out is fitted on every labelled trial of the person (or of all people, by corpus). The scores in it are those
of the largest calibration of the curve, on trials that had no part in it: they speak of a read-out from fewer trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mdjpt_model.layers import Mode
from mdjpt_model.pretrained import Pretrained
from mdjpt_model.readout import Readout
from mdjpt_platform.adapt.curve import class_scores, windows_of
from mdjpt_platform.adapt.given import Given, View, features
from mdjpt_platform.adapt.settings import Settings
from mdjpt_platform.adapt.split import Draw
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.smoothing import Float
from mdjpt_platform.evaluate.task import Task
from mdjpt_platform.evaluate.windows import Rows
from mdjpt_platform.export import folder as files
from mdjpt_platform.export.card import card
from mdjpt_platform.export.fit import LEVEL, class_worth, fit_layers, fit_temperature

Found = dict[Mode, tuple[Readout, dict[str, Any]]]


def check_target(given: Given, settings: Settings, save: Path | None, subject: str | None) -> None:
    """Refuse early what could not be saved. Raises BadInput."""
    where = "command line"
    if save is None:
        if subject is not None:
            raise BadInput(where, "--subject", "no --save", "a new folder to save the model of that subject to")
        return
    if save.exists() and (not save.is_dir() or any(save.iterdir())):
        raise BadInput(save, "--save", "something there", "a new or empty folder")
    if settings.by == "corpus":
        if subject is not None:
            raise BadInput(where, "--subject", "given with --by corpus", "none: all subjects calibrate")
    elif subject not in given.task.subjects:
        found = "none" if subject is None else repr(subject)
        raise BadInput(where, "--subject", found, f"one of: {', '.join(given.task.subjects)}")


def adapted(
    given: Given, trials: pd.DataFrame, dealt: Sequence[Draw], settings: Settings, subject: str | None, origin: str,
    progress: bool,
) -> tuple[dict[str, Any], Found]:  # fmt: skip
    """Configuration of the new folder and its read-outs by mode. Raises BadInput: a subject with too few trials."""
    mine = [draw for draw in dealt if subject is None or draw.who == subject]
    if not mine:
        found = "too few trials for a calibration and a test"
        raise BadInput(given.corpus, f"subject {subject}", found, "more, since a model without a score is not written")
    keep = np.ones(len(given.task.table), bool)
    if subject is not None:
        keep = (given.task.table["subject"] == subject).to_numpy()
    task = replace(given.task, table=given.task.table[keep].reset_index(drop=True), codes=given.task.codes[keep])
    readouts = {mode: _readout(given, task, trials, mine, mode, settings, progress) for mode in given.modes}
    shown = int(task.table["row"].nunique())
    return _config(given, task, readouts, settings, shown, origin, max(mine[0].calibration)), readouts


def _readout(
    given: Given,
    task: Task,
    trials: pd.DataFrame,
    dealt: Sequence[Draw],
    mode: Mode,
    settings: Settings,
    progress: bool,
) -> tuple[Readout, dict[str, Any]]:
    config = given.config(mode, seed=settings.seed)
    view = View(
        features(given, task, "frozen", mode, settings.seed, progress), task, settings.by == "corpus", mode,
        given.model.decay,
    )  # fmt: skip
    parts: list[tuple[Float, Rows]] = []
    for draw in dealt:
        known = windows_of(task, trials, draw.calibration[max(draw.calibration)])
        test = windows_of(task, trials, draw.test)
        x, _ = view.given(_people(task, known))
        layers = fit_layers(x[known], task.codes[known], len(task.labels), config)
        parts.append((class_scores(layers, x[test]), test))
    scores, rows = np.concatenate([one for one, _ in parts]), np.concatenate([at for _, at in parts])
    owners = task.table["subject" if settings.by == "corpus" else "row"].iloc[rows].astype(str).to_numpy()
    x, prior = view.given(_people(task, np.arange(len(task.table))))
    layers = fit_layers(x, task.codes, len(task.labels), config)
    frozen = given.model.readouts["frozen"].frozen if mode == "frozen" and mode in given.model.readouts else None
    readout = Readout(
        torch.from_numpy(prior.mean), torch.from_numpy(prior.var), layers,
        fit_temperature(scores, task.codes[rows], owners), frozen=frozen,
    )  # fmt: skip
    worth = class_worth(scores, task.codes[rows], owners, config)
    if settings.by == "subject":
        worth |= _of_trials(scores.argmax(1) == task.codes[rows], task.codes[rows], owners, config)
    return readout, {"people": len(task.subjects), "windows": len(task.table), "classes": worth}


def _of_trials(right: np.ndarray, codes: Rows, owners: np.ndarray, config: EvaluateConfig) -> dict[str, float]:
    """Balanced accuracy of one person, with an interval over that person's trials, drawn anew within every class."""
    table = pd.DataFrame({"right": right, "code": codes, "trial": owners})
    each = table.groupby(["code", "trial"])["right"].mean()
    random = np.random.default_rng(np.random.SeedSequence([config.seed, 2]))
    classes = [part.to_numpy(np.float64) for _, part in each.groupby("code")]
    means = np.mean([one[random.integers(len(one), size=(config.bootstrap, len(one)))].mean(1) for one in classes], 0)
    low, high = np.percentile(means, [2.5, 97.5])
    value = float(np.mean([one.mean() for one in classes]))
    return {"balanced_accuracy": value, "low": float(low), "high": float(high)}


def _people(task: Task, windows: Rows) -> list[str]:
    return sorted({str(name) for name in task.table["subject"].iloc[windows]})


def _config(
    given: Given, task: Task, readouts: Found, settings: Settings, shown: int, origin: str, size: int
) -> dict[str, Any]:
    """The model's configuration with the new classes, scores and origin; no name of a person is in it."""
    old, manifest = given.model.config, given.store.manifest
    row = {
        "name": manifest.corpus, "layout": manifest.layout, "part": "read-out", "people": len(task.subjects),
        "fingerprint": given.store.fingerprint, "licence": manifest.provenance.get("licence") or "its own",
    }  # fmt: skip
    simulated = [manifest.corpus] if manifest.config.simulate is not None else []
    trained = old["trained"] | {
        "fitted": [manifest.corpus],
        "corpora": [{**one, "part": _without_readout(one["part"])} for one in old["trained"]["corpora"]] + [row],
        "simulated": sorted({*old["trained"]["simulated"], *simulated}),
        "adapted": {
            "by": settings.by, "corpus": manifest.corpus, "people": len(task.subjects), "trials": shown,
            "scored_with": size, "from": origin,
        },
    }  # fmt: skip
    modes = {
        mode: {"temperature": readout.temperature, "level": LEVEL, "scores": worth, "halfwidth": None}
        for mode, (readout, worth) in readouts.items()
    }
    # by subject nothing runs along the recording: with a decay of 1 the prior (mean 0, variance 1) never gives way
    decay = old["decay"] if settings.by == "corpus" else 1.0
    return {**old, "labels": list(task.labels), "modes": modes, "decay": decay, "trained": trained}


def _without_readout(part: str) -> str:
    """What a corpus was for, before the read-outs fitted on it were replaced."""
    return ", ".join(one for one in part.split(", ") if one != "read-out") or "earlier read-out"


def write_adapted(
    save: Path, model: Pretrained, config: dict[str, Any], readouts: Mapping[Mode, tuple[Readout, dict[str, Any]]],
    name: str,
) -> None:  # fmt: skip
    """Write the folder. Raises BadInput: it is there already."""
    new = Pretrained(config, model.encoder, {mode: readout for mode, (readout, _) in readouts.items()})
    files.write(save, new, card(config, f"{name}, calibrated", []))
