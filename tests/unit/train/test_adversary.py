"""A training with an adversary: it is kept in checkpoints, left out of the model, and its loss is logged."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from safetensors.torch import load_file

from exactness import config_tree
from mdjpt_platform.config import Config
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.process import METRICS


def adverse(config: Config, runs: Path) -> Config:
    tree = config_tree(config)
    changes = {"alignment": {"weight": 0.5, "form": "adversarial"}, "train": {"epochs": 3, "steps": 2, "episodes": 2}}
    return parse({**tree, **changes, "exec": {**tree["exec"], "runs": str(runs)}})


def test_interrupted_run_resumes_with_its_adversary(tiny: Config, tmp_path: Path) -> None:
    unbroken = pretrain(adverse(tiny, tmp_path / "whole"))

    def report(epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 0:
            raise RuntimeError("lights out")

    with pytest.raises(RuntimeError, match="lights out"):
        pretrain(adverse(tiny, tmp_path / "again"), hooks=Context(report=report))
    resumed = pretrain(adverse(tiny, tmp_path / "again"))
    assert (resumed.trained.resumed_at, unbroken.trained.resumed_at) == (2, 0)
    assert resumed.trained.weights_sha256 == unbroken.trained.weights_sha256
    kept = load_file(unbroken.folder / "model.safetensors")
    assert set(kept) == set(new_model(adverse(tiny, tmp_path).run).state_dict()), (
        "the adversary is no part of the model"
    )
    for record in read_jsonl(unbroken.folder / METRICS):
        contrast = record["loss/contrast.one"] + record["loss/contrast.two"]
        assert record["loss/total"] == pytest.approx(contrast + 0.5 * record["loss/adversary"], rel=1e-5)
        assert 0.1 < record["loss/adversary"] < 3 * math.log(2) and "loss/alignment" not in record
