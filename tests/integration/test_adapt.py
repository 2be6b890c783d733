"""`mdjpt adapt` as it is typed: a trained model, stores on disk, processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import REPOSITORY
from mdjpt_model import from_pretrained
from mdjpt_platform.adapt.run import adapt
from mdjpt_platform.adapt.settings import Settings
from mdjpt_platform.errors import BadInput
from model_folder import make_model
from planted_store import make_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose read-outs know negative and positive, and whose stores lie beside it."""
    return make_model(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the model was not made with."""
    return make_store(tmp_path_factory.mktemp("own"), planted=1.0, subjects=2, trials=8)


def mdjpt(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mdjpt_platform.cli", *map(str, words)], capture_output=True, text=True, cwd=REPOSITORY,
        check=False, timeout=300,
    )  # fmt: skip


def test_as_typed(made: Path, own: Path, tmp_path: Path) -> None:
    words = ("adapt", made, own, "--out", tmp_path / "out", "--draws", 2)
    done = mdjpt(*words, "--save", tmp_path / "mine", "--subject", "s0")
    assert done.returncode == 0, done.stderr
    assert "Model as it was given" in done.stdout and f"page: {tmp_path / 'out' / 'page.html'}" in done.stdout
    curve = pd.read_parquet(tmp_path / "out" / "curve.parquet")
    assert set(curve[curve["method"] == "given"]["n"]) == {0}
    assert set(curve["method"]) == {"given", "frozen", "untrained", "de"}
    tests = pd.read_parquet(tmp_path / "out" / "tests.parquet")
    assert set(tests["control"]) == {"given", "untrained", "de"}
    assert from_pretrained(tmp_path / "mine").modes == ("whole", "causal", "frozen")
    again = mdjpt(*words)
    assert again.returncode == 0 and "there already" in again.stdout
    wrong = mdjpt(*words, "--order", "last")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--order: found 'last', expected one of: random, first" in wrong.stderr


def test_a_read_out_of_this_very_corpus_is_no_start(made: Path, tmp_path: Path) -> None:
    (store,) = (path for path in (made.parent / "store" / "three").iterdir() if path.is_dir())
    found = adapt(made, store, tmp_path / "out", Settings(draws=1), progress=False)
    assert "given" not in found.result["methods"]
    assert any("fitted on this very corpus" in text for text in found.result["notes"])
    assert any("had seen these people" in text for text in found.result["notes"])
    with pytest.raises(BadInput, match="it was fitted on this very corpus"):
        adapt(made, store, tmp_path / "other", Settings(methods=("given",)), progress=False)


def test_mode_frozen_reads_every_window_by_itself(made: Path, own: Path, tmp_path: Path) -> None:
    found = adapt(made, own, tmp_path / "out", Settings(draws=1, mode="frozen"), progress=False)
    assert found.result["methods"] == ["given", "frozen", "de"]
    with pytest.raises(BadInput, match="untrained, expected another: random weights have no layer statistics"):
        adapt(made, own, tmp_path / "no", Settings(mode="frozen", methods=("untrained",)), progress=False)


def test_an_adapted_model_can_be_adapted_again(made: Path, own: Path, tmp_path: Path) -> None:
    settings = Settings(by="corpus", draws=1, methods=("frozen",))
    adapt(made, own, tmp_path / "out", settings, save=tmp_path / "mine", progress=False)
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    parts = {row["name"]: row["part"] for row in config["trained"]["corpora"]}
    assert parts == {"one": "pre-training", "two": "pre-training", "three": "earlier read-out", "own": "read-out"}
    assert config["trained"]["fitted"] == ["own"] and config["decay"] == 0.99
    found = adapt(tmp_path / "mine", own, tmp_path / "again", Settings(draws=1, methods=("frozen",)), progress=False)
    assert any("had seen these people" in text for text in found.result["notes"])
