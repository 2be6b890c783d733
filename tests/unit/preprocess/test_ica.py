"""Artefacts planted into a head are taken out, its brain stays; real recordings keep what is known of them."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import torch
from scipy.signal import welch
from threadpoolctl import threadpool_limits

from corpora_cases import config, listed, read, real
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import STEPS, ica, resolve, signals, steps
from mdjpt_platform.preprocess.montage import repair
from mdjpt_platform.preprocess.signals import Piece, Signals
from signal_cases import STANDARD, field, recording, trial

BENCHMARK = runpy.run_path(str(Path(__file__).resolve().parents[3] / "benchmarks" / "icalabel.py"))


@cache
def planted(seed: int = 1, cap: int = 30, seconds: float = 90.0) -> Any:
    return BENCHMARK["plant"](tuple(BENCHMARK["CAPS"][cap].split()), seconds, seed)


@cache
def shares(thresholds: str) -> dict[str, Any]:
    return dict(BENCHMARK["measure"](planted(), BENCHMARK["with_ica"](thresholds=thresholds)))


def entered(seed: int = 1, cap: int = 30, seconds: float = 90.0) -> Signals:
    """The planted head, filtered and ready for its ICA."""
    state = BENCHMARK["recording"](planted(seed, cap, seconds))
    return BENCHMARK["through"](state, resolve("mdjpt")[:4])


def copied(state: Signals) -> Signals:
    return replace(state, pieces=tuple(Piece(piece.data.copy(), piece.trials) for piece in state.pieces))


@pytest.mark.parametrize("thresholds", ["default", "strict"])
def test_planted_eyes_and_muscles_go_and_the_brain_stays(thresholds: str) -> None:
    found = shares(thresholds)
    assert found["eye_removed"] > 0.98 and found["muscle_removed"] > 0.8 and found["brain_kept"] > 0.85
    removed = [entry for entry in found["note"]["components"] if entry["removed"]]
    assert {entry["label"] for entry in removed} == {"eye", "muscle"}


def test_note_says_what_was_done() -> None:
    note = json.loads(json.dumps(shares("default")["note"]))
    assert set(note) == {"method", "rank", "fit_seconds", "converged", "components"}
    assert (note["method"], note["rank"], note["fit_seconds"]) == ("picard", 29, 90.0)
    assert len(note["components"]) == 29
    for entry in note["components"]:
        assert set(entry) == {"label", "probability", "variance", "removed"}
        assert entry["label"] in ica.LABELS and 1 / 7 < entry["probability"] <= 1
        if entry["label"] in ("eye", "muscle"):
            assert entry["removed"] == (entry["probability"] >= 0.8)
    assert sum(entry["variance"] for entry in note["components"]) == pytest.approx(1, abs=0.1)
    assert note["components"][0]["variance"] > 0.1 > note["components"][-1]["variance"]


def test_thresholds_of_ones_own() -> None:
    state = entered(seconds=60.0)
    none = steps.ica(copied(state), thresholds={"heart": 0.999})
    for old, new in zip(state.pieces, none.pieces, strict=True):
        np.testing.assert_array_equal(old.data, new.data)
    assert not any(entry["removed"] for entry in none.notes["ica"]["components"])
    eyes = steps.ica(copied(state), thresholds={"eye": 0.8})
    assert {entry["label"] for entry in eyes.notes["ica"]["components"] if entry["removed"]} == {"eye"}
    with pytest.raises(BadInput, match=r"of 29 components: brain, eye.*at most 10%"):
        steps.ica(copied(state), thresholds={"eye": 0.5, "other": 0.01}, most=0.1)


def test_what_goes_is_a_mixture_of_few_components_in_the_signals_own_reference() -> None:
    """What is taken out has the rank of the components removed, and pauses are cleaned as the trials are."""
    state = entered()
    (piece,) = state.pieces
    some = replace(state, pieces=(Piece(piece.data, piece.trials[:2]),))
    out = steps.ica(copied(some))
    gone = [entry for entry in out.notes["ica"]["components"] if entry["removed"]]
    assert out.notes["ica"]["fit_seconds"] == 60.0 and gone
    lost = piece.data - out.pieces[0].data
    pause = lost[:, 60 * 125 :]
    for part in (lost, pause):
        size = np.linalg.svd(part, compute_uv=False)
        assert (size > 1e-9 * size[0]).sum() == len(gone)
    assert np.abs(lost.mean(axis=0)).max() > 1  # not average-referenced on the way
    eye = BENCHMARK["through"](BENCHMARK["recording"](planted(), "eye"), resolve("mdjpt")[2:4]).pieces[0].data
    frontal = state.names.index("FP1")
    assert np.corrcoef(pause[frontal], eye[frontal, 60 * 125 :])[0, 1] > 0.95


def test_the_same_bits_whatever_the_number_of_threads() -> None:
    state, threads = entered(seconds=60.0), torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            with threadpool_limits(count):
                found.append(steps.ica(copied(state)))
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
    assert found[0].notes == found[1].notes
    np.testing.assert_array_equal(found[0].pieces[0].data, found[1].pieces[0].data)


def test_rank_falls_with_reference_and_repair() -> None:
    state = steps.average_reference(entered(seconds=60.0))
    assert steps.ica(copied(state)).notes["ica"]["rank"] == 29  # fitted in that reference anyway
    (piece,) = state.pieces
    weights = repair(state.names, ("C3", "O1"), "spline")
    piece.data[[state.names.index(name) for name in ("C3", "O1")]] = weights @ piece.data
    note = steps.ica(copied(state)).notes["ica"]
    assert note["rank"] == len(note["components"]) == 27
    assert len(steps.ica(copied(state), components=12).notes["ica"]["components"]) == 12


@pytest.mark.parametrize("method", ["fastica", "infomax"])
def test_components_that_follow_the_eyes(method: str) -> None:
    """EMOD's way. The set of channels that the recording has is taken; blinks go with it."""
    state = entered(cap=14, seconds=60.0)
    out = steps.ica(copied(state), by="eog", method=method, eog_r=0.5)
    removed = [entry for entry in out.notes["ica"]["components"] if entry["removed"]]
    assert removed and all(entry["label"] == "eye" and entry["probability"] is None for entry in removed)
    eye = BENCHMARK["through"](BENCHMARK["recording"](planted(cap=14, seconds=60.0), "eye"), resolve("mdjpt")[2:4])
    site = state.names.index("AF3")
    lost, truth = (state.pieces[0].data - out.pieces[0].data)[site], eye.pieces[0].data[site]
    assert ((lost - truth) ** 2).mean() < 0.2 * (truth**2).mean()
    quiet = state.names.index("O1")
    assert np.corrcoef(state.pieces[0].data[quiet], out.pieces[0].data[quiet])[0, 1] > 0.95


def test_both_judges_remove_what_either_would() -> None:
    state = entered(seconds=60.0)
    by = {judge: steps.ica(copied(state), by=judge).notes["ica"]["components"] for judge in ("iclabel", "eog", "both")}
    removed = {judge: {n for n, entry in enumerate(found) if entry["removed"]} for judge, found in by.items()}
    assert removed["both"] == removed["iclabel"] | removed["eog"] and removed["eog"] and removed["iclabel"]


def test_long_recordings_are_fitted_to_blocks_of_them() -> None:
    state = entered()
    assert steps.ica(copied(state), minutes=1.0).notes["ica"]["fit_seconds"] == 60.0
    part, (piece,) = ica._training(state, None, 0.5), state.pieces
    blocks = [piece.data[:, start * 125 : (start + 10) * 125] for start in (0, 40, 80)]
    np.testing.assert_array_equal(part, np.concatenate(blocks, axis=1))


def test_dropped_trials_and_pauses_are_not_fitted() -> None:
    data = np.arange(3000.0)[None].repeat(2, 0)
    piece = Piece(data, (trial(1, 0, 4), trial(2, 8, 12), trial(3, 16, 20)))
    state = Signals(("FP1", "FP2"), 125.0, (piece,), "r", dropped={2: "bad"})
    np.testing.assert_array_equal(ica._training(state, None, 15.0)[0], [*range(500), *range(2000, 2500)])


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({}, field(60 * 125)[:8], "found 8 channels, expected at least 14"),
        ({}, field(20 * 125), r"found 20 s of trials, expected at least 29 s for 31 channels"),
        ({"by": "eog"}, field(60 * 125)[5:], "found no channel near the eyes"),
    ],
)
def test_too_little_refuses_or_passes(changes: dict[str, Any], data: np.ndarray, message: str) -> None:
    data = data + np.random.default_rng(0).standard_normal(data.shape)
    names = STANDARD[5:] if changes else STANDARD[: len(data)]
    with pytest.raises(BadInput, match=message):
        steps.ica(recording(data, names=names), **changes)
    out = steps.ica(recording(data, names=names), few="pass", **changes)
    np.testing.assert_array_equal(out.pieces[0].data, data)
    assert out.notes["ica"]["passed"] in message.replace("found ", "") or "eyes" in out.notes["ica"]["passed"]


def test_what_iclabel_cannot_judge_is_refused() -> None:
    data = field(120 * 90) + np.random.default_rng(0).standard_normal((31, 120 * 90))
    with pytest.raises(BadInput, match="found 90 Hz, expected at least 100 Hz for ICLabel"):
        steps.ica(recording(data, rate=90.0))
    with pytest.raises(BadInput, match="fastica with ICLabel"):
        steps.ica(recording(data, rate=90.0), method="fastica")


# real recordings -------------------------------------------------------------------------------------


def prepared(layout: str, subject: str) -> Signals:
    """A real recording through the preset."""
    (one,) = listed(real(layout), config(layout, subjects=(subject,)))
    state = signals.begin(read(one), one.id, CORPORA[layout].facts.channels)
    with mne.utils.use_log_level("ERROR"):
        for step in resolve("mdjpt"):
            if STEPS[step.step].stage == "recording":
                state = STEPS[step.step].work(state, **step.params)
    return state


def alpha(state: Signals) -> list[tuple[float, float]]:
    """For every trial the frequency over O1 and O2 that stands out most of the 1/f line at 7 to 15 Hz, and how far."""
    found = []
    for _, x in signals.cut(state):
        sites = [state.names.index(name) for name in ("O1", "O2")]
        frequency, spectrum = welch(x.T[sites], state.rate, nperseg=int(4 * state.rate))
        level = np.log(spectrum.mean(axis=0))
        around = ((frequency >= 3) & (frequency <= 7)) | ((frequency >= 15) & (frequency <= 30))
        slope = np.polyfit(np.log(frequency[around]), level[around], 1)
        shown = (frequency >= 7) & (frequency <= 15)
        above = level[shown] - np.polyval(slope, np.log(frequency[shown]))
        found.append((float(frequency[shown][above.argmax()]), float(above.max())))
    return found


SUBJECTS = ("00", "01", "02", "03", "04", "05", "10", "11", "31", "35")


@pytest.mark.parametrize(
    "subject", [s if s in ("01", "31") else pytest.param(s, marks=pytest.mark.slow) for s in SUBJECTS]
)
def test_alpha_survives_in_real_recordings(subject: str) -> None:
    state = prepared("eegmat", subject)
    components = state.notes["ica"]["components"]
    assert len(components) == 18 and sum(entry["removed"] for entry in components) <= 2
    peaks = alpha(state)
    assert len(peaks) == 2
    for frequency, above in peaks:
        assert 9.5 <= frequency <= 13.5 and above > 1, peaks


@pytest.mark.parametrize("subject", ["03", pytest.param("07", marks=pytest.mark.slow), "08"])
def test_ssvep_peaks_survive_and_the_unit_is_mended(subject: str) -> None:
    state = prepared("ssvep_exo", subject)
    assert state.factor == 1e-3
    assert state.notes["ica"] == {"passed": "8 channels, expected at least 14"}
    sites = [state.names.index(name) for name in ("OZ", "O1", "O2")]
    power: dict[str, list[np.ndarray]] = {}
    for one, x in signals.cut(state):
        frequency, spectrum = welch(x.T[sites], state.rate, nperseg=250)
        power.setdefault(str(one.label), []).append(np.log(spectrum).mean(axis=0))
    mean = {label: np.mean(spectra, axis=0) for label, spectra in power.items()}
    lights = {"13Hz": 13, "17Hz": 17, "21Hz": 21}
    gains = np.array([[(mean[w] - mean["rest"])[frequency == hertz][0] for hertz in lights.values()] for w in lights])
    assert np.diag(gains).mean() > gains[~np.eye(3, dtype=bool)].mean() + 0.3, gains


def test_the_wrong_unit_can_be_refused() -> None:
    (one,) = listed(real("ssvep_exo"), config("ssvep_exo", subjects=("01",)))
    with pytest.raises(BadInput, match="a median SD of"):
        steps.unit(signals.begin(read(one), one.id), action="refuse")
