"""Artefacts out by independent components: eyes and muscles told from brain by ICLabel, or by frontal channels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import mne
import numpy as np
from pydantic import Field
from scipy import signal as sp
from threadpoolctl import threadpool_limits

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.montage import positions
from mdjpt_platform.preprocess.parameters import Positive, Share
from mdjpt_platform.preprocess.signals import Array, Signals, noted, span

Artefact = Literal["muscle", "eye", "heart", "line", "channel", "other"]
LABELS = ("brain", "muscle", "eye", "heart", "line", "channel", "other")
"""ICLabel's classes in its order."""
THRESHOLDS: dict[str, dict[str, float]] = {
    "default": {"muscle": 0.8, "eye": 0.8},
    "strict": {"muscle": 0.5, "eye": 0.7, "heart": 0.7, "line": 0.7, "channel": 0.7},
}
"""mdJPT's two sets, "Def" and "Cus" of its script (DATASETS 19.1): a component goes from this probability on."""
METHODS: dict[str, dict[str, Any]] = {
    "picard": {"ortho": False, "extended": True},
    "infomax": {"extended": True},
    "fastica": {},
}
"""The first two are extended infomax by different optimisers, which is what ICLabel was trained on."""
BLOCK_S = 10.0
"""Of a long recording, blocks of this length are fitted: ICLabel reads spectra of 1 s and autocorrelations of 3 s."""
FIT_HZ = 200.0
"""From twice this rate on, only every second, third ... sample is fitted: a mixture has no memory."""
PER_WEIGHT = 4
"""Samples a weight of the unmixing, below which nothing is fitted; simulated blinks still went at this many."""
ICLABEL_HZ = 100.0
"""ICLabel's autocorrelation has this rate; mne-icalabel 0.10 fails on a lower one."""
RANK = 1e-6
"""Share of the strongest direction's variance below which MNE calls a mixture unstable; a reference leaves 1e-15."""
AT_ONCE = 1 << 16
"""Samples that are multiplied at a time."""
UNDERSTOOD = (
    "The data has not been high-pass filtered",  # an array does not know its past; it has been where `high_pass` is set
    "The provided Raw instance is not filtered between 1 and 100 Hz",  # true, and measured: see `ica`
)


def ica(
    signals: Signals,
    *,
    method: Literal["picard", "infomax", "fastica"] = "picard",
    components: Annotated[int, Field(ge=2)] | None = None,
    high_pass: Positive | None = 1.0,
    by: Literal["iclabel", "eog", "both"] = "iclabel",
    thresholds: Literal["default", "strict"] | dict[Artefact, Share] = "default",
    eog: tuple[tuple[str, ...], ...] = (("FP1", "FP2"), ("AF3", "AF4")),
    eog_z: Positive = 3.0,
    eog_r: Share | None = None,
    most: Share = 0.5,
    channels: Annotated[int, Field(ge=3)] = 14,
    few: Literal["refuse", "pass"] = "refuse",
    minutes: Positive = 15.0,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Signals:
    """Subtract independent components that are no brain (DATASETS 19.1: runica on the concatenated trials, ICLabel).

    Fitted to the trials one after another, without the pauses, in average reference (as ICLabel wants it) and above
    `high_pass` Hz; of more than `minutes` minutes, to blocks of 10 s spread evenly. As many components as the signal
    has rank, or `components`. What goes is subtracted from the whole signal, unfiltered and in its own reference.
    `by` iclabel: classes with probabilities from `thresholds` on. `by` eog: components that follow the first of the
    sets of channels `eog` which the recording has, by MNE's iterated z-score above `eog_z` (EMOD's way) or, where it is
    set, by |r| above `eog_r`: of 13 values none can exceed a z of 3.3, and in caps of 14 channels the z-score found
    none of the planted eyes, an r of .5 all of them. `both`: either. Where there are fewer than `channels` channels,
    less than 4 samples a weight, less than 100 Hz for ICLabel or none of the `eog` channels, the recording is refused
    or passes as it is, as `few` says.

    ICLabel was trained on 1 to 100 Hz; mdJPT shows it 0.5 to 47 Hz at 125 Hz, and so does its preset here. Measured on
    planted artefacts (benchmarks/icalabel.py, 11 recordings of 5 min, 14 to 60 channels, 298 components): by default
    both bands remove 36, the narrow one 3 more, the wide one 17 more. Of the eyes' power 99.4 % or more goes, of the
    muscles' 12 to 86 % (strict: 27 to 99 %), of the brain's 1 to 10 % (strict: 1 to 16 %).
    The same bits whatever the number of threads. Notes `ica`: method, rank, fit_seconds (of signal), converged and
    components, strongest first: label, probability, variance (share of the fitted signal), removed; or `passed`: why.
    Raises BadInput: more than `most` of the components would go; too little to go by, and `few` refuses; ICLabel asked
    about components of fastica, which it does not know.
    """
    if by != "eog" and method == "fastica":
        raise BadInput(signals.where, "ica", "fastica with ICLabel", "picard or infomax, or `by: eog`")
    with _one_thread():
        part = _training(signals, high_pass, minutes)
        rank = _rank(part - part.mean(axis=0))
        count = min(components or rank, rank)
        sites = next((names for one in eog if (names := [name for name in one if name in signals.names])), [])
        lacking = _lacking(signals, part, channels, PER_WEIGHT * count**2, by, sites)
        if lacking and few == "refuse":
            raise BadInput(signals.where, "ica", *lacking)
        if lacking:
            return noted(signals, "ica", {"passed": "{}, expected {}".format(*lacking)})
        raw = _referenced(signals, part)
        model, converged = _fitted(raw, method, count, seed)
        sources = model.get_sources(raw).get_data()
        maps = _maps(sources, part)
        found = _described(maps, sources, part)
        if by != "eog":
            _mark_by_iclabel(found, model, raw, THRESHOLDS[thresholds] if isinstance(thresholds, str) else thresholds)
        if by != "iclabel":
            rule = {"threshold": eog_z} if eog_r is None else {"threshold": eog_r, "measure": "correlation"}
            for place in model.find_bads_eog(raw, ch_name=sites, verbose="ERROR", **rule)[0]:
                found[place] |= {"label": found[place]["label"] or "eye", "removed": True}
        gone = [place for place, entry in enumerate(found) if entry["removed"]]
        if len(gone) > most * count:
            kinds = ", ".join(sorted({str(found[place]["label"]) for place in gone}))
            raise BadInput(signals.where, "ica", f"{len(gone)} of {count} components: {kinds}", f"at most {most:.0%}")
        if gone:
            _subtract(signals, maps, model, gone)
    note = {"method": method, "rank": rank, "fit_seconds": round(part.shape[1] / signals.rate, 1)}
    return noted(signals, "ica", note | {"converged": converged, "components": found})


def _training(signals: Signals, high_pass: float | None, minutes: float) -> Array:
    """The trials, or blocks of them, one after another: [channels, samples], microvolts in their own reference."""
    length = round(BLOCK_S * signals.rate)
    whole = [
        (place, span(signals, piece, trial))
        for place, piece in enumerate(signals.pieces)
        for trial in piece.trials
        if trial.trial not in signals.dropped
    ]
    limit = round(60 * minutes * signals.rate)
    if sum(where.stop - where.start for _, where in whole) > limit:
        blocks = [
            (place, slice(start, min(start + length, where.stop)))
            for place, where in whole
            for start in range(where.start, where.stop, length)
        ]
        chosen = np.linspace(0, len(blocks) - 1, max(1, limit // length)).round().astype(int)
        whole = [blocks[place] for place in np.unique(chosen)]
    parts = []
    for place, piece in enumerate(signals.pieces):
        mine = [where for owner, where in whole if owner == place]
        if mine:
            data = piece.data if high_pass is None else _above(piece.data, high_pass, signals.rate)
            parts += [data[:, where] for where in mine]
    return np.concatenate(parts, axis=1)


def _above(data: Array, high_pass: float, rate: float) -> Array:
    """Butterworth of order 2 forwards and backwards over mirrored edges, a channel at a time."""
    sos, pad = sp.butter(2, high_pass, "highpass", fs=rate, output="sos"), round(3 / high_pass * rate)
    out = np.empty_like(data)
    for row, values in enumerate(data):
        long = np.pad(values - values.mean(), pad, mode="reflect")
        out[row] = sp.sosfiltfilt(sos, long, padtype=None)[pad : pad + len(values)]
    return out


def _rank(centred: Array) -> int:
    size = np.linalg.eigvalsh(np.cov(centred))
    return int((size > RANK * size[-1]).sum())


def _lacking(
    signals: Signals, part: Array, channels: int, samples: int, by: str, sites: list[str]
) -> tuple[str, str] | None:
    """(what there is, what is expected), or None where there is enough to fit and to tell components by."""
    if len(part) < channels:
        return f"{len(part)} channels", f"at least {channels}"
    if part.shape[1] < samples:
        found, expected = part.shape[1] / signals.rate, samples / signals.rate
        return f"{found:.0f} s of trials", f"at least {expected:.0f} s for {len(part)} channels"
    if by != "eog" and signals.rate < ICLABEL_HZ:
        return f"{signals.rate:g} Hz", f"at least {ICLABEL_HZ:g} Hz for ICLabel"
    if by != "iclabel" and not sites:
        return "no channel near the eyes", "one of `eog`"
    return None


def _referenced(signals: Signals, part: Array) -> mne.io.RawArray:
    place = positions()
    info = mne.create_info(list(signals.names), signals.rate, "eeg", verbose="ERROR")
    info.set_montage(mne.channels.make_dig_montage({name: place[name] for name in signals.names}, coord_frame="head"))
    raw = mne.io.RawArray(part * 1e-6, info, verbose="ERROR")
    return raw.set_eeg_reference("average", verbose="ERROR")


def _fitted(raw: mne.io.BaseRaw, method: str, count: int, seed: int) -> tuple[mne.preprocessing.ICA, bool]:
    """The decomposition, and whether its optimiser says that it is done."""
    model = mne.preprocessing.ICA(count, method=method, fit_params=METHODS[method], random_state=seed, verbose="ERROR")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(raw, decim=max(1, int(raw.info["sfreq"] // FIT_HZ)), verbose="ERROR")
    late = [entry for entry in said if "did not converge" in str(entry.message)]
    for entry in said:
        if entry not in late and UNDERSTOOD[0] not in str(entry.message):
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
    return model, not late


def _described(maps: Array, sources: Array, part: Array) -> list[dict[str, Any]]:
    """A component each, in MNE's order (strongest first): nothing known yet but its share of the variance."""
    share = (maps**2).sum(axis=0) * sources.var(axis=1) / part.var(axis=1).sum()
    return [{"label": "", "probability": None, "variance": round(float(one), 5), "removed": False} for one in share]


def _mark_by_iclabel(
    found: list[dict[str, Any]], model: mne.preprocessing.ICA, raw: mne.io.BaseRaw, thresholds: Mapping[Any, float]
) -> None:
    from mne_icalabel.iclabel import iclabel_label_components  # a second that other recipes need not wait

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=UNDERSTOOD[1])
        probabilities = iclabel_label_components(raw, model, inplace=False, backend="torch")
    for entry, row in zip(found, probabilities, strict=True):
        best = int(np.argmax(row))
        entry["label"], entry["probability"] = LABELS[best], round(float(row[best]), 4)
        entry["removed"] = any(row[LABELS.index(label)] >= least for label, least in thresholds.items())


def _maps(sources: Array, part: Array) -> Array:
    """Microvolts of every component at every channel, in the signal's own reference: least squares."""
    centred = part - part.mean(axis=1, keepdims=True)
    found: Array = np.linalg.solve(sources @ sources.T, sources @ centred.T).T
    return found


def _subtract(signals: Signals, maps: Array, model: mne.preprocessing.ICA, gone: list[int]) -> None:
    """Take components out of the whole signal, in place; fitted to an average reference, they see no other."""
    unmixing = model.unmixing_matrix_ @ model.pca_components_[: model.n_components_] / model.pre_whitener_.T * 1e-6
    keep = np.eye(len(maps)) - maps[:, gone] @ unmixing[gone]
    for piece in signals.pieces:
        for start in range(0, piece.data.shape[1], AT_ONCE):
            view = piece.data[:, start : start + AT_ONCE]
            view[:] = keep @ view


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that the number of cores decides nothing."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
