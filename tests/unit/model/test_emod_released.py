"""EMOD checkpoints in the released layout: taken whole or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mdjpt_model.emod.released import load_released, our_name

State = dict[str, Any]


@pytest.fixture(scope="module")
def state(shared: Path) -> State:
    return torch.load(shared / "golden" / "emod_released.ckpt", map_location="cpu", weights_only=True)["state_dict"]


def stored(folder: Path, state: State) -> Path:
    path = folder / "x.ckpt"
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("variant", ["released", "corrected"])
def test_weights_arrive_under_our_names(shared: Path, state: State, variant: Any) -> None:
    model = load_released(shared / "golden" / "emod_released.ckpt", variant)
    own = model.state_dict()
    names = {name: our_name(name) for name in state}
    assert set(own) == set(names.values()) - {None}
    assert all(torch.equal(own[ours], state[name]) for name, ours in names.items() if ours is not None)
    assert (model.spec.width, model.spec.heads, model.spec.depth, model.spec.rate) == (128, 16, 3, 128.0)
    assert model.spec.variant == variant


def test_statistics_of_the_head_are_known_and_unused() -> None:
    unused = ("running_mean", "running_var", "num_batches_tracked")
    assert [our_name(f"projection_head.4.{name}") for name in unused] == [None] * 3
    assert our_name("axial_transformer.layers.2.width_attn.rel_pos_embed.rel_embed") == "layers.2.time.offsets"


def test_switches_rate_and_dropout_are_the_callers(shared: Path) -> None:
    path = shared / "golden" / "emod_released.ckpt"
    spec = load_released(path, rate=200.0, dropout=0.25, temporal_attention="time").spec
    assert (spec.rate, spec.dropout) == (200.0, 0.25)
    assert (spec.chosen.temporal_attention, spec.chosen.spectrum) == ("time", "real")


def test_names_need_the_names_of_the_rows(shared: Path) -> None:
    path, x = shared / "golden" / "emod_released.ckpt", torch.randn(2, 2, 128)
    with pytest.raises(ValueError, match="without a row in the model's table: CZ, FZ"):
        load_released(path)(x, ("CZ", "FZ"))
    model = load_released(path, electrodes=("", "CZ", "FZ")).eval()
    assert torch.equal(model(x, ("FZ", "CZ")).embedding, model(x, torch.tensor([2, 1])).embedding)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s | {"classifier.weight": torch.zeros(3)}, "classifier"),
        (lambda s: {k: v for k, v in s.items() if k != "pos_embeddings.weight"}, "weights missing for place.weight"),
        (lambda s: {k: v for k, v in s.items() if k != "embd.l.1.bias"}, "embd.l.1.bias"),
        (lambda s: {k: v for k, v in s.items() if "layers.1" not in k}, "weights missing for layers.1"),
        (lambda s: s | {"pos_embeddings.weight": torch.zeros(60, 128)}, r"pos_embeddings.weight: found \(60, 128\)"),
        (lambda s: {}, "not a released"),
    ],
)
def test_foreign_missing_and_misshapen_weights_are_refused(
    tmp_path: Path, state: State, change: Callable[[State], Any], said: str
) -> None:
    path = stored(tmp_path, change(dict(state)))
    with pytest.raises(ValueError, match=said) as refusal:
        load_released(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
