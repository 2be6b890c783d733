"""The channel encoder: its attention, its reach, what of it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import reference
from mdjpt_model.encoders.mlla import MLLA, Along, Block, LinearAttention
from mdjpt_model.spec import ModelSpec


def test_attention_equals_a_sum_over_all_patches() -> None:
    module = LinearAttention(8, 2).double()
    x = torch.randn(3, 7, 8, dtype=torch.float64)
    expected = []
    for row in x:
        q, k, v = module.query(row), module.key(row), module.value(row)
        heads = [reference.linear_attention(q[:, h], k[:, h], v[:, h]) for h in (slice(0, 4), slice(4, 8))]
        expected.append(module.join(torch.cat(heads, dim=1)))
    torch.testing.assert_close(module(x), torch.stack(expected), rtol=1e-10, atol=1e-12)


def test_along_is_a_centred_convolution_of_three_patches() -> None:
    module = Along(2).double()
    x = torch.randn(1, 6, 2, dtype=torch.float64)
    found = module(x)[0]
    padded = torch.cat([torch.zeros(1, 2), x[0], torch.zeros(1, 2)]).double()
    for n in range(6):
        for d in range(2):
            expected = (padded[n : n + 3, d] * module.weight[d, 0]).sum() + module.bias[d]
            torch.testing.assert_close(found[n, d], expected)


@pytest.mark.parametrize("prenorm", [True, False])
def test_block_is_the_described_sequence(prenorm: bool) -> None:
    """SYSTEMS 1.3, MLLA block, steps 1-6."""
    block = Block(ModelSpec(hidden=8, features=4, heads=2, switches={"ffn_prenorm": prenorm})).double()
    start = torch.randn(3, 7, 8, dtype=torch.float64)
    s = start + block.position_in(start)
    h = block.norm_in(s)
    gate = functional.silu(block.gate(h))
    a = block.attention(functional.silu(block.local(block.enter(h))))
    u = s + block.leave(a * gate)
    u = u + block.position_out(u)
    expected = u + block.feed(block.norm_out(u) if prenorm else u)
    torch.testing.assert_close(block(start), expected, rtol=1e-12, atol=1e-12)
    assert [type(layer) for layer in block.feed] == [nn.Linear, nn.GELU, nn.Linear]


def test_released_block_stops_before_the_attention() -> None:
    block = Block(ModelSpec(hidden=8, features=4, heads=2, variant="released")).double()
    start = torch.randn(3, 7, 8, dtype=torch.float64)
    h = block.norm_in(start + block.position_in(start))
    torch.testing.assert_close(block(start), functional.silu(block.local(block.enter(h))))


@pytest.mark.parametrize(("variant", "low", "high"), [("released", 46, 54), ("corrected", 0, 98)])
def test_reach_of_token_50_at_published_sizes(variant: str, low: int, high: int) -> None:
    encoder = MLLA(ModelSpec(variant=variant)).double()  # type: ignore[arg-type]
    seen: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, given: object, out: torch.Tensor) -> None:
        out.retain_grad()
        seen.append(out)

    encoder.read_in.register_forward_hook(keep)
    out = encoder(torch.randn(1, 625, dtype=torch.float64))
    assert out.shape == (1, 99, 32)
    out[0, 50].square().sum().backward()
    assert seen[0].grad is not None
    reached = torch.nonzero(seen[0].grad[0].abs().sum(-1)).flatten()
    assert (int(reached.min()), int(reached.max()), len(reached)) == (low, high, high - low + 1)


@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_every_parameter_learns(variant: str) -> None:
    encoder = MLLA(ModelSpec(variant=variant, hidden=8, features=4, heads=2))  # type: ignore[arg-type]
    encoder(torch.randn(2, 200)).square().sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_released_block_builds_nothing_dead() -> None:
    names = {n.split(".")[2] for n, _ in MLLA(ModelSpec(variant="released")).named_parameters() if "blocks" in n}
    assert names == {"position_in", "local", "norm_in", "enter"}


def test_channels_do_not_see_each_other() -> None:
    encoder = MLLA(ModelSpec(hidden=8, features=4, heads=2))
    x = torch.randn(3, 100)
    torch.testing.assert_close(encoder(x)[1], encoder(x[1:2])[0])


def test_patches_are_cut_with_overlap() -> None:
    encoder = MLLA(ModelSpec(variant="released", hidden=8, features=4, heads=2, patch=10, stride=4))
    assert encoder(torch.randn(1, 30)).shape == (1, 6, 4)
    assert encoder(torch.randn(1, 33)).shape == (1, 6, 4)
    assert encoder(torch.randn(1, 34)).shape == (1, 7, 4)
