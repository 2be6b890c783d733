"""One file -> windows as the encoder wants them, through the recipe of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdjpt_model.emod.channels import ELECTRODES
from mdjpt_model.montage import UNIFIED
from mdjpt_model.pretrained import Pretrained
from mdjpt_platform.config import StepConfig
from mdjpt_platform.corpora.anyfile import Opened, open_recording, segment_of
from mdjpt_platform.errors import BadInput
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.preprocess.single import Single, prepare_single


@dataclass(frozen=True)
class Heard:
    """A recording, ready to be read by the encoder."""

    single: Single
    opened: Opened
    seconds: float
    """Length of the file."""
    recorded: float
    """Samples per second of the file."""
    channels: tuple[str, ...]
    """Those that the model has a place for."""
    placeless: tuple[str, ...]
    """Scalp channels that it has none for."""
    coverage: int
    """How many of the model's sites are there under their own name."""
    windows: NDArray[np.float32]
    """[n, C, samples]; a view of the signal where no window is left out."""
    starts: NDArray[np.float64]
    """[n] seconds into the file."""
    left_out: int
    """Windows that touch a stretch marked bad."""


def sites(model: Pretrained) -> tuple[str, ...]:
    """The electrodes that a model reads."""
    return ELECTRODES if model.family == "emod" else UNIFIED


def hear(path: Path, model: Pretrained, recipe: Sequence[StepConfig], settings: Settings) -> Heard:
    """Open, prepare and cut a file.

    Raises BadInput: what `open_recording`, `segment_of` and the steps refuse, fewer sites than `least_channels`, a
    recording shorter than a window, another rate than the model's after the recipe, all windows marked bad.
    """
    opened = open_recording(path, None if settings.rename is None else Path(settings.rename))
    rate = float(opened.raw.info["sfreq"])
    seconds = opened.raw.n_times / rate
    stop = seconds if settings.tmax is None else settings.tmax
    _long_enough(path, min(stop, seconds) - settings.tmin, model)
    enough(path, model, opened.raw.copy().pick("eeg").ch_names, settings.least_channels)
    segment = segment_of(opened, settings.tmin, settings.tmax)
    stretches = [(start - settings.tmin, stop - settings.tmin) for start, stop in opened.artefacts]
    single = prepare_single(segment, str(path), recipe, opened.marked, stretches)
    if single.rate != model.rate:
        raise BadInput(path, "rate after the recipe", f"{single.rate:g} Hz", f"{model.rate:g} Hz, the model's")
    channels = enough(path, model, single.channels, settings.least_channels)
    columns = [single.channels.index(name) for name in channels]
    signal = single.signal if len(columns) == len(single.channels) else single.signal[:, columns]
    _long_enough(path, len(signal) / model.rate, model)
    hop = round((settings.step or model.step) * model.rate)
    if hop < 1:
        raise BadInput("--step", "seconds", settings.step, f"at least a sample, {1 / model.rate:g} s")
    windows = np.lib.stride_tricks.sliding_window_view(signal, model.samples, axis=0)[::hop]
    starts = np.arange(len(windows)) * hop
    kept = np.zeros(len(starts), dtype=bool)
    for begin, end in single.good:
        kept |= (starts >= begin) & (starts + model.samples <= end)
    if not kept.any():
        found = f"none of {len(starts)} windows outside the stretches marked bad"
        raise BadInput(path, "annotations", found, f"a good stretch of {model.seconds:g} s")
    whole = bool(kept.all())
    return Heard(
        single, opened, seconds, rate, tuple(channels), tuple(n for n in single.channels if n not in channels),
        model.coverage(channels), windows if whole else windows[kept], settings.tmin + starts[kept] / model.rate,
        int((~kept).sum()),
    )  # fmt: skip


def enough(path: Path | str, model: Pretrained, names: Sequence[str], least: int) -> list[str]:
    """The channels that the model has a place for. Raises BadInput: too few of its sites among them."""
    placed = [name for name in names if _has_place(model, name)]
    found = model.coverage(placed) if placed else 0
    if found < least:
        shown = f"{found} of the model's {len(sites(model))} sites: {', '.join(placed) or 'none'}"
        raise BadInput(path, "channels", shown, f"at least {least} (--least-channels)")
    return placed


def _has_place(model: Pretrained, name: str) -> bool:
    try:
        model.coverage([name])
    except ValueError:
        return False
    return True


def _long_enough(path: Path, seconds: float, model: Pretrained) -> None:
    if round(seconds * model.rate) < model.samples:
        raise BadInput(path, "length", f"{max(seconds, 0):.4g} s", f"at least one window of {model.seconds:g} s")
