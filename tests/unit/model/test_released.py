"""Checkpoints in the released layout: taken whole or refused, never executed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mdjpt_model.released import load_released, our_name

State = dict[str, Any]


@pytest.fixture(scope="module")
def state(shared: Path) -> State:
    return torch.load(shared / "golden" / "released.ckpt", map_location="cpu", weights_only=True)["state_dict"]


def stored(folder: Path, state: State) -> Path:
    path = folder / "x.ckpt"
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("variant", ["released", "corrected"])
def test_weights_arrive_under_our_names(shared: Path, state: State, variant: Any) -> None:
    model = load_released(shared / "golden" / "released.ckpt", variant, ffn_prenorm=True)
    own = model.state_dict()
    for name, value in state.items():
        ours = our_name(name)
        if ours in own:
            assert torch.equal(own[ours].flatten(), value.flatten()), name
    assert (model.spec.hidden, model.spec.features, model.spec.depth, model.spec.spatial) == (128, 32, 2, 64)


def test_every_weight_of_ours_comes_from_one_of_theirs(shared: Path, state: State) -> None:
    model = load_released(shared / "golden" / "released.ckpt", "corrected")
    assert set(model.state_dict()) == {our_name(name) for name in state} - {None}


def test_unused_weights_are_known() -> None:
    assert our_name("cnn_encoder.timeConv.weight") is None
    assert our_name("MLLA.encoder.blocks.0.self_attn.lnr_attn.scale") is None
    assert our_name("MLLA.encoder.blocks.1.ff.3.bias") == "encoder.blocks.1.feed.2.bias"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s | {"classifier.weight": torch.zeros(3)}, "classifier"),
        (lambda s: s | {"loose": torch.zeros(3)}, "loose"),
        (lambda s: {k: v for k, v in s.items() if k != "uni_mlp.fc.bias"}, "weights missing for spatial.bias"),
        (lambda s: {k: v for k, v in s.items() if k != "uni_mlp.fc.weight"}, "uni_mlp.fc.weight"),
        (lambda s: {k: v for k, v in s.items() if "blocks.0" not in k}, r"weights missing for encoder\.blocks\.0"),
        (lambda s: s | {"cnn_encoder.att_pointConv.bias": torch.zeros(100)}, "cnn_encoder.att_pointConv.bias"),
        (lambda s: {}, "not a released"),
        (lambda s: [1, 2], "not a released"),
        (lambda s: s | {"uni_mlp.fc.bias": "text"}, "not a released"),
    ],
)
def test_foreign_missing_and_misshapen_weights_are_refused(
    tmp_path: Path, state: State, change: Callable[[State], Any], said: str
) -> None:
    path = stored(tmp_path, change(dict(state)))
    with pytest.raises(ValueError, match=said) as refusal:
        load_released(path, "corrected")
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_hostile_pickle_does_not_run(tmp_path: Path) -> None:
    path = stored(tmp_path, {"a.weight": Hostile(tmp_path / "ran")})
    with pytest.raises(ValueError, match="not a released checkpoint"):
        load_released(path)
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists(), "the file would have run"


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 torn zip", b"\x80\x02}q\x00."])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.ckpt: not a released") as refusal:
        load_released(path)
    assert "\n" not in str(refusal.value)


def test_torn_checkpoint_is_refused(tmp_path: Path, shared: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes((shared / "golden" / "released.ckpt").read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match="not a released"):
        load_released(path)


def test_absent_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_released(tmp_path / "none.ckpt")
