"""A model folder of a tiny run, for tests of what is done with one."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
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
    """Its model folder, with read-outs fitted to corpus `three`: classes negative and positive, valence, arousal.

    Without changes it is made once a session and copied, store and run with it.
    """
    if not changes:
        shutil.copytree(_plain(), base, dirs_exist_ok=True)
        return base / "model"
    export(make_run(base, **changes), base / "model")
    return base / "model"


@cache
def _plain() -> Path:
    base = Path(tempfile.mkdtemp(prefix="model-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    export(make_run(base), base / "model")
    return base
