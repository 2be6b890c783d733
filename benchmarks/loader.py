"""The loader beside what the hardware gives: windows a second, time to the first batch, share of a step spent waiting.

`make bench` runs `main`; `python benchmarks/loader.py stream` starts a private Ray for the streamed path too. One JSON
line a figure.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import compare

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.config import Config
from mdjpt_platform.data.ahead import CPU
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.local import prefetch
from mdjpt_platform.data.resident import gathered, hold
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import TrialRow, write_store
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import Prepared, open_stores, prepare_plan
from mdjpt_platform.train.process import METRICS

STEPS, RATE, SUBJECTS, STIMULI, SECONDS = 120, 125.0, 12, 28, 30
LONG = 10**6
"""Steps of a run whose loader never ends: it has its memory, as in all of a training but its beginning."""
MODEL = {"hidden": 16, "features": 4, "depth": 1, "heads": 2, "spatial": 6, "kernels": 2, "stride": 8, "patch": 16,
         "dilations": [1, 3], "attention_kernel": 5}  # fmt: skip
"""A small encoder: its steps are short, so what they wait for shows."""
CORPORA = {"small": UNIFIED[:20], "large": UNIFIED}
"""Channels by corpus: 20, and the 60 of the unified layout."""


def configuration(folder: Path) -> Config:
    """A run over the two corpora, with windows of 5 s."""
    return parse({
        "name": "loader", "recipe": "minimal", "sources": list(CORPORA),
        "corpora": {name: {"layout": "seed"} for name in CORPORA},
        "model": MODEL,
        "train": {"epochs": 1, "steps": 20, "episodes": 1},
        "exec": {"store": str(folder / "store"), "runs": str(folder / "runs"), "engine": "local", "mlflow": "off",
                 "progress": False},
    })  # fmt: skip


def write_stores(config: Config) -> None:
    rng = np.random.default_rng(0)

    def row(name: str, subject: int, stimulus: int) -> TrialRow:
        return TrialRow(corpus=name, subject=f"{subject:02d}", session=1, trial=stimulus + 1, stimulus=str(stimulus),
                        play_order=stimulus + 1, label=None, samples=1)  # fmt: skip

    for name, channels in CORPORA.items():
        shape = (round(SECONDS * RATE), len(channels))
        trials: Iterator[tuple[TrialRow, Any]] = (
            (row(name, subject, stimulus), rng.standard_normal(shape, dtype=np.float32))
            for subject in range(SUBJECTS)
            for stimulus in range(STIMULI)
        )
        write_store(config.exec.store, name, config.run.corpora[name], resolve("minimal"), trials, channels=channels,
                    rate=RATE, labels=())  # fmt: skip


def opened(config: Config) -> Prepared:
    return prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))


def windows_per_second(prepared: Prepared) -> None:
    """Bare reads copy the very windows of the plan, known beforehand, from plain memory maps of the files.

    They go into one buffer, which stays in the processor's cache, and into as many as the prefetch thread needs. The
    loaders run without a break, so that a few of their episodes are ready when a round begins.
    """
    rows, length = list(prepared.plan.rows(0, STEPS)), prepared.length
    maps = {
        name: {file: np.load(store.folder / file, mmap_mode="r").view(np.ndarray) for file in set(store.index["file"])}
        for name, store in prepared.stores.items()
    }
    places = []
    for one in rows:
        found = {}
        for name, draw in one.draws.items():
            trials = prepared.stores[name].index.iloc[draw.rows]
            starts = (trials["offset"].to_numpy() + draw.starts).tolist()
            found[name] = [(maps[name][file], at) for file, at in zip(trials["file"], starts, strict=True)]
        places.append(found)

    ring = [{n: np.empty(shape, np.float32) for n, shape in prepared.sizes.buffers.items()} for _ in range(5)]

    def raw(buffers: int) -> None:
        for number, found in enumerate(places):
            for name, windows in found.items():
                out, samples = ring[number % buffers][name], length[name]
                for place, (mapped, at) in enumerate(windows):
                    out[place] = mapped[at : at + samples]

    most = prepared.plan.windows
    again = itertools.cycle(rows)
    endless = {
        "local": prefetch(again, prepared.stores, length, most),
        "local_and_plan": prefetch(prepared.plan.rows(0, LONG), prepared.stores, length, most),
        "resident": gathered(prepared.plan.rows(0, LONG), hold(prepared.stores, CPU), length),
    }
    candidates: dict[str, Callable[[], object]] = {"raw_memory_map": lambda: raw(5), "raw_one_buffer": lambda: raw(1)}
    candidates |= {name: partial(take, episodes) for name, episodes in endless.items()}
    count = sum(len(draw.rows) for one in rows for draw in one.draws.values())
    size = sum(4 * len(d.rows) * length[n] * len(CORPORA[n]) for one in rows for n, d in one.draws.items())
    compare("loader", candidates, windows=count, gigabytes=size / 1e9)
    for episodes in endless.values():
        episodes.close()


def take(episodes: Iterator[Episode]) -> None:
    for _ in itertools.islice(episodes, STEPS):
        pass


def first_batch(name: str, begin: Callable[[], Iterator[Episode]], rounds: int = 5) -> None:
    """Seconds from nothing opened to the first episode."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        episodes = begin()
        next(episodes)
        seconds.append(time.perf_counter() - started)
        episodes.close()  # type: ignore[attr-defined]
    print(json.dumps({"benchmark": "first_batch", "fetch": name, "rounds": rounds, "first_s": seconds[0],
                      "median_s": statistics.median(seconds)}), flush=True)  # fmt: skip


def local_episodes(config: Config) -> Iterator[Episode]:
    prepared = opened(config)
    return prefetch(prepared.plan.rows(0, STEPS), prepared.stores, prepared.length, prepared.plan.windows)


def waiting(config: Config, **execution: Any) -> None:
    """Share of a training's steps that is spent waiting for episodes; the first step, which starts, by itself."""
    done = pretrain(config.model_copy(update={"exec": config.exec.model_copy(update=execution)}))
    steps = read_jsonl(done.folder / METRICS)
    share = sum(one["time/wait"] for one in steps[1:]) / sum(one["time/step"] for one in steps[1:])
    print(json.dumps({"benchmark": "waiting", "way": Path(done.folder).parent.name, "steps": len(steps), "share": share,
                      "first_wait_s": steps[0]["time/wait"], "step_s": statistics.median(
                          one["time/step"] for one in steps[1:])}), flush=True)  # fmt: skip


def streamed(config: Config, folder: Path) -> None:
    """The streamed path on a private Ray: windows a second beside the local one, and the first batch."""
    import ray
    import ray.data

    from mdjpt_platform.data.stream import source, stream
    from mdjpt_platform.runtime import connect

    os.environ["RAY_TMPDIR"] = str(folder)
    connect(config.exec)
    prepared = opened(config)
    given, sizes = source(prepared.plan, prepared.stores, prepared.length), prepared.sizes
    first_batch("stream", lambda: stream(given, sizes.buffers, (0, STEPS), (0,)))

    endless = {
        "local": prefetch(prepared.plan.rows(0, LONG), prepared.stores, prepared.length, prepared.plan.windows),
        "stream": stream(given, sizes.buffers, (0, 10_000), (0,)),
    }
    candidates: dict[str, Callable[[], object]] = {name: partial(take, found) for name, found in endless.items()}
    compare("loader_stream", candidates, rounds=3, windows=STEPS * sum(sizes.windows.values()))
    for episodes in endless.values():
        episodes.close()
    ray.shutdown()


def main(stream: bool = False) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="mjb") as name:
        folder = Path(name)
        config = configuration(folder)
        write_stores(config)
        first_batch("local", lambda: local_episodes(config))
        windows_per_second(opened(config))
        waiting(config, runs=str(folder / "local"))
        waiting(config, runs=str(folder / "resident"), resident=True)
        if stream:
            streamed(config, folder)


if __name__ == "__main__":
    main(stream=sys.argv[1:] == ["stream"])
