"""What a result says of itself: everything but the numbers, no secret, and nothing of it in the identity."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mdjpt_platform.code import sources
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.operations import manifest
from mdjpt_platform.train.launch import identity_of
from mdjpt_platform.train.prepared import open_stores


def of(config: Config, identity: str = "0123", run: bytes = b"run") -> manifest.Manifest:
    return manifest.describe("pretraining", config, identity, run, {"one": "abc"}, steps=6)


def test_it_names_what_made_the_result(tiny: Config, tmp_path: Path) -> None:
    manifest.begin(tmp_path, of(tiny))
    manifest.amend(tmp_path, weights="f00", threads=1, ended=2e9)
    tree = json.loads((tmp_path / "about.json").read_text())
    assert tree["identity"] == "0123" and tree["weights"] == "f00" and tree["ended"] == 2e9 > tree["started"]
    assert tree["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"mdjpt", "python", "ray", "mlflow", "numpy"} < tree["versions"].keys()
    assert (tree["sources"], tree["code"]) == sources()
    assert tree["seeds"] == {"run": 3, "evaluate": tiny.run.evaluate.seed} and tree["stores"] == {"one": "abc"}
    assert tree["execution"]["engine"] == "local" and tree["execution"]["workers"] == 1
    assert Path(tree["execution"]["store"]).is_absolute()
    assert manifest.load(tmp_path) == manifest.Manifest(**tree)


def test_further_attempts_keep_the_first_start_and_name_other_code(tiny: Config, tmp_path: Path) -> None:
    first = of(tiny).model_copy(update={"started": 5.0, "code": "older", "ended": None})
    manifest.begin(tmp_path, first)
    manifest.begin(tmp_path, of(tiny))
    manifest.begin(tmp_path, of(tiny))
    found = manifest.load(tmp_path)
    assert (found.started, found.attempts, found.earlier, found.code) == (5.0, 3, ("older",), sources()[1])
    manifest.begin(tmp_path, of(tiny, "4567"))
    assert manifest.load(tmp_path).attempts == 1, "another work in the same folder"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["mdjpt", "pretrain", "a.yaml"], ["mdjpt", "pretrain", "a.yaml"]),
        (["--set", "exec.mlflow=http://me:pw@host/x"], ["--set", "exec.mlflow=http://***@host/x"]),
        (["--set", "exec.store=s3://b/x?secret_key=abc"], ["--set", "exec.store=s3://b/x?secret_key=***"]),
        (["--password", "abc", "b"], ["--password", "***", "b"]),
        (["--api-token=abc"], ["--api-token=***"]),
        (["--set", "train.epochs=3"], ["--set", "train.epochs=3"]),
    ],
)
def test_secrets_on_the_command_line_are_masked(words: list[str], shown: list[str]) -> None:
    assert manifest.command(words) == shown


def test_the_command_is_that_of_the_process(tiny: Config) -> None:
    assert of(tiny).command == tuple(manifest.command(sys.argv))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff", b'{"identity": "x"}', b"[" * 100_000])
def test_damaged_or_older_manifests_are_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "about.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"about\.json"):
        manifest.load(tmp_path)


def test_an_older_manifest_is_replaced(tiny: Config, tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text('{"identity": "0123", "torch": "2"}')
    manifest.begin(tmp_path, of(tiny))
    assert manifest.load(tmp_path).attempts == 1


def test_nothing_of_it_is_in_the_identity(tiny: Config) -> None:
    prints = {name: store.fingerprint for name, store in open_stores(tiny, tiny.run.sources, verify=False).items()}
    other = tiny.model_copy(update={"exec": tiny.exec.model_copy(update={"workers": 2, "threads": 7, "gpu": True})})
    assert identity_of(tiny, prints) == identity_of(other, prints)


def test_run_hash_is_that_of_the_file(tiny: Config, tmp_path: Path) -> None:
    content = yaml.safe_dump(tiny.run.model_dump(mode="json"), sort_keys=False).encode()
    (tmp_path / "run.yaml").write_bytes(content)
    told = subprocess.run(["sha256sum", tmp_path / "run.yaml"], capture_output=True, text=True, check=True).stdout
    assert told.startswith(of(tiny, run=content).run + " ")
