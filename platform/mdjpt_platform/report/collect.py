"""What a finished run left on disk -> what a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from mdjpt_model.losses import chance_contrast
from mdjpt_platform import __version__
from mdjpt_platform.config import Config, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import object_of, table_of
from mdjpt_platform.report.inputs import CorpusInfo, ReportInputs, load_target
from mdjpt_platform.store import Store
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.prepared import open_stores, prepare_plan

ATLAS = "atlas.parquet"


def collect(config: Config, folder: Path, evaluation: Path) -> ReportInputs:
    """Inputs of the page of the run in `folder`; targets that were not evaluated yet are left out.

    Raises BadInput: a store, log or result is absent or damaged.
    """
    run = config.run
    about = object_of(folder / "about.json", ["identity"])
    result = object_of(folder / "result.json", ["weights_sha256"])
    stores = open_stores(config, tuple(dict.fromkeys((*run.sources, *run.targets))), verify=False)
    done = [target for target in run.targets if (evaluation / target / "results.json").exists()]
    if run.targets and not done:
        raise BadInput(evaluation, "evaluation", "nothing", "results: run `mdjpt evaluate` with the same run file")
    origin = getattr(run.model, "provenance", "trained here from random weights")
    return ReportInputs(
        title=run.name,
        config=run.model_dump(mode="json"),
        identities={"run": about["identity"], "weights": result["weights_sha256"][:16]}
        | {"model": f"{run.model.family}, {origin}"}
        | {f"store {name}": store.fingerprint for name, store in stores.items()},
        versions={"mdjpt": __version__} | {name: version(name) for name in ("torch", "ray", "mne", "mlflow", "numpy")},
        history=read_jsonl(folder / "metrics.jsonl"),
        contrast_chance=_contrast_chance(run, stores),
        corpora=[_corpus(config, name, store) for name, store in stores.items()],
        targets=[load_target(evaluation / target) for target in done],
        atlas=table_of(evaluation / ATLAS) if (evaluation / ATLAS).exists() else None,
    )


def _contrast_chance(run: RunConfig, stores: Mapping[str, Store]) -> dict[str, float]:
    """By corpus: what embeddings that know nothing give. Not told where it changes from episode to episode."""
    sources = {name: stores[name] for name in run.sources}
    windows = prepare_plan(run, sources).plan.windows
    if run.contrast.kind == "inter_subject":
        told = windows if run.plan.kind == "pairs" else {}
    else:  # windows without a label take no part, and their number is not the same in every episode
        told = {name: count for name, count in windows.items() if (sources[name].codes >= 0).all()}
    return {name: chance_contrast(count) for name, count in told.items()}


def _corpus(config: Config, name: str, store: Store) -> CorpusInfo:
    index = store.index
    roles = [role for role, names in (("source", config.run.sources), ("target", config.run.targets)) if name in names]
    labels = index["label"].astype(object).where(index["label"].notna(), "no label").value_counts(sort=False)
    return CorpusInfo(
        name=name,
        layout=store.manifest.layout,
        subjects=int(index["subject"].nunique()),
        sessions=len(index[["subject", "session"]].drop_duplicates()),
        trials=len(index),
        hours=float(index["samples"].sum() / store.rate / 3600),
        channels=store.channels,
        rate=store.rate,
        labels={str(label): int(count) for label, count in labels.items()},
        failed=store.manifest.failed,
        role=" and ".join(roles),
    )
