"""SIGTERM in the midst of an epoch: a checkpoint at the next step, exit 75, and resumed as if nothing had been."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from mdjpt_platform.config import Config
from mdjpt_platform.errors import Preempted
from mdjpt_platform.tracking import read_events, read_jsonl
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import Pretraining, pretrain
from mdjpt_platform.train.notice import STOP, noticed, watching
from mdjpt_platform.train.process import METRICS
from mdjpt_platform.train.step import Losses, Stepper

Report = list[tuple[int, dict[str, float]]]


def short(config: Config, runs: Path) -> Config:
    train = config.run.train.model_copy(update={"episodes": 2, "steps": 4, "epochs": 2})
    execution = config.exec.model_copy(update={"runs": str(runs)})
    return config.model_copy(update={"run": config.run.model_copy(update={"train": train}), "exec": execution})


def reported(config: Config) -> tuple[Pretraining, Report]:
    told: Report = []
    hooks = Context(report=lambda epoch, values: told.append((epoch, values)))
    return pretrain(config, hooks=hooks), told


def losses(values: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in values.items() if key.startswith("loss/")}


def test_told_in_the_midst_of_an_epoch(tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, expected = reported(short(tiny, tmp_path / "whole"))
    config, genuine, steps = short(tiny, tmp_path / "told"), Stepper.backward, iter(range(100))

    def backward(self: Stepper, episodes: Any) -> Losses:
        if next(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return genuine(self, episodes)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "backward", backward)
        with pytest.raises(Preempted, match=r"told to end; step 6 of 8 is kept and the same command goes on") as end:
            pretrain(config)
    assert end.value.code == 75
    (folder,) = (tmp_path / "told").glob("tiny-*")
    assert sorted(path.name[:13] for path in (folder / "checkpoints").iterdir()) == ["step-00000004", "step-00000006"]
    assert not (folder / STOP).exists() and not (folder / "result.json").exists()
    assert read_events(folder / METRICS)[-1]["values"] == {"status": "KILLED"}
    torch.manual_seed(55)
    done, told = reported(config)
    assert done.trained.resumed_at == 6 and done.trained.weights_sha256 == whole.trained.weights_sha256
    logs = [[(m["step"], losses(m)) for m in read_jsonl(one.folder / METRICS)] for one in (done, whole)]
    assert logs[0] == logs[1] and [step for step, _ in logs[0]] == list(range(8))
    assert losses(done.trained.last) == losses(whole.trained.last)
    # the mean over an epoch that was cut in two is that of all of it
    assert [(epoch, losses(values)) for epoch, values in told] == [(1, losses(expected[1][1]))]


def test_told_in_the_last_step_is_finished(tiny: Config, tmp_path: Path) -> None:
    done = pretrain(short(tiny, tmp_path), hooks=Context(report=lambda epoch, _: epoch and os.kill(os.getpid(), 15)))
    assert done.fresh and done.trained.steps == 8


def test_a_second_signal_ends_as_it_always_did(tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with noticed(tmp_path) as told:
            seen = watching(tmp_path)
            assert not told.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            assert told.is_set() and (tmp_path / STOP).exists() and not heard
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == [signal.SIGTERM]
            assert seen(), "a process elsewhere sees it too"
        assert not (tmp_path / STOP).exists()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_notice_for_one_counts_for_all_and_a_kept_step_goes_on(tiny: Config, tmp_path: Path) -> None:
    """`keep`: a checkpoint, and no end."""
    asked = iter(["", "keep", "", "", "", "", "", ""])
    seen: list[list[str]] = []

    def report(epoch: int, values: dict[str, float]) -> None:
        (folder,) = tmp_path.glob("tiny-*")
        seen.append(sorted(path.name[:13] for path in (folder / "checkpoints").iterdir()))

    done = pretrain(short(tiny, tmp_path), hooks=Context(report=report, notice=lambda: next(asked)))  # type: ignore[arg-type,return-value]
    assert done.trained.steps == 8
    assert seen[0] == ["step-00000002", "step-00000004"]
