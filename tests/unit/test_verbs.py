"""What the verbs do around the packages they call."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import tiny_tree
from mdjpt_platform import verbs
from mdjpt_platform.config import Config
from mdjpt_platform.corpora.simulated import balanced
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.runfile import load, parse


def simulated(folder: Path, **fields: Any) -> Config:
    facts = {"stimuli": list(balanced("faced", 3)), "sessions": 1, "seconds": 6}
    tree = {
        "corpora": {"sim": {"layout": "faced", "facts": facts, "simulate": {"subjects": 2, **fields}}},
        "sources": ["sim"],
        "recipe": "minimal",
        "exec": {
            "simulated": str(folder / "raw"),
            "store": str(folder / "store"),
            "runs": str(folder / "runs"),
            "engine": "local",
            "mlflow": "off",
            "progress": False,
        },
    }
    return parse(tree)


def test_simulation_is_written_once_and_named_by_its_settings(tmp_path: Path) -> None:
    first = verbs.with_simulated(simulated(tmp_path), ["sim"]).exec.raw["sim"]
    before = {path: path.stat().st_mtime_ns for path in Path(first).rglob("*")}
    again = verbs.with_simulated(simulated(tmp_path), ["sim"]).exec.raw["sim"]
    assert again == first and {path: path.stat().st_mtime_ns for path in Path(first).rglob("*")} == before
    assert verbs.with_simulated(simulated(tmp_path, seed=1), ["sim"]).exec.raw["sim"] != first
    assert len(list((tmp_path / "raw").iterdir())) == 2


def test_only_what_is_asked_for_is_simulated(tmp_path: Path) -> None:
    assert verbs.with_simulated(simulated(tmp_path), []).exec.raw == {}
    own = simulated(tmp_path)
    own = own.model_copy(update={"exec": own.exec.model_copy(update={"raw": {"sim": "mine"}})})
    assert verbs.with_simulated(own, ["sim"]).exec.raw == {"sim": "mine"}
    assert not (tmp_path / "raw").exists()


def test_prepare_counts_what_had_to_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = verbs.with_simulated(simulated(tmp_path, subjects=3), ["sim"])
    assert verbs.prepare(config) == 0
    assert "sim: 3 prepared, 0 there already, 0 failed" in capsys.readouterr().out
    assert verbs.prepare(config) == 0
    assert "sim: nothing to do" in capsys.readouterr().out
    recording = sorted(path for path in Path(config.exec.raw["sim"]).rglob("*.pkl"))[0]
    recording.write_bytes(b"torn")
    assert verbs.prepare(config) == 2
    said = capsys.readouterr().out
    assert "1 failed" in said and "sim: left out " in said and recording.name in said


def test_pretrain_prepares_only_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = simulated(tmp_path)
    verbs.prepare_missing(config, ["sim"])
    assert "sim: 2 prepared" in capsys.readouterr().out
    verbs.prepare_missing(config, ["sim"])
    assert capsys.readouterr().out == ""


def test_corpora_without_raw_recordings_are_not_prepared(tiny: Config, tmp_path: Path) -> None:
    execution = tiny.exec.model_copy(update={"store": str(tmp_path / "empty")})
    verbs.prepare_missing(tiny.model_copy(update={"exec": execution}), ["one"])
    assert not (tmp_path / "empty").exists()


def test_simulate_prints_lines_for_a_run_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.simulate_corpus(tmp_path / "raw", "faced", "mine", 2, 3, 6.0, 0, False)
    printed = yaml.safe_load(capsys.readouterr().out)
    printed["exec"] |= {"engine": "local", "store": str(tmp_path / "store"), "progress": False}
    config = parse({**printed, "sources": ["mine"], "recipe": "minimal"})
    assert verbs.prepare(config) == 0


def test_pretrain_and_its_repetition_report_the_same_weights(tiny: Config, capsys: pytest.CaptureFixture[str]) -> None:
    short = tiny.run.train.model_copy(update={"epochs": 1, "steps": 1, "episodes": 1})
    config = tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": short})})
    assert verbs.pretrain(config) == 0
    first = capsys.readouterr().out
    assert verbs.pretrain(config) == 0
    again = capsys.readouterr().out
    assert ": trained; weights " in first and ": finished before; nothing to do; weights " in again
    assert first.split("weights ")[1] == again.split("weights ")[1]
    folder = verbs.trained_folder(config)
    assert first.startswith(f"{folder}: ")


def test_evaluations_of_other_settings_lie_apart(tiny: Config, tmp_path: Path) -> None:
    settings = tiny.run.evaluate.model_copy(update={"folds": 3})
    other = tiny.model_copy(update={"run": tiny.run.model_copy(update={"evaluate": settings})})
    assert verbs.evaluation_folder(tiny, tmp_path) == verbs.evaluation_folder(tiny, tmp_path)
    assert verbs.evaluation_folder(tiny, tmp_path) != verbs.evaluation_folder(other, tmp_path)


def test_folder_of_an_unfinished_training_is_refused(tiny: Config) -> None:
    with pytest.raises(BadInput, match=r"pre-training: found not finished, expected .*`mdjpt pretrain`"):
        verbs.trained_folder(tiny)


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(tiny_tree(tmp_path / "store", tmp_path / "runs")))
    monkeypatch.setattr(sys, "argv", ["job", str(path), "--set", "seed=11", "--set", "train.epochs=5"])
    yield path


def test_job_hands_over_file_and_overrides(run_file: Path) -> None:
    seen: list[Config] = []
    assert verbs.job(lambda config: len(seen) or seen.append(config) or 7) == 7
    assert seen == [load(run_file, ["seed=11", "train.epochs=5"])]


def test_job_says_what_is_wrong_in_one_line(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(config: Config) -> int:
        raise MdjptError("the disk is full")

    assert verbs.job(fail) == 2
    assert capsys.readouterr().err == "mdjpt: the disk is full\n"


def test_other_errors_are_not_hidden(run_file: Path) -> None:
    def fail(config: Config) -> int:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        verbs.job(fail)


def test_threads_are_left_as_they_are(tiny: Config) -> None:
    short = tiny.run.train.model_copy(update={"epochs": 1, "steps": 1, "episodes": 1})
    verbs.pretrain(tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": short})}))
    assert torch.get_num_threads() == 1
