"""What every channel encoder does, and the two that MLLA is compared with."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import reference
from mdjpt_model.encoders import ENCODERS
from mdjpt_model.encoders import convolution as conv
from mdjpt_model.encoders import transformer as plain
from mdjpt_model.model import MdJPT
from mdjpt_model.montage import UNIFIED
from mdjpt_model.spec import ModelSpec

SMALL = ModelSpec(hidden=8, features=4, heads=2, depth=2, patch=10, stride=4)
PATCHES = 6
SAMPLES = 10 + 5 * 4


def encoder(name: str, spec: ModelSpec = SMALL) -> nn.Module:
    torch.manual_seed(1)
    return ENCODERS[name](spec).double()


def rows(count: int = 3) -> torch.Tensor:
    return torch.randn(count, SAMPLES, dtype=torch.float64)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_shapes_and_sizes_are_the_same_for_all(name: str) -> None:
    built = encoder(name)
    assert built(rows()).shape == (3, PATCHES, 4)
    assert built(rows(1)[:, : SAMPLES - 1]).shape == (1, PATCHES - 1, 4)
    assert len(list(built.get_submodule("blocks").children())) == 2
    model = MdJPT(ModelSpec(encoder=name))
    with torch.no_grad():
        out = model(torch.randn(4, 60, 625), UNIFIED, torch.tensor([0, 0, 1, 1]))
    assert out.tokens.shape == (4, 60, 99, 32) and out.embedding.shape == (4, 1024)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_parameter_learns(name: str) -> None:
    built = encoder(name)
    built(rows()).square().sum().backward()
    silent = [n for n, p in built.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("name", list(ENCODERS))
def test_channels_do_not_see_each_other(name: str) -> None:
    """In the released Transformer ablation all 60 channels were one (Ablation_Transformer.py:30-43)."""
    built, x = encoder(name), rows()
    torch.testing.assert_close(built(x)[1], built(x[1:2])[0])
    assert not torch.allclose(built(x)[0], built(x)[1])


@pytest.mark.parametrize("name", list(ENCODERS))
def test_same_seed_gives_the_same_bits(name: str) -> None:
    found = []
    x = rows()
    for _ in range(2):
        built = encoder(name)
        out = built(x)
        out.square().sum().backward()
        found.append([out, *(p.grad for p in built.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("name", list(ENCODERS))
def test_gradient(name: str) -> None:
    built = encoder(name)
    assert torch.autograd.gradcheck(built, rows(2).requires_grad_())


@pytest.mark.parametrize("name", list(ENCODERS))
def test_low_precision_stays_close(name: str) -> None:
    built, x = encoder(name).float(), rows().float()
    with torch.autocast("cpu", torch.bfloat16):
        low = built(x)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), built(x), rtol=0.05, atol=0.05)


def reach(built: nn.Module, token: int) -> list[int]:
    """Patches that a token of the output depends on."""
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, given: object, out: torch.Tensor) -> None:
        out.retain_grad()
        seen.append(out)

    built.get_submodule("read_in").register_forward_hook(keep)
    built(torch.randn(1, 10 + 10 * 4, dtype=torch.float64))[0, token].square().sum().backward()
    assert seen[0].grad is not None
    return torch.nonzero(seen[0].grad[0].abs().sum(-1)).flatten().tolist()


def test_attention_reaches_all_patches_and_convolution_one_a_block() -> None:
    assert reach(encoder("transformer"), 5) == list(range(11))
    assert reach(encoder("convolution"), 5) == [3, 4, 5, 6, 7]


def test_softmax_attention_equals_a_sum_over_all_patches() -> None:
    module = plain.SoftmaxAttention(8, 2).double()
    x = torch.randn(3, 7, 8, dtype=torch.float64)
    expected = []
    for row in x:
        q, k, v = module.query(row), module.key(row), module.value(row)
        heads = [reference.softmax_attention(q[:, h], k[:, h], v[:, h]) for h in (slice(0, 4), slice(4, 8))]
        expected.append(module.join(torch.cat(heads, dim=1)))
    torch.testing.assert_close(module(x), torch.stack(expected), rtol=1e-10, atol=1e-12)


def test_transformer_is_the_described_sequence() -> None:
    built, x = encoder("transformer"), rows()
    patches = torch.stack([x[:, 4 * n : 4 * n + 10] for n in range(PATCHES)], dim=1)
    u = built.read_in(patches) + plain.positions(PATCHES, 8)  # type: ignore[operator]
    for block in built.blocks:  # type: ignore[union-attr]
        assert {name for name, _ in block.named_children()} == {"norm_in", "attention", "norm_out", "feed"}
        u = u + block.attention(functional.layer_norm(u, (8,)))
        h = functional.layer_norm(u, (8,))
        u = u + block.feed[2](functional.gelu(block.feed[0](h)))
    torch.testing.assert_close(built(x), built.read_out(u), rtol=1e-6, atol=1e-7)  # type: ignore[operator]


@pytest.mark.parametrize("width", [8, 7, 1])
def test_positions_are_the_textbook_formula(width: int) -> None:
    found = plain.positions(5, width)
    assert found.shape == (5, width)
    for n in range(5):
        for d in range(width):
            angle = n / 10_000 ** (2 * (d // 2) / width)
            assert found[n, d].item() == pytest.approx(math.sin(angle) if d % 2 == 0 else math.cos(angle), abs=1e-6)


def test_order_of_patches_matters_to_the_transformer() -> None:
    built = encoder("transformer")
    u = torch.randn(1, PATCHES, 8, dtype=torch.float64)
    block = built.blocks[0]  # type: ignore[index]
    torch.testing.assert_close(block(u.flip(1)), block(u).flip(1))
    x = rows(1).unfold(-1, 10, 10)  # disjoint patches, so that they can be turned round
    spec = ModelSpec(hidden=8, features=4, heads=2, patch=10, stride=10)
    apart = encoder("transformer", spec)
    forward, back = apart(x.flatten(1)), apart(x.flip(1).flatten(1))
    assert not torch.allclose(forward, back.flip(1))


def test_convolution_is_the_described_sequence() -> None:
    block = conv.Block(SMALL).double()
    u = torch.randn(2, 7, 8, dtype=torch.float64)
    padded = torch.cat([torch.zeros(2, 1, 8), u, torch.zeros(2, 1, 8)], 1).double()
    mixed = torch.stack([(padded[:, n : n + 3] * block.local.weight[:, 0].T).sum(1) for n in range(7)], 1)
    expected = u + block.feed(block.norm(mixed + block.local.bias))
    torch.testing.assert_close(block(u), expected, rtol=1e-12, atol=1e-12)
