"""Batch prediction on Ray: as one process does it, a bad file is a row, what is finished is not done again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from cluster import head
from conftest import REPOSITORY
from mdjpt_platform.errors import BadInput
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.predict.batch import TIMES, each, predict_on_ray
from mdjpt_platform.predict.run import OVERALL, predict_all
from mdjpt_platform.predict.settings import Settings
from model_folder import make_model

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore:::ray.data.context")]
SITES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"]
SHORT = Settings(tmax=12.0)
GOOD = 4


def quiet(_done: int, _of: int, _name: str) -> None:
    """Nobody is told."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings, one of them in a folder below, a file that is none and one that is cut off."""
    top = tmp_path_factory.mktemp("recordings")
    (top / "below").mkdir()
    for number in range(GOOD):
        noise = np.random.default_rng(number).standard_normal((len(SITES), 250 * 14))
        volts = (np.cumsum(noise, axis=1) * 0.3 + 8 * noise) * 1e-6
        raw = mne.io.RawArray(volts, mne.create_info(SITES, 250.0, "eeg"), verbose="error")
        place = top / "below" if number == GOOD - 1 else top
        raw.save(place / f"person{number}_raw.fif", verbose="error")
    (top / "broken.edf").write_bytes(b"0" * 300)
    (top / "cut_raw.fif").write_bytes((top / "person0_raw.fif").read_bytes()[:5000])
    return top


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ray_writes_what_one_process_writes(model: Path, files: Path, tmp_path: Path, ray_local: None) -> None:
    alone = predict_all(model, [files], tmp_path / "alone", SHORT, quiet)
    heard: list[int] = []
    together = predict_on_ray(
        model, [files], tmp_path / "ray", SHORT, lambda done, of, name: heard.append(done), ExecConfig()
    )
    assert [one.state for one in together] == [one.state for one in alone]
    assert sorted(one.state for one in together) == ["done"] * GOOD + ["failed"] * 2
    assert [one.file for one in together] == [one.file for one in alone] and heard == list(range(GOOD + 2))
    assert content(tmp_path / "ray") == content(tmp_path / "alone")
    table = pd.read_csv(tmp_path / "ray" / OVERALL).set_index("file")
    assert table["state"].to_dict() == {Path(one.file).name: one.state for one in alone}
    assert "EDF" in table.loc["broken.edf", "reason"]
    again = predict_on_ray(model, [files], tmp_path / "ray", SHORT, quiet, ExecConfig())
    assert sorted(one.state for one in again) == ["failed"] * 2 + ["unchanged"] * GOOD


def test_a_damaged_model_is_said_before_ray_starts(model: Path, files: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(BadInput, match=r"model\.safetensors"):
        predict_on_ray(tmp_path / "model", [files], tmp_path / "out", SHORT, quiet, ExecConfig(address="nowhere:1"))
    assert not (tmp_path / "out").exists()


def test_a_task_that_ends_its_process_is_one_row(ray_local: None, tmp_path: Path) -> None:
    def work(number: int) -> dict[str, Any]:
        if number == 1:
            with (tmp_path / "begun").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return {"answer": number}

    assert dict(each(work, 3)) == {0: {"answer": 0}, 1: {"died": True}, 2: {"answer": 2}}
    assert (tmp_path / "begun").read_text() == "x" * TIMES


def verb(model: Path, files: Path, out: Path) -> list[str]:
    options = ["--out", str(out), "--tmax", "12", "--engine", "ray", "--cpus", "1"]
    return [sys.executable, "-m", "mdjpt_platform.cli", "predict", str(model), str(files), *options]


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same(model: Path, files: Path, tmp_path: Path) -> None:
    predict_all(model, [files], tmp_path / "alone", SHORT, quiet)
    out = tmp_path / "out"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    process = subprocess.Popen(verb(model, files, out), env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not (finished := sorted(out.glob("*/summary.json"))):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()  # the driver alone: its Ray ends with it
        process.wait(20)
    before = {path: path.stat().st_mtime_ns for path in finished}
    assert not (out / OVERALL).exists(), "killed before the end"
    done = subprocess.run(verb(model, files, out), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr  # two files cannot be used
    assert {path: path.stat().st_mtime_ns for path in finished} == before, "what was finished is not written again"
    assert f"{GOOD} of {GOOD + 2} predicted" in done.stdout and "unchanged" in done.stdout
    assert content(out) == content(tmp_path / "alone")


@pytest.mark.slow
def test_as_a_submitted_job(model: Path, files: Path, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    shutil.copyfile(files / "person0_raw.fif", tmp_path / "some" / "person0_raw.fif")
    with head() as node:
        submit = [
            str(node.python), "-m", "ray.scripts.scripts", "job", "submit", "--address", node.dashboard,
            "--working-dir", str(REPOSITORY), "--", "python", "jobs/predict.py", "jobs/runs/predict_smoke.yaml",
            "--set", f"model={model}", "--set", f"files=[{tmp_path / 'some'}]", "--set", f"out={tmp_path / 'out'}",
        ]  # fmt: skip
        done = subprocess.run(submit, env=node.env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "person0_raw" / "summary.json").exists()
    assert pd.read_csv(tmp_path / "out" / OVERALL)["state"].tolist() == ["done"]


def test_run_file(tmp_path: Path) -> None:
    from mdjpt_platform.predict.runfile import load

    path = tmp_path / "run.yaml"
    path.write_text("model: m\nfiles: [a, b]\ntmax: 3\nexec: {cpus: 2}\n")
    run = load(path, ["out=there", "exec.address=head:6379"])
    assert (run.model, run.files, run.out, run.settings) == ("m", ("a", "b"), "there", Settings(tmax=3.0))
    assert (run.exec.cpus, run.exec.address, run.exec.engine) == (2, "head:6379", "ray")
    for text, field in (
        ("files: [a]", "model"), ("model: m\nfiles: []", "files"), ("model: m\nfiles: [a]\ntmx: 3", "tmax"),
        ("model: m\nfiles: [a]\nexec: {cpu: 2}", "cpus"), ("- 1", "mapping"), ("a: [", "YAML"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(BadInput, match=field):
            load(path)
    with pytest.raises(BadInput, match="readable"):
        load(tmp_path / "absent.yaml")
