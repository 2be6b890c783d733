"""What a finished run left on disk -> what a report is made of."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from mdjpt_model.losses import chance_contrast
from mdjpt_platform import __version__
from mdjpt_platform.config import Config
from mdjpt_platform.data.plan import windows_per_side
from mdjpt_platform.errors import BadInput
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
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    stores = open_stores(config, tuple(dict.fromkeys((*run.sources, *run.targets))), verify=False)
    plan = prepare_plan(run, {name: stores[name] for name in run.sources}).plan
    done = [target for target in run.targets if (evaluation / target / "results.json").exists()]
    if run.targets and not done:
        raise BadInput(evaluation, "evaluation", "nothing", "results: run `mdjpt evaluate` with the same run file")
    return ReportInputs(
        title=run.name,
        config=run.model_dump(mode="json"),
        identities={"run": about["identity"], "weights": result["weights_sha256"][:16]}
        | {f"store {name}": store.fingerprint for name, store in stores.items()},
        versions={"mdjpt": __version__} | {name: version(name) for name in ("torch", "ray", "mne", "mlflow", "numpy")},
        history=read_jsonl(folder / "metrics.jsonl"),
        contrast_chance={name: chance_contrast(2 * v) for name, v in windows_per_side(plan).items()},
        corpora=[_corpus(config, name, store) for name, store in stores.items()],
        targets=[load_target(evaluation / target) for target in done],
        atlas=pd.read_parquet(evaluation / ATLAS) if (evaluation / ATLAS).exists() else None,
    )


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
