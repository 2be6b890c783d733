"""The command as a user types it: what is wrong is one line on stderr, exit code 2, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import MODEL, signal, tiny_tree, write_tiny
from mdjpt_platform.config import Config
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import TrialRow, write_store
from mdjpt_platform.train.launch import pretrain

ODD = {
    "alien": (3, 700, ("sad", "calm")),
    "lone": (1, 700, ("negative", "positive")),
    "brief": (3, 200, ("negative", "positive")),
}
"""Corpora that something is wrong with: subjects, samples, labels."""


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mdjpt_platform.cli", *map(str, arguments)]
    single = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, timeout=240, cwd=cwd, env=single)


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; sys.argv = ['mdjpt', '--help']\n"
        "from mdjpt_platform.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'ray', 'mne', 'mlflow', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'numpy'}\n"
        "print('LOADED', sorted(heavy & {*sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "LOADED []", done.stdout + done.stderr
    for verb in ("simulate", "prepare", "pretrain", "evaluate", "report", "demo", "parity", "doctor"):
        assert verb in done.stdout


def test_a_local_training_loads_none_of_what_others_need(world: Path, tmp_path: Path) -> None:
    """Up to its first step; tracking comes after it (test_background), the others never."""
    run_file = tmp_path / "run.yaml"
    base = tree(world)
    run_file.write_text(yaml.safe_dump(base | {"exec": base["exec"] | {"runs": str(tmp_path / "runs")}}))
    code = (
        "import sys\n"
        "from mdjpt_platform.runfile import load\n"
        "from mdjpt_platform import verbs\n"
        "assert verbs.pretrain(load(sys.argv[1])) == 0\n"
        "heavy = {'ray', 'mne.io', 'mlflow', 'sklearn', 'matplotlib', 'statsmodels', 'braindecode'}\n"
        "print('LOADED', sorted(heavy & {*sys.modules}))\n"
    )
    line = [sys.executable, "-c", code, str(run_file)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "LOADED []", done.stdout + done.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stores of good and odd corpora and one finished training."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    config = configured(folder)
    write_tiny(folder / "store", config)
    for name, (subjects, samples, labels) in ODD.items():
        trials = [
            (
                TrialRow(corpus=name, subject=f"{subject:02d}", session=1, trial=stimulus + 1, stimulus=str(stimulus),
                         play_order=stimulus + 1, label=labels[stimulus % 2], samples=1),
                signal("three", subject, stimulus, samples),
            )
            for subject in range(subjects)
            for stimulus in range(4)
        ]  # fmt: skip
        write_store(folder / "store", name, config.run.corpora[name], resolve(config.run.recipe), trials,
                    channels=("F3", "F4", "C3", "C4", "P3", "P4", "OZ"), rate=125.0, labels=labels)  # fmt: skip
    pretrain(config)
    return folder


def tree(folder: Path) -> dict[str, Any]:
    base: dict[str, Any] = tiny_tree(folder / "store", folder / "runs")
    base["corpora"] |= {name: {"layout": "seed"} for name in ODD}
    base["train"] = {"epochs": 1, "steps": 1, "episodes": 2}
    base["evaluate"] = {
        "readouts": ["few_shot"],
        "folds": 2,
        "stimulus_folds": 0,
        "bootstrap": 100,
        "probe": {"epochs": 1},
    }
    return base


def configured(folder: Path) -> Config:
    return parse(tree(folder))


def contents(folder: Path) -> Mapping[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def refused(world: Path, tmp_path: Path, verb: str, *overrides: str, **sections: Any) -> str:
    """What the command says; it must say it in one line and leave everything as it was."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(tree(world) | sections))
    before = contents(world)
    done = run(verb, run_file, *(part for override in overrides for part in ("--set", override)), cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("mdjpt: ") and done.stderr.count("\n") == 1, done.stderr
    assert contents(world) == before and [path.name for path in tmp_path.iterdir()] == ["run.yaml"]
    return done.stderr


@pytest.mark.parametrize("verb", ["prepare", "pretrain", "evaluate", "report", "demo"])
def test_missing_run_file(tmp_path: Path, verb: str) -> None:
    done = run(verb, tmp_path / "none.yaml", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"mdjpt: {tmp_path / 'none.yaml'}: run file: found No such file or directory, expected a readable YAML file\n"
    )
    assert not list(tmp_path.iterdir())


def test_unknown_key(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "pretrain", train={"epoch": 3})
    assert "train.epoch: found an unknown key" in said
    assert "one of: epochs, steps, episodes" in said and "did you mean 'epochs'?" in said


def test_unknown_layout(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "prepare", "corpora={one: {layout: sed}}", "sources=[one]", "targets=[]")
    assert "corpora.one.layout: found 'sed', expected one of: seed, " in said


def test_missing_raw_folder(world: Path, tmp_path: Path) -> None:
    new = {"new": {"layout": "seed"}}
    for verb in ("prepare", "pretrain"):
        said = refused(world, tmp_path, verb, corpora=new, sources=["new"], targets=[], exec={
            **tree(world)["exec"], "raw": {"new": str(tmp_path / "nowhere")}})  # fmt: skip
        assert str(tmp_path / "nowhere") in said
        (tmp_path / "run.yaml").unlink()


def test_raw_folder_not_named(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "prepare")
    assert "exec.raw.alien: found nothing, expected the folder of the raw recordings" in said


def test_not_prepared(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "pretrain", f"exec.store={tmp_path / 'empty'}")
    assert "store of one: found nothing, expected prepared data: run `mdjpt prepare` first" in said


def test_not_trained(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "evaluate", "seed=99")
    assert "pre-training: found not finished" in said and "`mdjpt pretrain`" in said


def test_no_targets(world: Path, tmp_path: Path) -> None:
    assert "targets: found none, expected corpora to evaluate on" in refused(world, tmp_path, "evaluate", "targets=[]")


def test_checkpoint_of_another_architecture(world: Path, tmp_path: Path) -> None:
    (path,) = (world / "runs").glob("*/model.json")
    whole = path.read_text()
    described = json.loads(whole)
    described["spec"]["spatial"] = 9
    path.write_text(json.dumps(described))
    try:
        said = refused(world, tmp_path, "evaluate")
    finally:
        path.write_text(whole)
    assert f"{path}: architecture: spatial: found 9, expected {MODEL['spatial']}" in said


def test_unwritable_runs_folder(world: Path, tmp_path: Path) -> None:
    """Root may write anywhere, so the folder lies below a regular file."""
    below = world / "store" / "three" / "file"
    below.touch()
    said = refused(world, tmp_path, "pretrain", f"exec.runs={below / 'runs'}", "seed=4")
    below.unlink()
    assert "exec.runs: found Not a directory, expected a writable folder" in said


def test_no_shared_class(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "evaluate", "targets=[alien]", "evaluate.readouts=[across]")
    assert "alien" in said and "sad, calm" in said and "negative, positive" in said


def test_one_subject(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "pretrain", "sources=[lone]")
    assert "lone: subjects: found 1 with no pair, expected two subjects who share two stimuli" in said
    (tmp_path / "run.yaml").unlink()
    assert "lone" in refused(world, tmp_path, "evaluate", "targets=[lone]")


def test_window_longer_than_the_trials(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "pretrain", "sources=[brief]")
    assert "brief: subject 00 session 1 trial 1: length: found 200 samples, expected at least the window's 320" in said
    (tmp_path / "run.yaml").unlink()
    assert "brief" in refused(world, tmp_path, "evaluate", "targets=[brief]")


def test_episodes_not_divisible_by_workers(world: Path, tmp_path: Path) -> None:
    said = refused(world, tmp_path, "pretrain", "train.episodes=4", "exec.workers=3", "exec.engine=ray")
    assert "train.episodes: found 4, expected a multiple of exec.workers = 3" in said


def test_window_too_short_for_the_model(world: Path, tmp_path: Path) -> None:
    assert "at least 208 samples" in refused(world, tmp_path, "pretrain", "window.seconds=1")


def test_damaged_store(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "store", tmp_path / "copy" / "store")
    (signals,) = (tmp_path / "copy" / "store" / "two").glob("*/signals/sub-00*.npy")
    content = bytearray(signals.read_bytes())
    content[-1] ^= 1
    signals.write_bytes(content)
    base = tree(world)
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(base | {"exec": base["exec"] | {"store": str(tmp_path / "copy" / "store")}}))
    done = run("pretrain", run_file, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert str(signals) in done.stderr and "damaged" in done.stderr


def test_parity_with_missing_files(tmp_path: Path) -> None:
    done = run("parity", tmp_path / "x", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"mdjpt: {tmp_path / 'x.json'}: file: found nothing, expected PREFIX.json\n"


@pytest.mark.parametrize("arguments", [["pretend"], ["pretrain"], ["pretrain", "x.yaml", "--workers", "3"]])
def test_unknown_verbs_and_options(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and "Usage: " in done.stderr and "Traceback" not in done.stderr


def test_finished_run_says_so(world: Path, tmp_path: Path) -> None:
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(tree(world)))
    done = run("pretrain", run_file)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("\n") == 1 and "finished before; nothing to do; weights " in done.stdout


@pytest.mark.parametrize("job", ["pretrain", "evaluate", "prepare", "demo"])
def test_jobs_say_it_like_the_command(job: str, tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "jobs" / f"{job}.py"
    done = subprocess.run(
        [sys.executable, str(script), "none.yaml"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "mdjpt: none.yaml: run file: found No such file or directory, expected a readable YAML file\n"
