"""What the causal mode costs in time, and how near it comes to offline prediction.

A JSON line a figure: the delay of the filters by frequency; the time from a window's last sample to its answer at
published sizes (random weights), samples arriving 40 ms at a time, in caps of 19 and 60 channels, by the clock and by
what the processor was busy for (which a crowded machine changes less); and, on recordings, the agreement with offline
prediction window by window. With random weights the classes say nothing about emotion, but they are a function of the
features like any other: they differ where the features do.

    python benchmarks/causal.py [--seconds N] [--files FILE.edf ...] [--model FOLDER] [--threads N]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from icalabel import CAPS
from measure import emit
from scipy import signal as sp

from mdjpt_model.emod.model import Emod
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.layers import statistics_of
from mdjpt_model.model import MdJPT
from mdjpt_model.pretrained import FORMAT, MODES, Pretrained
from mdjpt_model.readout import Readout
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.config import StepConfig
from mdjpt_platform.export.folder import load
from mdjpt_platform.predict.causal import answers, table
from mdjpt_platform.predict.online import Chunk, Online, Source, quantiles
from mdjpt_platform.predict.recording import hear
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.preprocess import recipe_hash, resolve
from mdjpt_platform.preprocess.causal_filters import Polyphase, group_delay

RATE = 500.0
CHUNK_S = 0.04
HERTZ = (1.0, 2.0, 4.0, 10.0, 20.0, 40.0)
LABELS = ("negative", "neutral", "positive")


def random_model(
    spec: ModelSpec | EmodSpec, recipe: str, rate: float = 125.0, window: tuple[float, float] = (5.0, 2.0)
) -> Pretrained:
    """Random weights with read-outs for every mode."""
    torch.manual_seed(0)
    encoder = (MdJPT(spec) if isinstance(spec, ModelSpec) else Emod(spec)).eval()
    steps = [step.model_dump(mode="json") for step in resolve(recipe)]
    config: dict[str, Any] = {
        "format": FORMAT, "family": spec.family, "spec": asdict(spec), "rate": rate,
        "window": {"seconds": window[0], "step": window[1]}, "feature": "me", "decay": 0.99, "labels": list(LABELS),
        "recipe": {"steps": steps, "hash": recipe_hash(recipe), "codes": {}}, "seen": {}, "trained": {},
        "modes": {mode: {"temperature": 1.0} for mode in MODES},
    }  # fmt: skip
    windows = torch.randn(8, 19, round(window[0] * rate))
    names = CAPS[19].split()
    with torch.inference_mode():
        features = Pretrained(config, encoder, {}).features(windows, names, "causal").double()
        frozen = statistics_of(encoder, [encoder.tokens_first(windows, names)]) if isinstance(encoder, MdJPT) else None
    size = features.shape[1]
    readout = Readout(
        features.mean(0), features.var(0) + 1e-6, ((torch.randn(3, size) / size**0.5, torch.zeros(3)),), 1.0,
        (torch.randn(2, size) / size**0.5, torch.zeros(2)), torch.tensor([0.5, 0.5]), frozen,
    )  # fmt: skip
    return Pretrained(config, encoder, dict.fromkeys(MODES, readout))


def recipe_in(model: Pretrained) -> tuple[StepConfig, ...]:
    return resolve([StepConfig(step=one["step"], params=one["params"]) for one in model.recipe])


def delays() -> None:
    for preset in ("mdjpt", "emod"):
        steps = {step.step: step.params for step in resolve(preset)}
        band, rate = steps["band_pass"], steps["resample"]["rate"]
        at = rate if preset == "mdjpt" else RATE  # of the signal where the filter stands
        sos = sp.butter(band["order"], (band["low"], band["high"]), "bandpass", fs=at, output="sos")
        lags = {f"{f:g}": round(group_delay(sos, f, at), 4) for f in HERTZ}
        wait = round(Polyphase(RATE, rate).wait, 4)
        emit("causal/delay", recipe=preset, rate=RATE, resample_wait_s=wait, band_pass_lag_s_by_hz=lags)


def latency(name: str, model: Pretrained, names: tuple[str, ...], seconds: float) -> None:
    rng = np.random.default_rng(0)
    data = 20 * np.cumsum(rng.standard_normal((len(names), round(seconds * RATE))), axis=1) * 0.05
    online = Online(model, recipe_in(model), Source("noise", "noise", names, RATE, iter(())))
    size, spent, cpu = round(CHUNK_S * RATE), [], []
    began = time.perf_counter()
    for first in range(0, data.shape[1], size):
        times = np.arange(first, min(first + size, data.shape[1])) / RATE
        start, used = time.perf_counter(), time.process_time()
        found = list(online.feed(Chunk(data[:, first : first + size], times)))
        if any(line["line"] == "answer" for line in found):
            cpu.append(1e3 * (time.process_time() - used))
        else:
            spent.append(1e3 * (time.perf_counter() - start))
    wall = time.perf_counter() - began
    end = online.end("done")
    emit(
        "causal/latency", model=name, channels=len(names), threads=torch.get_num_threads(), windows=end["answers"],
        compute_ms=end["compute_ms"],
        processor_ms=quantiles(cpu), chunk_ms=quantiles(spent), times_real_time=round(seconds / wall, 1),
        windows_per_s=round(end["answers"] / wall, 1), filters_s=end["delay"], signal_s=seconds,
    )  # fmt: skip


def agreement(model: Pretrained, name: str, path: Path) -> None:
    settings, recipe = Settings(), recipe_in(model)
    heard = hear(path, model, recipe, settings)
    lines = answers(model, recipe, path, settings, Event())
    found = table(lines)
    causal = {round(start, 3): row for row, start in enumerate(found["start"])}
    at = [round(float(start), 3) for start in heard.starts]
    both = [(row, causal[start]) for row, start in enumerate(at) if start in causal]
    rows, ours = map(list, zip(*both, strict=True))
    figures: dict[str, Any] = {"model": name, "file": path.name, "windows": len(rows)}
    for mode in ("whole", "causal"):
        offline = model.predict(heard.windows, heard.channels, mode)
        assert offline.probabilities is not None and offline.affect is not None
        labels = [model.labels[place] for place in offline.probabilities.argmax(1)]
        same = np.mean([labels[row] == found["label"].iloc[other] for row, other in both])
        p = offline.probabilities.numpy()[rows]
        q = found[[f"p_{label}" for label in model.labels]].to_numpy()[ours]
        affect = offline.affect.numpy()[rows]
        figures[f"against_{mode}"] = {
            "same_class": round(float(same), 3),
            "probability_r": round(float(np.corrcoef(p.ravel(), q.ravel())[0, 1]), 3),
            "valence_r": round(float(np.corrcoef(affect[:, 0], found["valence"].to_numpy()[ours])[0, 1]), 3),
            "arousal_r": round(float(np.corrcoef(affect[:, 1], found["arousal"].to_numpy()[ours])[0, 1]), 3),
        }
    emit("causal/agreement", recipe=[step.step for step in recipe], **figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--files", type=Path, nargs="*", default=[])
    parser.add_argument("--model", type=Path)
    arguments, _ = parser.parse_known_args()
    torch.set_num_threads(arguments.threads)
    delays()
    mdjpt = random_model(ModelSpec(), "mdjpt")
    for channels in (19, 60):
        latency("mdjpt", mdjpt, tuple(CAPS[channels].split()), arguments.seconds)
    latency("emod", random_model(EmodSpec(rate=200.0), "emod", 200.0), tuple(CAPS[19].split()), arguments.seconds)
    models = {"random": random_model(ModelSpec(), "mdjpt_no_ica"), "random, ICA": mdjpt}
    if arguments.model:
        models = {arguments.model.name: load(arguments.model)}
    for path in arguments.files:
        for name, model in models.items():
            agreement(model, name, path)


if __name__ == "__main__":
    main()
