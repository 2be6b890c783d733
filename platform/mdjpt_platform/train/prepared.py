"""Prepared data of a run: which stores, opened how, and the plan over them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdjpt_model.encoders import ENCODERS
from mdjpt_platform.config import Config, RunConfig, WindowConfig
from mdjpt_platform.data.plan import Pair, Plan, pairs
from mdjpt_platform.errors import BadInput
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

    Raises BadInput: an encoder that does not exist, a window that does not fit the model or a trial, no pairs, labels
    that a supervised contrast cannot go by.
    """
    if run.model.encoder not in ENCODERS:
        raise BadInput("configuration", "model.encoder", repr(run.model.encoder), f"one of: {', '.join(ENCODERS)}")
    length, hop, choices = {}, {}, {}
    for name, store in stores.items():
        length[name], hop[name] = samples(run.window, store.rate)
        patches = run.model.patches(length[name])
        if patches // run.model.attention_kernel < 5:
            need = (5 * run.model.attention_kernel - 1) * run.model.stride + run.model.patch
            raise BadInput("configuration", "window.seconds", f"{length[name]} samples at {store.rate:g} Hz",
                           f"at least {need} samples for the model's projector")  # fmt: skip
        if run.contrast.kind == "supervised":
            _require_labels(store)
        choices[name] = _among(pairs(store.index, name, length[name], hop[name]), run.only.get(name), store)
    return Prepared(stores, length, Plan(choices, hop, run.seed, run.train.episodes, run.contrast.positives))


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
    absent = sorted(set(only) - set(store.index["subject"]))
    kept = tuple(pair for pair in found if set(pair.subjects) <= set(only))
    if absent or not kept:
        name = store.manifest.corpus
        raise BadInput(
            "configuration", f"only.{name}", f"no {', '.join(absent)}" if absent else "no pair", "its subjects"
        )
    return kept
