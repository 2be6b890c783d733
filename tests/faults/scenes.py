"""What is run and broken: a verb on small simulated data, and what two runs of it are compared by."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from conftest import tiny_tree, write_tiny
from mdjpt_platform.config import Config
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import read_jsonl

Result = dict[str, str]
EVALUATE = {"controls": ["random"], "folds": 2, "stimulus_folds": 0, "bootstrap": 100,
            "probe": {"epochs": 1, "hidden": [4]}}  # fmt: skip
RAY = {"engine": "ray", "workers": 2, "cpus": 2, "threads": 1}
SIMULATED = {"sim-a": "seed", "sim-b": "faced"}


@dataclass(frozen=True)
class Sizes:
    """How long the training of a scene is."""

    epochs: int = 4
    steps: int = 10
    seeds: int = 3


@dataclass(frozen=True)
class Scene:
    """A verb. `write(base, disk, sizes)` gives the file it is called with; everything it writes lies below `disk`."""

    verb: tuple[str, ...]
    write: Callable[[Path, Path, Sizes], Path]
    result: Callable[[Path], Result]
    targets: tuple[str, ...]
    ray: bool = False


def make_base(base: Path) -> None:
    """What scenes read: stores, raw recordings."""
    from mdjpt_platform.corpora.simulated import simulate

    write_tiny(base / "store", parse(tiny_tree(base / "store", base / "runs")))
    for name, layout in SIMULATED.items():
        simulate(layout, base / "raw" / name, name, subjects=3, stimuli=4, seconds=8.0)


def _prepare(base: Path, disk: Path, sizes: Sizes) -> Path:
    from mdjpt_platform.corpora.simulated import balanced

    corpora = {
        name: {"layout": layout, "facts": {"stimuli": list(balanced(layout, 4)), "sessions": 1, "seconds": 8}}
        for name, layout in SIMULATED.items()
    }
    raw = {name: str(base / "raw" / name) for name in SIMULATED}
    execution = {"raw": raw, "store": str(disk / "store"), "engine": "local", "progress": False, "keep_steps": "all"}
    tree = {"corpora": corpora, "sources": list(SIMULATED), "recipe": "mdjpt_no_ica", "exec": execution}
    return _written(disk.parent / "run.yaml", tree)


def _stores(disk: Path) -> Result:
    """Bytes of every file of every store; not what lies beside them for the next preparation."""
    found = {}
    for path in sorted((disk / "store").rglob("*")):
        place = path.relative_to(disk / "store")
        if path.is_file() and path.suffix != ".html" and not any(part.startswith(".") for part in place.parts):
            found[str(place)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _pretrain(execution: dict[str, Any]) -> Callable[[Path, Path, Sizes], Path]:
    def write(base: Path, disk: Path, sizes: Sizes) -> Path:
        return _written(disk.parent / "run.yaml", training(base, disk / "runs", sizes, execution))

    return write


def training(base: Path, runs: Path, sizes: Sizes, execution: dict[str, Any]) -> dict[str, Any]:
    """A run file over the stores of `base`."""
    tree: dict[str, Any] = {**tiny_tree(base / "store", runs), "evaluate": EVALUATE}
    tree["train"] = {"epochs": sizes.epochs, "steps": sizes.steps, "episodes": 2}
    tree["exec"] = {**tree["exec"], **execution}
    return tree


def _trained(disk: Path) -> Result:
    """Weights to the bit, and every step of the log once with its losses."""
    (folder,) = (disk / "runs").glob("tiny-*")
    records = read_jsonl(folder / "metrics.jsonl")
    result = json.loads((folder / "result.json").read_text())
    losses = [{k: v for k, v in one.items() if k.startswith("loss/")} for one in records]
    return {
        "weights": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "told": result["weights_sha256"],
        "steps": json.dumps([one["step"] for one in records]),
        "losses": json.dumps(losses),
        "last": json.dumps({k: v for k, v in result["last"].items() if k.startswith("loss/")}),
        "litter": json.dumps([path.name for path in folder.rglob("*.part")]),
    }


def _evaluate(base: Path, disk: Path, sizes: Sizes) -> Path:
    """Over a pre-training that is made once and copied."""
    from mdjpt_platform.train.launch import pretrain

    ready = base / f"trained-{sizes.epochs}-{sizes.steps}"
    config: Config = parse(training(base, ready, sizes, {"threads": 1}))
    if not ready.exists():
        pretrain(config)
    shutil.copytree(ready, disk / "runs", dirs_exist_ok=True)
    return _written(disk.parent / "run.yaml", training(base, disk / "runs", sizes, {}))


def _evaluated(disk: Path) -> Result:
    """Every table, cell by cell."""
    (folder,) = (disk / "runs").glob("tiny-*/evaluation-*")
    found = {str(path.relative_to(folder)): _table(pd.read_parquet(path)) for path in sorted(folder.rglob("*.parquet"))}
    for path in sorted(folder.rglob("*.json")):
        if path.name != "about.json":
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _study(execution: dict[str, Any]) -> Callable[[Path, Path, Sizes], Path]:
    def write(base: Path, disk: Path, sizes: Sizes) -> Path:
        tree = training(base, disk / "runs", Sizes(1, 2), {"threads": 1})
        tree["evaluate"] = {**EVALUATE, "controls": []}
        _written(disk.parent / "base.yaml", tree)
        pool = {"corpora": ["one", "two"], "design": "all_subsets"}
        study = {"name": "s", "base": "base.yaml", "pool": pool, "seeds": list(range(sizes.seeds)), "exec": execution}
        return _written(disk.parent / "study.yaml", study)

    return write


def _studied(disk: Path) -> Result:
    """The table of all cells, and how often each was entered."""
    from mdjpt_platform.study.run import open_study

    study = open_study(disk.parent / "study.yaml")
    attempts = {key: entry.attempts for key, entry in sorted(study.entries.items())}
    return {"table": _table(study.table()), "attempts": json.dumps(attempts), "left": str(len(study.waiting()))}


def _table(frame: pd.DataFrame) -> str:
    return hashlib.sha256(frame.to_json(double_precision=15, orient="split").encode()).hexdigest()


def _written(path: Path, tree: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


SCENES: dict[str, Scene] = {
    "prepare": Scene(("prepare",), _prepare, _stores, ("driver", "disk")),
    "pretrain": Scene(("pretrain",), _pretrain({"threads": 1}), _trained, ("driver", "disk", "notice")),
    "pretrain-ray": Scene(
        ("pretrain",),
        _pretrain(RAY),
        _trained,
        ("driver", "worker", "start", "raylet", "server", "disk", "notice"),
        ray=True,
    ),
    "evaluate": Scene(("evaluate",), _evaluate, _evaluated, ("driver", "disk")),
    "study": Scene(("study", "run"), _study({"engine": "local", "threads": 1}), _studied, ("driver", "disk")),
    "study-ray": Scene(
        ("study", "run"), _study({"engine": "ray", "cpus": 2}), _studied, ("driver", "worker", "raylet"), ray=True
    ),
}
