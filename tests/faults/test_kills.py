"""One kill a verb at a seeded random moment, and (slow) twenty of every kind: what comes out is an unbroken run's."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from faults.harness import Stage
from faults.processes import Command, Forked
from faults.scenes import SCENES, Sizes, make_base

SMALL = Sizes(epochs=3, steps=3, seeds=1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    base = tmp_path_factory.mktemp("base")
    make_base(base)
    return Stage(base, Forked, SMALL)


@pytest.mark.parametrize(
    "name", ["prepare", "pretrain", *(pytest.param(name, marks=pytest.mark.slow) for name in ("evaluate", "study"))]
)
def test_a_killed_driver_changes_nothing(stage: Stage, name: str) -> None:
    told = stage.kill(name, SCENES[name], "driver", random.Random(f"7-{name}"))
    assert told["equal"], told
    assert told["codes"][-1] == 0 and told["restarted"] == (1 if told["hit"] else 0)


@pytest.mark.slow
@pytest.mark.ray
def test_a_worker_that_dies_while_it_is_started(stage: Stage) -> None:
    """In the second in which Ray Train itself takes a death for the end of the training."""
    real = Stage(stage.base, Command, SMALL)
    told = real.kill("pretrain-ray", SCENES["pretrain-ray"], "start", random.Random(0))
    assert told["hit"].startswith("ray::RayTrainWorker") and told["steps"] == 0
    assert told["equal"] and told["codes"] == [0], told


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(5400)
def test_twenty_kills() -> None:
    """Every scene and every target of faults/scenes.py, as the command line has it."""
    harness = Path(__file__).with_name("harness.py")
    done = subprocess.run(
        [sys.executable, str(harness), "--kills", "20", "--seed", "0"], capture_output=True, text=True
    )
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert summary["equal"] == summary["kills"] - summary["skipped"] and summary["in_the_midst"] >= 10
