"""From samples to answers: none knows a later sample, gaps and missing values have a course, a file is its stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer
from typing import Any

import mne
import numpy as np
import pytest
import torch
from causal import random_model, recipe_in

from mdjpt_model.pretrained import Pretrained
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.errors import BadInput
from mdjpt_platform.predict.causal import answers, table
from mdjpt_platform.predict.live import told_to_end
from mdjpt_platform.predict.online import Chunk, Line, Online, Source
from mdjpt_platform.predict.recording import hear
from mdjpt_platform.predict.replay import replayed
from mdjpt_platform.predict.settings import Settings
from signal_cases import STANDARD, field, noise

RATE, NAMES = 250.0, STANDARD[:12]
SMALL = ModelSpec(
    hidden=16, features=4, heads=2, spatial=6, kernels=2, stride=8, patch=16, dilations=(1, 3), attention_kernel=5
)
WINDOW = (2.56, 0.64)


@pytest.fixture(scope="module")
def model() -> Pretrained:
    return random_model(SMALL, "mdjpt", window=WINDOW)


def signal(seconds: float = 12.0, seed: int = 0) -> np.ndarray:
    samples = round(seconds * RATE)
    return field(samples, NAMES, seed) + noise(len(NAMES), samples, seed + 1) / 3


def source(names: tuple[str, ...] = NAMES, rate: float = RATE) -> Source:
    return Source("a stream", "a stream", names, rate, iter(()))


def cut(data: np.ndarray, size: int, times: np.ndarray | None = None) -> Iterator[Chunk]:
    times = np.arange(data.shape[1]) / RATE if times is None else times
    for at in range(0, data.shape[1], size):
        yield Chunk(data[:, at : at + size], times[at : at + size])


def run(model: Pretrained, data: np.ndarray, size: int = 30, times: np.ndarray | None = None) -> list[Line]:
    online = Online(model, recipe_in(model), source())
    assert online.start()["line"] == "start"
    return [line for chunk in cut(data, size, times) for line in online.feed(chunk)]


def kept(line: Line) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "latency"}


@pytest.mark.parametrize("changed", [1500, 2001])
def test_no_answer_knows_a_later_sample(model: Pretrained, changed: int) -> None:
    data = signal()
    other = data.copy()
    other[:, changed:] = signal(seed=8)[:, changed:]
    before, after = run(model, data), run(model, other)
    assert len(before) == len(after) == 15
    for left, right in zip(before, after, strict=True):
        assert left["line"] == "answer"
        early = left["time"] < changed / RATE - 1e-9
        assert early == (kept(left) == kept(right)), left["time"]
    assert 0 < sum(line["time"] < changed / RATE for line in before) < 15


def test_answers_do_not_depend_on_how_samples_arrive(model: Pretrained) -> None:
    whole = run(model, signal(), 3000)
    for size in (1, 7, 250):
        for left, right in zip(run(model, signal(), size), whole, strict=True):
            assert {**kept(left), "probabilities": 0} | {name: 0 for name in left if "al" in name} == {
                **kept(right), "probabilities": 0
            } | {name: 0 for name in right if "al" in name}  # fmt: skip
            assert left["probabilities"] == pytest.approx(right["probabilities"], abs=2e-5)
            assert (left["valence"], left["arousal"]) == pytest.approx((right["valence"], right["arousal"]), abs=2e-4)


def test_answers_are_those_of_the_model_in_mode_causal(model: Pretrained) -> None:
    from mdjpt_platform.preprocess.causal_chain import Chain

    chain = Chain(recipe_in(model), NAMES, RATE, "a stream", WINDOW)
    windows = [window.data for window in chain(signal()) if window.data is not None]
    expected = model.predict(np.stack(windows), NAMES, "causal")
    assert expected.probabilities is not None
    for place, line in enumerate(run(model, signal())):
        found = list(line["probabilities"].values())
        assert found == pytest.approx(expected.probabilities[place].tolist(), abs=2e-5)
        assert line["label"] == model.labels[int(expected.probabilities[place].argmax())]
        assert line["number"] == place


def test_time_and_latency(model: Pretrained) -> None:
    online = Online(model, recipe_in(model), source())
    start = online.start()
    assert start["delay"]["wait_s"] == pytest.approx(0.128)
    assert "ica" in start["notes"][0] and start["coverage"] == 12
    lines = [line for chunk in cut(signal(), 10) for line in online.feed(chunk)]
    for line in lines:
        assert line["stop"] - line["start"] == pytest.approx(WINDOW[0])
        assert line["time"] - line["stop"] == pytest.approx(0.128 - 1 / 125, abs=1 / RATE)
        assert 0 < line["latency"]["compute_ms"] < 60_000
        assert line["latency"]["delay_s"] == pytest.approx(start["delay"]["total_s"])
    end = online.end("done")
    assert (end["answers"], end["skipped"], end["gaps"], end["seconds"]) == (15, 0, 0, 12.0)
    assert end["compute_ms"]["p50"] <= end["compute_ms"]["p95"] <= end["compute_ms"]["max"]


def test_a_gap_begins_the_window_anew_and_is_told(model: Pretrained) -> None:
    data, times = signal(), np.arange(3000) / RATE
    times[1600:] += 0.49
    assert {line["line"] for line in run(model, data, 250, times)} == {"answer"}
    times[1600:] += 3.0
    lines = run(model, data, 250, times)
    (place,) = (at for at, line in enumerate(lines) if line["line"] == "gap")
    assert lines[place]["seconds"] == pytest.approx(3.49) and lines[place]["time"] == pytest.approx(times[1600])
    assert lines[place - 1]["stop"] <= times[1599] + 1 / RATE
    assert lines[place + 1]["start"] == pytest.approx(times[1600])
    backwards = np.arange(3000) / RATE
    backwards[1600:] -= 2.0
    assert [line["line"] for line in run(model, data, 250, backwards)].count("gap") == 1


def test_missing_values_and_a_dead_cap(model: Pretrained) -> None:
    data = signal()
    data[3, 1200:1700] = np.nan
    replaced = [line["replaced"] for line in run(model, data)]
    assert replaced[0] == [] and [NAMES[3]] in replaced
    data[:, 1000:2200] = np.inf
    lines = run(model, data)
    assert {line["line"] for line in lines} == {"answer", "skipped"}
    assert any("channels" in line["why"] for line in lines if line["line"] == "skipped")
    json.dumps(lines, allow_nan=False)


def test_a_wrong_unit_is_noted_before_the_first_answer(model: Pretrained) -> None:
    lines = run(model, signal() * 1e-6)
    assert [line["line"] for line in lines[:2]] == ["note", "answer"] and "unit" in lines[0]["text"]


def test_refusals(model: Pretrained) -> None:
    with pytest.raises(BadInput, match="rate after the recipe"):
        minimal = random_model(SMALL, "minimal", window=WINDOW)
        minimal.recipe[:] = [step for step in minimal.recipe if step["step"] != "resample"]
        Online(minimal, recipe_in(minimal), source())
    with pytest.raises(BadInput, match="least-channels"):
        Online(model, recipe_in(model), source(NAMES[:3]))
    bare = random_model(SMALL, "mdjpt", window=WINDOW)
    bare.readouts.clear()
    with pytest.raises(BadInput, match="causal"):
        Online(bare, recipe_in(bare), source())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    info = mne.create_info([*NAMES, "X1"], RATE, ["eeg"] * len(NAMES) + ["misc"])
    raw = mne.io.RawArray(np.vstack([1e-6 * signal(), np.ones(3000)]), info, verbose="ERROR")
    raw.info["bads"] = [NAMES[5]]
    raw.save(tmp_path / "a_raw.fif", verbose="ERROR")
    return tmp_path / "a_raw.fif"


def test_a_file_is_answered_as_its_stream_would_be(model: Pretrained, recording: Path) -> None:
    recipe, stop = recipe_in(model), Event()
    found = answers(model, recipe, recording, Settings(), stop)
    live = replayed(recording, None, 50.0, stop)
    online = Online(model, recipe, live)
    online.start()
    paced = [line for chunk in live.chunks for line in online.feed(chunk)]
    assert [kept(line)["stop"] for line in found[1:-1]] == [line["stop"] for line in paced]
    for left, right in zip(found[1:-1], paced, strict=True):
        assert left["probabilities"] == pytest.approx(right["probabilities"], abs=2e-5)
        assert left["replaced"] == [NAMES[5]] and "age_s" in right["latency"]
    rows = table(found)
    assert list(rows["start"]) == pytest.approx([WINDOW[1] * n for n in range(15)])
    assert {"p_negative", "label", "confidence", "valence_low", "arousal_high", "time"} < set(rows.columns)
    later = answers(model, recipe, recording, Settings(tmin=4.0, tmax=8.0), stop)
    assert later[1]["start"] == 4.0 and later[-2]["stop"] < 8.0


def test_a_replay_keeps_the_clock(model: Pretrained, recording: Path) -> None:
    import time

    stop = Event()
    source, began = replayed(recording, None, 20.0, stop), time.perf_counter()
    assert source.now is not None
    for chunk in source.chunks:
        assert source.now() >= chunk.times[-1] - 1e-6  # no sample before its time
    assert time.perf_counter() - began >= 11.9 / 20
    halted = replayed(recording, None, 0.01, stop)
    Timer(0.2, stop.set).start()
    assert len(list(halted.chunks)) <= 1 and time.perf_counter() - began < 10


def test_features_are_near_the_offline_ones(shared: Path) -> None:
    model = random_model(SMALL, "mdjpt_no_ica", window=(5.0, 2.0))
    recipe, path = recipe_in(model), shared / "eeg" / "eegmat" / "Subject05_2.edf"
    heard = hear(path, model, recipe, Settings())
    found = table(answers(model, recipe, path, Settings(), Event()))
    offline = model.predict(heard.windows, heard.channels, "causal")
    assert offline.probabilities is not None
    ours = torch.tensor(found[[f"p_{label}" for label in model.labels]].to_numpy())
    r = np.corrcoef(offline.probabilities[: len(ours)].ravel(), ours.ravel())[0, 1]
    assert r > 0.8


def test_signals_are_heard_once_and_put_back() -> None:
    import os
    import signal as signals

    before, interrupt = signals.getsignal(signals.SIGTERM), signals.getsignal(signals.SIGINT)
    with told_to_end() as stop:
        os.kill(os.getpid(), signals.SIGTERM)
        assert stop.wait(5)
        assert signals.getsignal(signals.SIGTERM) == before
    assert signals.getsignal(signals.SIGINT) == interrupt
