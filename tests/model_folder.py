"""A model folder of a tiny run, for tests of what is done with one."""

from __future__ import annotations

from pathlib import Path

from conftest import tiny_tree, write_tiny
from mdjpt_platform.export.run import export
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.launch import pretrain


def make_run(base: Path, **changes: object) -> Path:
    """Folder of a finished pre-training over the small corpora of conftest, whose stores are made below `base`."""
    tree = {**tiny_tree(base / "store", base / "runs"), **changes}
    tree["evaluate"] = {"probe": {"kind": "logistic"}, "folds": 2}
    config = parse(tree)
    write_tiny(base / "store", config)
    return pretrain(config).folder


def make_model(base: Path, **changes: object) -> Path:
    """Its model folder, with read-outs fitted to corpus `three`: classes negative and positive, valence, arousal."""
    run = make_run(base, **changes)
    export(run, base / "model")
    return base / "model"
