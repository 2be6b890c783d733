"""`mdjpt export`: what a run becomes, and what is refused with nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mdjpt_model import from_pretrained
from mdjpt_platform.errors import BadInput
from mdjpt_platform.export.run import export
from mdjpt_platform.train.checkpoint import load_model
from model_folder import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("base"), name="<b>a|b<b>")


def mdjpt(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mdjpt_platform.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_writes_a_folder_that_says_what_it_is(run: Path, tmp_path: Path) -> None:
    done = mdjpt("export", str(run), str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    assert "whole: balanced accuracy" in done.stdout and "frozen: balanced accuracy" in done.stdout
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"config.json", "model.safetensors", "readout.safetensors", "README.md", "checksums.json",
                     "example.safetensors"}  # fmt: skip
    model = from_pretrained(tmp_path / "model")
    for name, value in load_model(run).state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "<b>" not in card and "a|b" not in card
    for word in (
        "consent",
        "misuse",
        "Limits",
        "chance 50.0 %",
        model.config["trained"]["identity"],
    ):
        assert word in card
    assert str(tmp_path) not in card + (tmp_path / "model" / "config.json").read_text()
    again = mdjpt("export", str(run), str(tmp_path / "model"))
    assert again.returncode == 2 and "something there" in again.stderr and len(again.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_nothing_of_a_person_travels(run: Path, tmp_path: Path) -> None:
    """No EEG: the only windows in the folder are the made-up ones; no subject's name."""
    export(run, tmp_path / "model")
    tree = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "subjects" not in json.dumps(tree["trained"]) and tree["trained"]["corpora"][0]["people"] == 5
    sizes = {name: tuple(value.shape) for name, value in load_file(tmp_path / "model" / "readout.safetensors").items()}
    assert max(len(size) for size in sizes.values()) == 2


def test_an_encoder_alone(run: Path, tmp_path: Path) -> None:
    model = export(run, tmp_path / "model", on=())
    assert model.modes == () and model.labels == ()
    again = from_pretrained(tmp_path / "model")
    windows = torch.randn(2, 3, again.samples)
    assert again.features(windows, ("F3", "F4", "CZ")).shape == (2, model.encoder.spec.map_features)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="encoder alone"):
        again.predict(windows, ("F3", "F4", "CZ"))
    assert "the encoder alone" in (tmp_path / "model" / "README.md").read_text()


def test_read_outs_of_several_corpora(run: Path, tmp_path: Path) -> None:
    model = export(run, tmp_path / "model", on=("one", "three"))
    assert model.config["modes"]["whole"]["scores"]["people"] == 11
    assert model.config["trained"]["fitted"] == ["one", "three"]


def test_what_cannot_be_exported_leaves_nothing(run: Path, tmp_path: Path) -> None:
    for on, overrides, said in (
        (("four",), (), "--on: found 'four', expected one of: one, two, three"),
        (None, (f"exec.store={tmp_path / 'no'}",), "prepared data"),
        (None, ("train.epochs=7",), "what changes results"),
    ):
        with pytest.raises(BadInput, match=said):
            export(run, tmp_path / "model", on, overrides)
    with pytest.raises(BadInput, match=r"about\.json"):
        export(tmp_path, tmp_path / "model")
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").write_text("mine")
    with pytest.raises(BadInput, match="something there"):
        export(run, tmp_path / "there")
