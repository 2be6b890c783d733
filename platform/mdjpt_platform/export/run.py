"""From the folder of a finished run to a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from mdjpt_model.layers import Mode
from mdjpt_model.pretrained import FORMAT, MODES, Pretrained
from mdjpt_model.readout import Readout
from mdjpt_platform import __version__
from mdjpt_platform.config import Config
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import WindowStore
from mdjpt_platform.export import folder as files
from mdjpt_platform.export.card import card, scores_of
from mdjpt_platform.export.fit import LEVEL, fit_readout
from mdjpt_platform.export.material import Material, tasks_of, truth_of
from mdjpt_platform.export.program import PROGRAM, exported
from mdjpt_platform.export.seen import seen
from mdjpt_platform.operations import manifest
from mdjpt_platform.operations.reproduce import configuration, refuse_other_stores
from mdjpt_platform.preprocess.keys import code_of
from mdjpt_platform.preprocess.recipe import recipe_hash, resolve
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.store import Store
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.prepared import open_stores
from mdjpt_platform.verbs import evaluation_folder

FAMILIES = ("mdjpt", "emod")


def export(
    run: Path, out: Path, on: Sequence[str] | None = None, overrides: Sequence[str] = (), program: bool = False
) -> Pretrained:
    """Write the model folder `out` of the finished run in `run`.

    `on`: corpora of the run whose labels and ratings the read-outs are fitted to; by default its targets, or its
    sources where it has none; empty: the encoder alone. `overrides`: `exec.a=b`, for stores that lie elsewhere now.
    Raises BadInput: no finished run, a model of a library, stores that are absent or hold other data than the run's,
    corpora of different label schemes, a single person, `out` is not new.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(out, "folder", "something there", "a new or empty folder")
    about = manifest.load(run)
    if about.kind != "pretraining" or about.weights is None:
        raise BadInput(run, "kind", about.kind if about.weights else "not finished", "a finished pre-training")
    config = configuration(run, about, run.parent, overrides)
    if config.run.model.family not in FAMILIES:
        expected = f"one of {', '.join(FAMILIES)}: networks of a library come with their own files"
        raise BadInput(run, "model.family", config.run.model.family, expected)
    encoder = load_model(run, config.run.model)
    fitted = tuple(config.run.targets or config.run.sources) if on is None else tuple(on)
    for name in fitted:
        if name not in config.run.corpora:
            raise BadInput("command line", "--on", repr(name), f"one of: {', '.join(config.run.corpora)}")
    names = tuple(dict.fromkeys((*config.run.sources, *fitted)))
    stores = open_stores(config, names, verify=True)
    refuse_other_stores(config, about.stores, config.run.sources)
    readouts, labels = _readouts(encoder, config, stores, fitted)
    tree = _config(config, about, stores, fitted, readouts, labels)
    model = Pretrained(tree, cast(Any, encoder), {mode: one for mode, (one, _) in readouts.items()})
    scores = _evaluated(config, run)
    more = {PROGRAM: exported(model)} if program else {}
    files.write(out, model, card(tree, config.run.name, scores), more)
    return model


def _readouts(
    encoder: Any, config: Config, stores: Mapping[str, Store], fitted: Sequence[str]
) -> tuple[dict[Mode, tuple[Readout, dict[str, Any]]], tuple[str, ...]]:
    if not fitted:
        return {}, ()
    typed: dict[str, WindowStore] = dict(stores)
    tasks = tasks_of(typed, fitted, config.run)
    truth = truth_of(tasks)
    found: dict[Mode, tuple[Readout, dict[str, Any]]] = {}
    for mode in MODES:
        material = Material(encoder, tasks, config.run.evaluate, mode, config.exec.progress)
        found[mode] = fit_readout(material, truth, config.run.evaluate)
    return found, truth.labels


def _config(
    config: Config, about: manifest.Manifest, stores: Mapping[str, Store], fitted: Sequence[str],
    readouts: Mapping[Mode, tuple[Readout, dict[str, Any]]], labels: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    run, steps = config.run, resolve(config.run.recipe)
    modes = {
        mode: {
            "temperature": readout.temperature, "level": LEVEL, "scores": worth,
            "halfwidth": None if readout.halfwidth is None else [float(one) for one in readout.halfwidth],
        }
        for mode, (readout, worth) in readouts.items()
    }  # fmt: skip
    return {
        "format": FORMAT, "family": run.model.family, "spec": asdict(cast(Any, run.model)),
        "rate": next(iter(stores.values())).rate, "window": run.window.model_dump(), "feature": run.evaluate.feature,
        "decay": run.evaluate.decay, "labels": list(labels) if readouts else [], "modes": modes,
        "recipe": {
            "steps": [step.model_dump(mode="json") for step in steps], "hash": recipe_hash(steps),
            "codes": {step.step: code_of(STEPS[step.step].work) for step in steps},
        },
        "seen": seen(stores, config.exec.progress),
        "trained": _origin(config, about, stores, fitted),
    }  # fmt: skip


def _origin(
    config: Config, about: manifest.Manifest, stores: Mapping[str, Store], fitted: Sequence[str]
) -> dict[str, Any]:
    sources = config.run.sources
    rows = []
    for name, store in stores.items():
        parts = [word for word, there in (("pre-training", name in sources), ("read-out", name in fitted)) if there]
        layout = store.manifest.layout
        rows.append({
            "name": name, "layout": layout, "part": ", ".join(parts), "fingerprint": store.fingerprint,
            "people": int(store.index["subject"].nunique()),
            "licence": _licence(config, store),
        })  # fmt: skip
    return {
        "identity": about.identity, "sources": list(sources), "fitted": list(fitted), "corpora": rows,
        "simulated": [name for name in stores if config.run.corpora[name].simulate is not None],
        "protocol": config.run.evaluate.protocol, "seed": config.run.seed, "version": __version__, "code": about.code,
        "git": about.git, "weights": about.weights,
    }  # fmt: skip


def _licence(config: Config, store: Store) -> str:
    if config.run.corpora[store.manifest.corpus].simulate is not None:
        return "none, simulated"
    return store.manifest.provenance.get("licence") or CORPORA[store.manifest.layout].facts.licence or "its own"


def _evaluated(config: Config, run: Path) -> list[dict[str, Any]]:
    there = evaluation_folder(config, run)
    return [row for target in config.run.targets if (there / target / "scores.parquet").exists()
            for row in scores_of(there / target)]  # fmt: skip
