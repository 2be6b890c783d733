"""Prepared data of a run: which stores, opened how, and the plan over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdjpt_platform.config import Config, RunConfig, WindowConfig
from mdjpt_platform.data.pairs import Pair, PairPlan, pairs
from mdjpt_platform.data.plan import Plan
from mdjpt_platform.data.regions import RegionPlan, regions
from mdjpt_platform.errors import BadInput
from mdjpt_platform.families import new_model, refuse_corpus
from mdjpt_platform.objects import at, is_uri
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.store import Store, open_store, store_folder
from mdjpt_platform.store.remote import pull, store_place, working_root
from mdjpt_platform.store.stage import stage


@dataclass(frozen=True)
class Prepared:
    """Open stores of the sources and the plan; sizes in samples by corpus."""

    stores: dict[str, Store]
    length: dict[str, int]
    plan: Plan

    @property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Channels of every corpus, in the run's order."""
        return {name: store.channels for name, store in self.stores.items()}

    @property
    def sizes(self) -> Sizes:
        """What of it a training asks for beside the episodes."""
        prints = {name: store.fingerprint for name, store in self.stores.items()}
        return Sizes(self.channels, dict(self.length), dict(self.plan.windows), prints)


@dataclass(frozen=True)
class Sizes:
    """What a training must know of its sources beside their episodes; travels to nodes that have no store."""

    channels: dict[str, tuple[str, ...]]
    length: dict[str, int]
    """Samples of a window by corpus."""
    windows: dict[str, int]
    """Most windows of each corpus in an episode (Plan.windows)."""
    fingerprints: dict[str, str]
    """Of the stores (Store.fingerprint)."""

    @property
    def buffers(self) -> dict[str, tuple[int, int, int]]:
        """[windows, length, C] by corpus: what holds any episode."""
        return {name: (self.windows[name], self.length[name], len(names)) for name, names in self.channels.items()}


def samples(window: WindowConfig, rate: float) -> tuple[int, int]:
    """Window length and distance in samples."""
    return round(window.seconds * rate), max(1, round(window.step * rate))


def open_stores(config: Config, names: tuple[str, ...], *, verify: bool, staged: bool = False) -> dict[str, Store]:
    """Stores of the named corpora; `staged`: on this node's own disk where `exec.cache` names one.

    Raises BadInput: not prepared yet, damaged, of another recipe.
    """
    stores = {}
    for name in names:
        recipe = resolve(config.run.recipe)
        if is_uri(config.exec.store):
            place = store_place(at(config.exec.store), name, config.run.corpora[name], recipe)
            working_root(config.exec)  # refuses where there is no cache
            stores[name] = pull(place, str(config.exec.cache))
            continue
        folder = store_folder(config.exec.store, name, config.run.corpora[name], recipe)
        if not (Path(folder) / "manifest.json").exists():
            raise BadInput(folder, f"store of {name}", "nothing", "prepared data: run `mdjpt prepare` first")
        stores[name] = open_store(folder, verify=verify)
        if staged and config.exec.cache is not None:
            stores[name] = stage(stores[name], config.exec.cache)
    return stores


def prepare_plan(run: RunConfig, stores: dict[str, Store]) -> Prepared:
    """The plan over open stores.

    Raises BadInput: a model that cannot be built, channels or a window that do not fit the model, trials shorter
    than the window, no pairs, labels that a supervised contrast cannot go by, no coordinates where the run needs them.
    """
    with torch.device("meta"):
        new_model(run)
    length, hop = {}, {}
    for name, store in stores.items():
        length[name], hop[name] = samples(run.window, store.rate)
        refuse_corpus(run.model, name, store.channels, length[name], store.rate)
        if run.contrast.kind == "supervised":
            _require_labels(store)
        if run.affect.weight > 0 and not np.isfinite(store.affect).all(1).any():
            raise BadInput(f"store of {name}", "valence, arousal", "no trial with coordinates",
                           "ratings, or labels with coordinates: affect.weight is not 0")  # fmt: skip
    return Prepared(stores, length, PLANS[run.plan.kind](run, stores, length, hop))


def pair_plan(run: RunConfig, stores: dict[str, Store], length: dict[str, int], hop: dict[str, int]) -> PairPlan:
    """Pairs of the subjects that take part."""
    choices = {
        name: _among(pairs(store.index, name, length[name], hop[name]), run.only.get(name), store)
        for name, store in stores.items()
    }
    return PairPlan(choices, hop, run.seed, run.train.episodes, run.contrast.positives)


def region_plan(run: RunConfig, stores: dict[str, Store], length: dict[str, int], hop: dict[str, int]) -> RegionPlan:
    """Regions of the trials of the subjects that take part."""
    found = {}
    for name, store in stores.items():
        only = run.only.get(name)
        _refuse_absent(name, only, store)
        at = np.flatnonzero(store.index["subject"].isin(only)) if only is not None else np.arange(len(store))
        found[name] = regions(store.index, name, at, length[name], hop[name])
    return RegionPlan(found, hop, run.seed, run.train.episodes, run.plan.empty)


PLANS: dict[str, Callable[[RunConfig, dict[str, Store], dict[str, int], dict[str, int]], Plan]] = {
    "pairs": pair_plan,
    "regions": region_plan,
}


def _require_labels(store: Store) -> None:
    """Raises BadInput: labels outside the scheme, or fewer than two classes to tell apart."""
    where, found = f"store of {store.manifest.corpus}", set(store.index["label"].dropna())
    foreign = sorted(found - set(store.labels))
    if foreign:
        raise BadInput(where, "label", ", ".join(foreign), f"one of: {', '.join(store.labels)}")
    if len(found) < 2:
        raise BadInput(where, "label", ", ".join(found) or "no trial with a label",
                       "two classes or more for contrast.kind supervised; choose another label scheme")  # fmt: skip


def _among(found: tuple[Pair, ...], only: tuple[str, ...] | None, store: Store) -> tuple[Pair, ...]:
    """Pairs whose two subjects are among the chosen ones."""
    if only is None:
        return found
    name = store.manifest.corpus
    _refuse_absent(name, only, store)
    kept = tuple(pair for pair in found if set(pair.subjects) <= set(only))
    if not kept:
        raise BadInput("configuration", f"only.{name}", "no pair", "its subjects")
    return kept


def _refuse_absent(name: str, only: tuple[str, ...] | None, store: Store) -> None:
    absent = sorted(set(only or ()) - set(store.index["subject"]))
    if absent:
        raise BadInput("configuration", f"only.{name}", f"no {', '.join(absent)}", "its subjects")
