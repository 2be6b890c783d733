"""`ray job submit --working-dir .` on a node that has third-party packages and nothing of ours; code versions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Head, head
from conftest import REPOSITORY

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def node() -> Iterator[Head]:
    with head() as started:
        yield started


def test_job_submit(node: Head, tmp_path: Path) -> None:
    ours = subprocess.run([node.python, "-c", "import mdjpt_platform"], env=node.env, cwd="/", capture_output=True)
    assert ours.returncode != 0, "the node must not have our packages"
    submit = [
        str(node.python), "-m", "ray.scripts.scripts", "job", "submit", "--address", node.dashboard,
        "--working-dir", str(REPOSITORY), "--", "python", "jobs/pretrain.py", "jobs/runs/demo_smoke.yaml",
        *[part for name in ("runs", "store", "simulated") for part in ("--set", f"exec.{name}={tmp_path / name}")],
    ]  # fmt: skip
    done = subprocess.run(submit, env=node.env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "runs").glob("demo-smoke-*")
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 8
    about = json.loads((folder / "about.json").read_text())
    assert "working_dir" in about["sources"], "the code that ran is the one that was uploaded"
    assert (folder / "model.safetensors").stat().st_size > 0
    assert (tmp_path / "runs" / "mlflow.db").exists()


def test_submission_needs_the_token(node: Head, tmp_path: Path) -> None:
    without = {**node.env, "RAY_AUTH_TOKEN": "0" * 64}
    submit = [str(node.python), "-m", "ray.scripts.scripts", "job", "submit", "--address", node.dashboard]
    marker = tmp_path / "ran"
    done = subprocess.run(
        [*submit, "--", "touch", str(marker)], env=without, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert not marker.exists()


DRIVER = """
import sys, ray
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.runtime import connect
ray.init(address=sys.argv[1], runtime_env={"env_vars": {"PYTHONPATH": sys.argv[2]}}, log_to_driver=False)
try:
    connect(ExecConfig())
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("changed", [True, False])
def test_mixed_code_is_refused(node: Head, tmp_path: Path, changed: bool) -> None:
    other = tmp_path / "other"
    for package in ("platform/mdjpt_platform", "mdjpt_model"):
        shutil.copytree(REPOSITORY / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    if changed:
        path = other / "mdjpt_model" / "losses.py"
        path.write_text(path.read_text() + "\n# another version\n")
    env = {key: value for key, value in node.env.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", DRIVER, node.address, f"{other / 'platform'}:{other}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if changed:
        assert done.stdout.startswith("MdjptError mixed code"), done.stdout
        assert str(other / "mdjpt_model") in done.stdout and str(REPOSITORY / "mdjpt_model") in done.stdout
    else:
        assert done.stdout == ""
