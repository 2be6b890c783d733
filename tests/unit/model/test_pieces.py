"""Pieces change where activations lie, not what is computed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import mdjpt_model.pieces as pieces
from mdjpt_model import MdJPT, ModelSpec
from mdjpt_model.emod.model import Emod
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.montage import UNIFIED

SMALL = {"hidden": 16, "features": 4, "heads": 4, "spatial": 8}


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three windows of the models here make several pieces."""
    monkeypatch.setitem(pieces.PIECE, "cpu", 1 << 18)
    yield


def gradients(model: nn.Module, windows: Tensor, stored: float) -> tuple[Tensor, dict[str, Tensor], int]:
    """Embedding, gradients of every weight, bytes that were kept for the backward pass beside weights."""
    part = model.encoder if isinstance(model, MdJPT) else model
    part.stored = stored
    model.zero_grad()
    groups = (torch.arange(len(windows)) // (len(windows) // 2),) if isinstance(model, MdJPT) else ()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        embedding = model(windows, UNIFIED, *groups).embedding
    bytes_kept = sum(x.untyped_storage().nbytes() for x in kept.values())
    embedding[:, 0].square().sum().backward()
    return (
        embedding.detach(),
        {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None},
        bytes_kept,
    )


@pytest.mark.parametrize("variant", ["corrected", "released"])
@pytest.mark.parametrize("encoder", ["mlla", "transformer", "convolution"])
def test_pieces_and_recomputation_change_no_number(variant: str, encoder: str, small_pieces: None) -> None:
    torch.manual_seed(0)
    model = MdJPT(ModelSpec(variant=variant, encoder=encoder, **SMALL)).double()  # type: ignore[arg-type]
    windows = torch.randn(4, 60, 625, dtype=torch.float64)
    assert pieces.count(240, 99 * 16, windows.device) > 3
    stored, recomputed = (gradients(model, windows, share) for share in (1.0, 0.0))
    pieces.PIECE["cpu"] = 1 << 40
    whole = gradients(model, windows, 1.0)
    assert torch.equal(stored[0], recomputed[0])
    assert all(torch.equal(stored[1][name], recomputed[1][name]) for name in stored[1])
    assert torch.allclose(stored[0], whole[0], rtol=1e-10, atol=1e-12)
    largest = max(float(gradient.abs().max()) for gradient in whole[1].values())
    for name, gradient in whole[1].items():
        assert torch.allclose(stored[1][name], gradient, rtol=1e-8, atol=1e-12 * largest), name


def test_what_is_computed_again_is_not_stored(small_pieces: None) -> None:
    model = MdJPT(ModelSpec(**SMALL))  # type: ignore[arg-type]
    windows = torch.randn(4, 60, 625)
    found = [gradients(model, windows, share) for share in (1.0, 0.5, 0.0)]
    all_of_it, half, none = (kept for _, _, kept in found)
    assert all(torch.equal(found[0][1][name], found[2][1][name]) for name in found[0][1]), "to the bit in float32 too"
    assert none < 0.25 * all_of_it
    assert half == pytest.approx((all_of_it + none) / 2, rel=0.1)


def test_dropout_is_the_same_the_second_time(small_pieces: None) -> None:
    torch.manual_seed(0)
    model = Emod(EmodSpec(width=16, heads=4, feedforward=32, depth=1, dropout=0.5, norm_groups=4)).train()
    windows = torch.randn(3, 60, 400)
    found = []
    for share in (1.0, 0.0):
        torch.manual_seed(7)
        found.append(gradients(model, windows, share))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])
    assert found[1][2] < 0.5 * found[0][2]


def test_without_gradients_nothing_is_computed_twice(small_pieces: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MdJPT(ModelSpec(**SMALL))  # type: ignore[arg-type]
    model.encoder.stored = 0.0
    monkeypatch.setattr(pieces, "checkpoint", None)
    with torch.no_grad():
        model.tokens(torch.randn(4, 60, 625))
