"""EMOD through the training that mdJPT has: resuming, the schedule, and what is refused before anything is trained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from conftest import write_tiny
from exactness import config_tree
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.families import refuse_corpus
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.loop import learning_rate

MODEL = {"family": "emod", "width": 8, "heads": 2, "depth": 1, "feedforward": 8, "hidden": 8, "embedding": 8}
EMOD: dict[str, Any] = {
    "model": MODEL,
    "contrast": {"weight": 0},
    "alignment": {"weight": 0},
    "affect": {"weight": 1},
    "plan": {"kind": "regions"},
    "train": {"epochs": 3, "steps": 2, "episodes": 2},
    "augment": ["noise", "mask"],
    "optim": {"kind": "adamw", "lr": 0.01, "schedule": "cosine", "final": 1e-4, "clip": 3.0},
}


def emod(config: Config, **changes: Any) -> Config:
    return parse({**config_tree(config), **EMOD, **changes})


def test_interrupted_run_resumes_to_the_same_weights(tiny: Config, tmp_path: Path) -> None:
    """Dropout, augmentation and the schedule go by the step, so nothing of them is lost."""
    unbroken = pretrain(emod(tiny))
    again = emod(tiny, exec={**config_tree(tiny)["exec"], "runs": str(tmp_path / "again")})

    def report(epoch: int, metrics: dict[str, float]) -> None:
        assert set(metrics) == {"loss/total", "loss/affect", "time/step", "time/wait"}
        if epoch == 1:
            raise RuntimeError("lights out")

    with pytest.raises(RuntimeError, match="lights out"):
        pretrain(again, hooks=Context(report=report))
    resumed = pretrain(again)
    assert (resumed.trained.resumed_at, unbroken.trained.resumed_at) == (4, 0)
    assert resumed.trained.weights_sha256 == unbroken.trained.weights_sha256
    assert load_model(resumed.folder, again.run.model).spec == again.run.model
    with pytest.raises(BadInput, match=r"architecture: \w+: found"):
        load_model(resumed.folder, tiny.run.model)


def test_the_last_step_of_a_cosine_has_the_final_rate(tiny: Config) -> None:
    run = emod(tiny).run
    rates = [learning_rate(run, step) for step in range(6)]
    assert rates[0] == pytest.approx(1e-2) and rates[-1] == pytest.approx(1e-4)
    assert all(one > other for one, other in itertools.pairwise(rates))
    assert learning_rate(tiny.run, 4) == tiny.run.optim.lr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {**MODEL, "rate": 200}}, r"320 samples at 125 Hz of one, expected the model's 200 Hz"),
        ({"window": {"seconds": 0.1, "step": 0.1}}, r"window\.seconds: found 12 samples .* at least 25 samples"),
    ],
)
def test_what_it_cannot_take_is_said_before_the_training(tiny: Config, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        pretrain(emod(tiny, **change))
    assert not Path(tiny.exec.runs).exists()


def test_a_corpus_without_coordinates_is_refused_where_they_are_needed(tiny: Config, tmp_path: Path) -> None:
    tree = {**config_tree(tiny)["exec"], "store": str(tmp_path / "store")}
    write_tiny(tmp_path / "store", tiny, names=("one", "two"), affect=lambda *trial: {})
    for config in (emod(tiny, exec=tree), parse({**config_tree(tiny), "affect": {"weight": 1}, "exec": tree})):
        with pytest.raises(BadInput, match="store of one: valence, arousal: found no trial with coordinates"):
            pretrain(config)


def test_an_electrode_without_a_place_is_named(tiny: Config) -> None:
    with pytest.raises(BadInput, match=r"store of lab: channels: found electrodes without a row .*: EXG1, expected"):
        refuse_corpus(emod(tiny).run.model, "lab", ("CZ", "EXG1"), 320, 125.0)
    with pytest.raises(BadInput, match=r"channels without a 10-05 position: EXG1"):
        refuse_corpus(tiny.run.model, "lab", ("CZ", "EXG1"), 320, 125.0)
