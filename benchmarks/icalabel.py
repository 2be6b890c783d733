"""What ICA with ICLabel takes out of a recording whose truth is planted: blinks, saccades, muscle, and brain with them.

A spherical head (MNE's four-shell model) with dozens of cortical dipoles, each 1/f noise and some a waxing and waning
rhythm; blinks and saccades over the forehead, muscle at the temples and the neck. The recording runs through the steps
of the preset `mdjpt`; what these do in space is found exactly, by least squares between what goes in and what comes
out, and applied to every planted part on its own. Prints a JSON line for every cap, seed and set of thresholds: shares
of the artefacts' power removed (1 - |P a|^2 / |a|^2) and of the brain's kept (1 - |b - P b|^2 / |b|^2), in average
reference and within the preset's band. And a line that says what that band costs ICLabel, which was trained on 1 to
100 Hz: the same components shown to it at 125 Hz and 0.5 to 47 Hz, and at 250 Hz and 1 to 100 Hz.

    python benchmarks/icalabel.py [--seeds N] [--minutes M] [--caps 14,19,30,60]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy import signal as sp

from mdjpt_platform.config import StepConfig
from mdjpt_platform.corpora.base import Trial
from mdjpt_platform.preprocess import STEPS, resolve
from mdjpt_platform.preprocess import ica as inside
from mdjpt_platform.preprocess.montage import positions
from mdjpt_platform.preprocess.signals import Piece, Signals

Array = NDArray[np.float64]

RATE = 250.0
TRIAL_S = 30.0
CAPS = {
    14: "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4",
    19: "FP1 FP2 F3 F4 F7 F8 T7 T8 C3 C4 P7 P8 P3 P4 O1 O2 FZ CZ PZ",
    30: "FP1 FP2 FZ F3 F4 F7 F8 FC1 FC2 FC5 FC6 CZ C3 C4 T7 T8 CP1 CP2 CP5 CP6 PZ P3 P4 P7 P8 PO3 PO4 OZ O1 O2",
    60: "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 "
    "T8 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 O1 OZ O2",
}
RHYTHMS = {"alpha": (8.0, 12.0), "beta": (15.0, 25.0), "theta": (4.0, 7.0)}
CENTRE = np.array([0.0, 0.0, 0.04])


@dataclass(frozen=True)
class Planted:
    """[channels, samples] of every part, microvolts against a mastoid; their sum is the recording."""

    names: tuple[str, ...]
    parts: dict[str, Array]


def plant(names: tuple[str, ...], seconds: float, seed: int, dipoles: int = 40) -> Planted:
    """Draw a head and what it does."""
    rng, samples = np.random.default_rng(seed), round(seconds * RATE)
    gains = leadfield((*names, "TP9"), rng, dipoles)
    activity = np.stack([_course(samples, rng, n) for n in range(dipoles)])
    activity *= np.exp(0.5 * rng.standard_normal(dipoles))[:, None]
    brain = gains @ activity
    brain *= 12 / brain.std(axis=1).mean()
    sites = np.array([positions()[name] for name in (*names, "TP9")])
    place = positions()
    nose = (place["FP1"] + place["FP2"]) / 2 + [0, 0.01, -0.03]
    lids = np.exp(-np.square(np.linalg.norm(sites - nose, axis=1) / 0.055) / 2)
    balls = [place["F7"] + [0.015, 0.025, -0.02], place["F8"] + [-0.015, 0.025, -0.02]]
    left, right = (np.exp(-np.square(np.linalg.norm(sites - ball, axis=1) / 0.04) / 2) for ball in balls)
    eye = np.outer(lids / lids.max(), 150 * _blinks(samples, rng))
    eye += np.outer((left - right) / left.max(), 40 * _saccades(samples, rng))
    muscle = np.zeros_like(brain)
    for site in ("FT9", "FT10", "TP10", "AF7"):
        spot = np.exp(-np.square(np.linalg.norm(sites - 1.02 * place[site], axis=1) / 0.03) / 2)
        muscle += np.outer(spot, 60 * _bursts(samples, rng))
    noise = 0.5 * rng.standard_normal(brain.shape)
    parts = {"brain": brain, "eye": eye, "muscle": muscle, "noise": noise}
    return Planted(names, {key: part[:-1] - part[-1] for key, part in parts.items()})


def leadfield(names: tuple[str, ...], rng: np.random.Generator, dipoles: int) -> Array:
    """[channels, dipoles]: cortical patches of one moment 7 cm from the centre, above the ears, mostly radial."""
    info = mne.create_info(list(names), RATE, "eeg", verbose="ERROR")
    place = positions()
    info.set_montage(mne.channels.make_dig_montage({n: place[n] + CENTRE for n in names}, coord_frame="head"))
    normals = rng.standard_normal((dipoles, 3))
    normals[:, 2] = np.abs(normals[:, 2])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    tilted = normals + 0.5 * rng.standard_normal(normals.shape)
    space = mne.setup_volume_source_space(pos={"rr": CENTRE + 0.07 * normals, "nn": normals}, verbose="ERROR")
    sphere = mne.make_sphere_model(tuple(CENTRE), 0.095, verbose="ERROR")
    forward = mne.make_forward_solution(info, None, space, sphere, meg=False, mindist=0.0, verbose="ERROR")
    gains = np.einsum("csk,sk->cs", forward["sol"]["data"].reshape(len(names), dipoles, 3), tilted)
    found: Array = gains / np.abs(gains).max()
    return found


def _course(samples: int, rng: np.random.Generator, number: int) -> Array:
    """1/f noise; in two of three dipoles with a rhythm that comes and goes."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.fft.rfftfreq(samples, 1 / RATE)[1:] ** rng.uniform(0.5, 0.8)
    course = np.fft.irfft(spectrum, samples)
    course = _above_drift(course) * np.exp(0.4 * _slow(samples, 0.3, rng))
    course /= course.std()
    band = [*RHYTHMS.values(), None][number % 4] if number % 4 < 3 else None
    if band:
        rhythm = sp.sosfiltfilt(sp.butter(2, band, "bandpass", fs=RATE, output="sos"), rng.standard_normal(samples))
        rhythm *= np.exp(1.0 * _slow(samples, 0.5, rng))
        course = course + rng.uniform(0.5, 2.0) * rhythm / rhythm.std()
    return course


def _above_drift(course: Array) -> Array:
    found: Array = sp.sosfiltfilt(sp.butter(2, 0.3, "highpass", fs=RATE, output="sos"), course)
    return found


def _slow(samples: int, hertz: float, rng: np.random.Generator) -> Array:
    slow = sp.sosfiltfilt(sp.butter(2, hertz, fs=RATE, output="sos"), rng.standard_normal(samples))
    found: Array = slow / slow.std()
    return found


def _blinks(samples: int, rng: np.random.Generator) -> Array:
    """Bumps of 0.3 s, one in four seconds."""
    starts = (rng.random(samples) < 0.25 / RATE) * rng.uniform(0.6, 1.2, samples)
    return np.convolve(starts, np.hanning(round(0.3 * RATE)))[:samples]


def _saccades(samples: int, rng: np.random.Generator) -> Array:
    """Gaze that jumps every second or so, as an amplifier shows it."""
    gaze = np.cumsum((rng.random(samples) < 0.8 / RATE) * rng.standard_normal(samples))
    gaze = sp.sosfiltfilt(sp.butter(2, (0.2, 30.0), "bandpass", fs=RATE, output="sos"), gaze)
    found: Array = gaze / np.abs(gaze).std()
    return found


def _bursts(samples: int, rng: np.random.Generator) -> Array:
    """Noise of 20 to 100 Hz that is there a third of the time."""
    noise = sp.sosfiltfilt(sp.butter(2, (20.0, 100.0), "bandpass", fs=RATE, output="sos"), rng.standard_normal(samples))
    on = _slow(samples, 0.2, rng) > 0.4
    found: Array = noise / noise.std() * np.convolve(on, np.hanning(25) / 12, "same")
    return found


def recording(planted: Planted, part: str | None = None) -> Signals:
    """The sum, or one part, as trials of 30 s."""
    data = sum(planted.parts.values()) if part is None else planted.parts[part]
    starts = np.arange(0, np.shape(data)[1] / RATE - TRIAL_S + 0.1, TRIAL_S)
    trials = tuple(
        Trial(trial=n, stimulus=f"s{n}", play_order=n, label=None, start=float(a), stop=float(a) + TRIAL_S)
        for n, a in enumerate(starts, 1)
    )
    return Signals(planted.names, RATE, (Piece(np.array(data), trials),), "planted")


def through(signals: Signals, steps: tuple[StepConfig, ...]) -> Signals:
    for step in steps:
        signals = STEPS[step.step].work(signals, **step.params)
    return signals


def measure(planted: Planted, recipe: tuple[StepConfig, ...]) -> dict[str, Any]:
    """Shares by part; and what the steps did."""
    names = [step.step for step in recipe]
    before, after = recipe[: names.index("bad_channels")], recipe[names.index("bad_channels") : -1]
    entered = through(recording(planted), before)
    copied = replace(entered, pieces=tuple(Piece(piece.data.copy(), piece.trials) for piece in entered.pieces))
    begin = time.perf_counter()
    left = through(copied, after)
    seconds = time.perf_counter() - begin
    parts = {key: through(recording(planted, key), before[2:]) for key in planted.parts}  # names and unit are right
    size = {key: [0.0, 0.0, 0.0] for key in parts}
    length = round(TRIAL_S * left.rate)
    for start in range(0, entered.pieces[0].data.shape[1] - length + 1, length):
        where = slice(start, start + length)
        x, y = entered.pieces[0].data[:, where], left.pieces[0].data[:, where]
        space = np.linalg.lstsq(x.T, y.T, rcond=None)[0].T
        for key, part in parts.items():
            truth = part.pieces[0].data[:, where]
            done, truth = space @ truth, truth - truth.mean(axis=0)
            size[key][0] += float((truth**2).sum())
            size[key][1] += float((done**2).sum())
            size[key][2] += float(((truth - done) ** 2).sum())
    found: dict[str, Any] = {f"{key}_removed": 1 - size[key][1] / size[key][0] for key in ("eye", "muscle")}
    found["brain_kept"] = 1 - size["brain"][2] / size["brain"][0]
    found |= {f"{key}_uv": float(np.sqrt(size[key][0] / left.pieces[0].data.size)) for key in parts}
    note = left.notes.get("ica", {})
    gone = [entry for entry in note.get("components", ()) if entry["removed"]]
    return found | {"seconds": seconds, "components": len(note.get("components", ())), "gone": len(gone), "note": note}


def with_ica(**params: Any) -> tuple[StepConfig, ...]:
    """The preset `mdjpt` with other parameters of its ICA."""
    return tuple(
        StepConfig(step=step.step, params={**step.params, **params}) if step.step == "ica" else step
        for step in resolve("mdjpt")
    )


def views(planted: Planted) -> dict[str, Any]:
    """How far the narrow band moves ICLabel: mean and largest change of a component's probabilities, and decisions."""
    from mne_icalabel.iclabel import iclabel_label_components

    narrow = through(recording(planted), resolve("mdjpt")[:4])
    wide = through(recording(planted), (StepConfig(step="band_pass", params={"low": 1.0, "high": 100.0}),))
    part = inside._training(narrow, 1.0, 60.0)
    shown = [inside._referenced(narrow, part), inside._referenced(wide, inside._training(wide, None, 60.0))]
    model, _ = inside._fitted(shown[0], "picard", inside._rank(part - part.mean(axis=0)), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        narrow_p, wide_p = (iclabel_label_components(raw, model, inplace=False, backend="torch") for raw in shown)
    change = np.abs(narrow_p - wide_p).max(axis=1)
    found: dict[str, Any] = {"mean_change": float(change.mean()), "largest_change": float(change.max())}
    for name, thresholds in inside.THRESHOLDS.items():
        gone = [
            np.any([p[:, inside.LABELS.index(label)] >= least for label, least in thresholds.items()], axis=0)
            for p in (narrow_p, wide_p)
        ]
        found[name] = {
            "both": int((gone[0] & gone[1]).sum()),
            "narrow_only": int((gone[0] & ~gone[1]).sum()),
            "wide_only": int((gone[1] & ~gone[0]).sum()),
        }
    return found | {"components": len(change)}


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    return {key: round(float(value), 4) if isinstance(value, float) else value for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--caps", default="14,30,60")
    arguments, _ = parser.parse_known_args()
    for cap in map(int, arguments.caps.split(",")):
        for seed in range(arguments.seeds):
            planted = plant(tuple(CAPS[cap].split()), 60 * arguments.minutes, seed)
            facts = {"channels": cap, "seed": seed, "minutes": arguments.minutes}
            for thresholds in inside.THRESHOLDS:
                found = measure(planted, with_ica(thresholds=thresholds))
                found |= {"converged": found.pop("note").get("converged")}
                line = {"figure": "icalabel", **facts, "thresholds": thresholds, **rounded(found)}
                print(json.dumps(line), flush=True)
            print(json.dumps({"figure": "icalabel/band", **facts, **rounded(views(planted))}), flush=True)


if __name__ == "__main__":
    main()
