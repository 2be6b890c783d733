"""What a model says of a recording: a row a window, and what the rows come to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mdjpt_model.layers import Mode
from mdjpt_model.pretrained import Pretrained
from mdjpt_platform.errors import BadInput
from mdjpt_platform.predict.interval import LEVEL, block_interval
from mdjpt_platform.predict.recording import Heard

AFFECT = ("valence", "arousal")
AMPLITUDE = "amplitude_uv"


@dataclass(frozen=True)
class Answer:
    """Of a model, for one recording."""

    mode: Mode
    """How the layers were normalised."""
    windows: pd.DataFrame
    """start, stop (seconds into the file); p_<label> of every class, label, confidence (its p); valence, arousal and
    the ends of their intervals, <name>_low and <name>_high; amplitude_uv (SD of the window's samples)."""
    summary: dict[str, Any]
    """JSON values: windows, classes, affect."""


def answer(model: Pretrained, heard: Heard, mode: Mode) -> Answer:
    """Ask the model; a single window, of which no statistics can be taken, is read in mode `frozen`.

    Raises BadInput: the model has no read-out for the mode, or refuses the windows.
    """
    where = heard.opened.files[0]
    if len(heard.windows) == 1 and mode == "whole":
        mode = "frozen"
    if mode not in model.modes:
        raise BadInput(where, "mode", f"{mode}, {len(heard.windows)} windows", ", ".join(model.modes) or "a read-out")
    try:
        found = model.predict(heard.windows, heard.channels, mode)
    except ValueError as error:
        raise BadInput(where, "windows", error, "windows the model takes") from None
    table = pd.DataFrame({"start": heard.starts, "stop": heard.starts + model.seconds})
    if found.probabilities is not None:
        p = found.probabilities.numpy().astype(np.float64)
        best = p.argmax(axis=1)
        table = table.assign(**{f"p_{name}": p[:, place] for place, name in enumerate(model.labels)})
        table = table.assign(label=[model.labels[place] for place in best], confidence=p.max(axis=1))
    if found.affect is not None:
        for place, name in enumerate(AFFECT):
            table[name] = found.affect[:, place].double().numpy()
            if found.low is not None and found.high is not None:
                table[f"{name}_low"] = found.low[:, place].double().numpy()
                table[f"{name}_high"] = found.high[:, place].double().numpy()
    table[AMPLITUDE] = [float(window.std()) * heard.single.spread for window in heard.windows]
    return Answer(mode, table, summary(table, model, heard))


def summary(table: pd.DataFrame, model: Pretrained, heard: Heard) -> dict[str, Any]:
    """What the windows come to: mean probabilities, share of the windows by class, mean valence and arousal.

    The intervals tell how much another stretch of the same recording might differ, not how right the model is.
    """
    step = float(np.diff(heard.starts).min()) if len(heard.starts) > 1 else model.seconds
    overlap = max(1, math.ceil(model.seconds / step - 1e-9))
    found: dict[str, Any] = {
        "windows": {"count": len(table), "left_out": heard.left_out, "seconds": model.seconds, "step": step},
    }
    if "label" in table:
        found["classes"] = {
            name: {
                "mean_probability": float(table[f"p_{name}"].mean()),
                "interval": block_interval(table[f"p_{name}"].to_numpy(), overlap),
                "time_share": float((table["label"] == name).mean()),
            }
            for name in model.labels
        }
        found["confidence"] = float(table["confidence"].mean())
    if AFFECT[0] in table:
        found["affect"] = {
            name: {"mean": float(table[name].mean()), "interval": block_interval(table[name].to_numpy(), overlap)}
            for name in AFFECT
        }
    found["level"] = LEVEL
    return found
