"""A loss that is not finite, or too large: what is said, what is written, and the step repeated from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import CAPS, SUBJECTS, signal
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.store import TrialRow, write_store
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.failed import REPORT, WEIGHTS, main, repeat
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.process import METRICS
from mdjpt_platform.train.step import Losses, Stepper


def short(config: Config, **execution: Any) -> Config:
    train = config.run.train.model_copy(update={"episodes": 2, "steps": 2, "epochs": 2})
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"train": train}),
            "exec": config.exec.model_copy(update=execution),
        }
    )


def ill(folder: Path, config: Config) -> Config:
    """Stores whose corpus `two` holds one trial that is not finite."""
    for name in ("one", "two"):
        trials = []
        for subject in range(SUBJECTS[name]):
            for stimulus in range(4):
                x = signal(name, subject, stimulus)
                if (name, subject, stimulus) == ("two", 3, 1):
                    x[300:, 2] = np.nan
                row = TrialRow(corpus=name, subject=f"{subject:02d}", session=1, trial=stimulus + 1,
                               stimulus=str(stimulus), play_order=1, label=None, samples=1)  # fmt: skip
                trials.append((row, x))
        write_store(folder, name, config.run.corpora[name], resolve(config.run.recipe), trials, channels=CAPS[name],
                    rate=125.0, labels=("negative", "positive"))  # fmt: skip
    return short(config, store=str(folder))


def test_the_step_is_written_down_and_repeats(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ill(tmp_path / "ill", tiny)
    with pytest.raises(MdjptError, match=r"^step \d: the loss is not finite: .*repeat it: python -m mdjpt_platform"):
        pretrain(config)
    (folder,) = Path(config.exec.runs).glob("tiny-*")
    report = json.loads((folder / REPORT).read_text())
    step = report["step"]
    assert step == len(read_jsonl(folder / METRICS)), "the steps before it are logged, it is not"
    assert report["losses"]["total"] == "nan" and report["losses"]["contrast"]["two"] == "nan"
    assert isinstance(report["losses"]["contrast"]["one"], float), "the corpus is told by its own loss"
    sick = [
        (one["slot"], name)
        for one in report["episodes"]
        for name, part in one["corpora"].items()
        if not part["signal_finite"]
    ]
    assert sick and {name for _, name in sick} == {"two"}
    assert report["run"] in folder.name
    assert report["checkpoint"][:13] == (f"step-{step // 2 * 2:08d}" if step >= 2 else "none")
    losses, norms = repeat(folder, config.exec.store)
    assert losses.contrast["one"] == report["losses"]["contrast"]["one"], "to the bit"
    assert np.isnan(losses.total) and not all(np.isfinite(list(norms.values())))
    monkeypatch.setattr(sys, "argv", ["failed", str(folder), "--store", config.exec.store])
    assert main() == 0
    assert json.loads(capsys.readouterr().out)["now"]["total"] == "nan"
    monkeypatch.setattr(sys, "argv", ["failed", str(tmp_path), "--store", config.exec.store])
    assert main() == 2 and "failed-step.json" in capsys.readouterr().err


def test_a_bound_on_the_loss_stops_and_repeats_to_the_bit(tiny: Config, tmp_path: Path) -> None:
    free = pretrain(short(tiny, runs=str(tmp_path / "free")))
    seen = [record["loss/total"] for record in read_jsonl(free.folder / METRICS)]
    bound = (sorted(seen)[-1] + sorted(seen)[-2]) / 2
    config = short(tiny, stop_above=bound)
    at = seen.index(max(seen))
    with pytest.raises(MdjptError, match=rf"^step {at}: the loss is .*, above exec\.stop_above"):
        pretrain(config)
    (folder,) = Path(config.exec.runs).glob("tiny-*")
    assert folder.name == free.folder.name, "the bound is part of no identity"
    losses, norms = repeat(folder, config.exec.store)
    assert losses.total == seen[at] and all(np.isfinite(list(norms.values())))
    done = pretrain(short(tiny))
    assert done.trained.weights_sha256 == free.trained.weights_sha256, "without it the run goes on to the same end"
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(BadInput, match="checksum"):
        repeat(folder, config.exec.store)


def test_weights_that_are_not_finite_reach_no_checkpoint(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss can be finite and its slope not: the next loss would tell, but after an epoch there is none."""
    config, genuine, steps = short(tiny), Stepper.backward, iter(range(100))

    def backward(self: Stepper, episodes: Any) -> Losses:
        losses = genuine(self, episodes)
        if next(steps) == 3:
            next(self.module.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
        return losses

    monkeypatch.setattr(Stepper, "backward", backward)
    with pytest.raises(MdjptError, match=r"^step 3: after the update \d+ weights are not finite.*step-00000002-"):
        pretrain(config)
    (folder,) = Path(config.exec.runs).glob("tiny-*/checkpoints")
    assert [path.name[:13] for path in folder.iterdir()] == ["step-00000002"]
    assert not (folder.parent / "model.safetensors").exists()
