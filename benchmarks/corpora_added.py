"""Does another corpus in the pre-training hurt? Held-out scores after {a}, {a, b} and {a, b, c}, at equal steps.

Simulated corpora whose subjects share what they see; a step takes one pair from every corpus, so with more corpora it
also takes more windows (printed). Prints a JSON line for every number of corpora and seed, and one with the mean
difference for each corpus added, its interval from drawing subjects and seeds anew, for the encoder and every read-out.

    python benchmarks/corpora_added.py [--smoke] [--out FOLDER] [--seeds N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mdjpt_platform.config import Config
from mdjpt_platform.evaluate.run import evaluate_target
from mdjpt_platform.preprocess.run import prepare
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.verbs import with_simulated

SOURCES = ("a", "b", "c")
TARGET = "held-out"
METRIC = "balanced_accuracy"
CORPORA: dict[str, dict[str, Any]] = {
    "a": {"layout": "seed", "facts": {"stimuli": [1, 2, 3, 4, 5, 6, 7, 8, 9]}},
    "b": {"layout": "faced", "labels": "valence", "facts": {"stimuli": [1, 4, 7, 13, 14, 15, 17, 20, 23]}},
    "c": {"layout": "seed", "facts": {"stimuli": [1, 2, 3, 4, 5, 6, 10, 11, 12]}},
    TARGET: {"layout": "deap", "facts": {"stimuli": [1, 2, 11, 12, 21, 22, 31, 32]}},
}
MODEL = {"hidden": 16, "features": 16, "depth": 1, "heads": 4, "spatial": 16, "stride": 24, "attention_kernel": 4}


def config(folder: Path, sources: tuple[str, ...], seed: int, smoke: bool) -> Config:
    """The run of one cell; corpora, steps and model are the same for all of them."""
    corpora = {}
    for name, corpus in CORPORA.items():
        facts = {**corpus["facts"], "sessions": 1, "seconds": 12 if smoke else 24}
        count = 4 if smoke else 12 if name == TARGET else 8
        corpora[name] = {**corpus, "facts": facts, "simulate": {"subjects": count}}
    tree = {
        "name": "corpora-added",
        "seed": seed,
        "corpora": corpora,
        "sources": sources,
        "targets": [TARGET],
        "recipe": "mdjpt_no_ica",
        "model": MODEL,
        "contrast": {"temperature": 0.1},
        "optim": {"lr": 0.01},
        "train": {"epochs": 1, "steps": 5 if smoke else 120},
        "evaluate": {"folds": 2 if smoke else 4, "stimulus_folds": 0, "controls": [], "bootstrap": 100},
        "exec": {"engine": "local", "threads": 1, "mlflow": "off", "progress": False}
        | {place: str(folder / place) for place in ("simulated", "store", "runs")},
    }
    return parse(tree)


def cell(run: Config) -> tuple[pd.DataFrame, int, float]:
    """Score of every target subject by read-out, windows in a step, seconds of training."""
    begin = time.perf_counter()
    done = pretrain(run)
    seconds = time.perf_counter() - begin
    stores = open_stores(run, (*run.run.sources, TARGET), verify=False)
    sources = {name: stores[name] for name in run.run.sources}
    draws = prepare_plan(run.run, sources).plan.row(0, 0).draws.values()
    result = evaluate_target({"trained": load_model(done.folder, run.run.model)}, stores[TARGET], run.run, TARGET)
    subjects = result.subjects.query("metric == @METRIC and lds == 'off'")
    windows = run.run.train.episodes * sum(len(draw.rows) for draw in draws)
    return subjects.pivot(index="subject", columns="readout", values="value"), windows, seconds


def slopes(scores: np.ndarray) -> np.ndarray:
    """[counts, ...] -> [...]: least-squares change of the score for each corpus added."""
    counts = np.arange(len(scores)) - (len(scores) - 1) / 2
    return np.tensordot(counts, scores, 1) / np.square(counts).sum()


def interval(by_seed: np.ndarray, resamples: int = 4000) -> tuple[float, float]:
    """95 % of the mean of [seeds, subjects] with seeds and subjects drawn with replacement."""
    random = np.random.default_rng(0)
    seeds, subjects = by_seed.shape
    drawn = [
        by_seed[np.ix_(random.integers(seeds, size=seeds), random.integers(subjects, size=subjects))].mean()
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def summary(scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """`scores`: read-out -> [counts, seeds, subjects]."""
    found: dict[str, Any] = {"figure": "corpora_added/summary", "metric": METRIC, "unit": "points per corpus added"}
    for readout, values in scores.items():
        change = 100 * slopes(values)
        low, high = interval(change)
        found[readout] = {"mean": round(float(change.mean()), 2), "low": round(low, 2), "high": round(high, 2)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes; the numbers mean nothing")
    parser.add_argument("--out", type=Path, help="folder for data and runs; finished cells there are not run again")
    parser.add_argument("--seeds", type=int, help="number of seeds of weights and plan: 5, with --smoke 2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(arguments.seeds or (2 if arguments.smoke else 5))
    with tempfile.TemporaryDirectory(prefix="mdjpt-corpora-added-") as temporary:
        folder = arguments.out or Path(temporary)
        everything = config(folder, SOURCES, 0, arguments.smoke)
        if not prepare(with_simulated(everything, CORPORA)).ok:
            raise SystemExit("a recording could not be prepared")
        scores: dict[str, list[list[np.ndarray]]] = {}
        for count in range(1, len(SOURCES) + 1):
            for seed in seeds:
                table, windows, seconds = cell(config(folder, SOURCES[:count], seed, arguments.smoke))
                line = {"figure": "corpora_added", "corpora": count, "seed": seed, "windows_per_step": windows}
                line |= {name: round(float(table[name].mean()), 4) for name in table} | {"seconds": round(seconds, 1)}
                print(json.dumps(line), flush=True)
                for name in table:
                    by_count = scores.setdefault(name, [[] for _ in SOURCES])
                    by_count[count - 1].append(table[name].to_numpy())
        print(json.dumps(summary({name: np.array(values) for name, values in scores.items()})))


if __name__ == "__main__":
    main()
