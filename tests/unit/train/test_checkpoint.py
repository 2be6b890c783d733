"""Checkpoints and trained models: whole, recognised when damaged, never executed."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import MODEL
from mdjpt_model.model import MdJPT
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.errors import BadInput
from mdjpt_platform.train.checkpoint import load_checkpoint, load_model, save_checkpoint, save_model, write_atomic

SPEC = ModelSpec(**{**MODEL, "dilations": tuple(MODEL["dilations"])})  # type: ignore[arg-type]
CAP = ("FZ", "CZ", "PZ")
Pair = tuple[MdJPT, torch.optim.Adam]


def trained(seed: int = 0, steps: int = 2) -> Pair:
    torch.manual_seed(seed)
    model = MdJPT(SPEC)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        update(model, optimiser)
    return model, optimiser


def update(model: MdJPT, optimiser: torch.optim.Adam) -> None:
    optimiser.zero_grad()
    model(torch.randn(4, 3, 320), CAP, torch.tensor([0, 0, 1, 1])).maps.square().sum().backward()
    optimiser.step()


def same(one: MdJPT, other: MdJPT) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def save(folder: Path, step: int, pair: Pair, keep: int = 2) -> Path:
    return save_checkpoint(folder, step, *pair, SPEC, keep)


def test_restores_model_optimiser_step_and_random_state(tmp_path: Path) -> None:
    pair = trained()
    save(tmp_path, 7, pair)
    update(*pair)
    other = trained(seed=1, steps=1)
    assert load_checkpoint(tmp_path, *other, SPEC) == 7
    update(*other)
    assert same(pair[0], other[0])


def test_nothing_there_means_from_the_start(tmp_path: Path) -> None:
    pair = trained()
    assert load_checkpoint(tmp_path / "none", *pair, SPEC) == 0
    assert same(pair[0], trained()[0])


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    pair = trained()
    for step in (5, 100, 20):
        save(tmp_path, step, pair, keep=9)
    save(tmp_path, 300, pair, keep=2)
    assert [p.name[:13] for p in sorted(tmp_path.iterdir())] == ["step-00000100", "step-00000300"]


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:5000] + b"\0" + b[5001:], lambda b: b""])
def test_damaged_newest_falls_back(tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture) -> None:
    older, newer = trained(steps=1), trained(steps=2)
    save(tmp_path, 3, older)
    path = save(tmp_path, 6, newer)
    path.write_bytes(damage(path.read_bytes()))
    found = trained(seed=9, steps=0)
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(tmp_path, *found, SPEC) == 3
    assert same(found[0], older[0])
    assert f"{path} is damaged; going back" in caplog.text


def test_all_damaged_starts_anew(tmp_path: Path) -> None:
    path = save(tmp_path, 3, trained())
    path.write_bytes(b"x")
    assert load_checkpoint(tmp_path, *trained(), SPEC) == 0


def test_other_architecture_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 3, trained())
    spec = replace(SPEC, spatial=7)
    model = MdJPT(spec)
    with pytest.raises(BadInput, match=r"step-00000003-.*: architecture: spatial: found 6, expected 7"):
        load_checkpoint(tmp_path, model, torch.optim.Adam(model.parameters()), spec)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_hostile_checkpoint_does_not_run(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"format": 1, "spec": "{}", "step": 3, "model": Hostile(tmp_path / "ran")}, buffer)
    content = buffer.getvalue()
    name = f"step-00000003-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match="objects that a checkpoint never holds"):
        load_checkpoint(tmp_path, *trained(), SPEC)
    assert not (tmp_path / "ran").exists()


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("step-1.pt", "notes.txt", ".step-00000009-0123456789abcdef.pt.1.part"):
        (tmp_path / name).write_text("mine")
    pair = trained()
    for step in range(1, 4):
        save(tmp_path, step, pair, keep=1)
    assert len(list(tmp_path.iterdir())) == 4
    assert load_checkpoint(tmp_path, *pair, SPEC) == 3


def test_write_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and [p.name for p in path.parent.iterdir()] == ["file"]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "text, not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, MdJPT, str]:
    model = trained()[0]
    return tmp_path, model, save_model(tmp_path, model, model.spec)


def test_model_comes_back_exactly(kept: tuple[Path, MdJPT, str]) -> None:
    folder, model, digest = kept
    found = load_model(folder, SPEC)
    assert same(model, found) and found.spec == SPEC and not found.training
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == digest
    x, sides = torch.randn(4, 3, 320), torch.tensor([0, 0, 1, 1])
    with torch.no_grad():
        assert torch.equal(found(x, CAP, sides).embedding, model(x, CAP, sides).embedding)


def test_damaged_weights_are_refused(kept: tuple[Path, MdJPT, str]) -> None:
    path = kept[0] / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.safetensors: checksum: found other bytes"):
        load_model(kept[0])


def test_model_of_another_architecture_is_refused(kept: tuple[Path, MdJPT, str]) -> None:
    with pytest.raises(BadInput, match=r"model\.json: architecture: depth: found 1, expected 2"):
        load_model(kept[0], replace(SPEC, depth=2))


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_absent_model_says_what_is_needed(kept: tuple[Path, MdJPT, str], name: str) -> None:
    (kept[0] / name).unlink()
    with pytest.raises(BadInput, match=r"expected model\.json and model\.safetensors of a finished run"):
        load_model(kept[0])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spec": {}}', '{"spec": 3, "weights_sha256": "0"}'])
def test_description_of_another_kind_is_refused(kept: tuple[Path, MdJPT, str], text: str) -> None:
    (kept[0] / "model.json").write_text(text)
    with pytest.raises(BadInput, match=r"trained model: found .*, expected model\.json"):
        load_model(kept[0], SPEC)


def test_description_is_plain_json(kept: tuple[Path, MdJPT, str]) -> None:
    described = json.loads((kept[0] / "model.json").read_text())
    assert described["weights_sha256"] == kept[2] and described["spec"]["variant"] == "corrected"
