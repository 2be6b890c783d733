"""EMOD against textbook loops, and what must not matter to it: the order of channels, companions, the precision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mdjpt_model.emod import Emod, EmodSpec
from mdjpt_model.emod.attention import AxialAttention, Layer
from mdjpt_model.emod.branches import Branch, Branches, bins, pool
from mdjpt_model.emod.spec import POSITIONS, VARIANTS

SMALL = EmodSpec(
    rate=50, width=16, heads=2, depth=2, feedforward=24, kernel=7, norm_groups=2, hidden=20, embedding=6, dropout=0
)
CAP = ("FP1", "FZ", "CZ", "PZ", "OZ", "T7", "T8")


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def randomised(module: Any) -> Any:
    """Weights of order one: fresh ones are so small that a softmax is nearly a mean."""
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter.shape[-1]))
    return module


def attention_by_loops(attention: AxialAttention, x: Tensor) -> Tensor:
    """One row [L, D]: every head and query by itself."""
    length, width = x.shape
    deep = width // attention.heads
    q, k, v = (x @ attention.enter.weight.T + attention.enter.bias).split(width, dim=1)
    out = torch.zeros_like(x)
    for head in range(attention.heads):
        part = slice(head * deep, (head + 1) * deep)
        for i in range(length):
            logits = []
            for j in range(length):
                logit = (q[i, part] * k[j, part]).sum() / math.sqrt(deep)
                if attention.positions:
                    reach = attention.positions - 1
                    logit = logit + (q[i, part] * attention.offsets[max(-reach, min(reach, i - j)) + reach]).sum()
                logits.append(logit)
            weight = torch.stack(logits).softmax(0)
            out[i, part] = sum(weight[j] * v[j, part] for j in range(length))
    return out @ attention.leave.weight.T + attention.leave.bias


@pytest.mark.parametrize("positions", [0, 6, 3])
def test_attention_equals_loops(positions: int) -> None:
    attention, x = randomised(AxialAttention(SMALL, positions)), double(2, 3, 6, 16)
    found = attention(x)
    for b in range(2):
        for row in range(3):
            torch.testing.assert_close(found[b, row], attention_by_loops(attention, x[b, row]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scrambled", [False, True])
def test_layer_is_channels_then_time_then_feed(scrambled: bool) -> None:
    spec = replace(SMALL, switches={"temporal_attention": "scrambled" if scrambled else "time"})
    layer, x = randomised(Layer(spec)), double(2, 3, 5, 16)
    expected = x.clone()
    for b in range(2):
        for t in range(5):
            normed = layer.space_norm(x[b, :, t])
            expected[b, :, t] = x[b, :, t] + attention_by_loops(layer.space, normed)
        for c in range(3):
            normed = layer.time_norm(expected[b, c])
            read = normed.T.reshape(5, 16) if scrambled else normed
            expected[b, c] = expected[b, c] + attention_by_loops(layer.time, read)
    expected = expected + layer.feed(layer.feed_norm(expected))
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("length", "count"), [(50, 50), (100, 20), (626, 50), (13, 5), (6, 11), (7, 1)])
def test_pool_is_adaptive_pooling(length: int, count: int) -> None:
    x = double(2, 3, length)
    torch.testing.assert_close(pool(x, count), functional.adaptive_avg_pool1d(x, count))
    torch.testing.assert_close(bins(length, count).sum(0), torch.ones(count, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda z: pool(z, count), x[:1, :1].requires_grad_())


def test_branch_equals_loops() -> None:
    branch, x = randomised(Branch(SMALL)), double(2, 3, 20)
    padded = functional.pad(x, (3, 3))
    raw = double(2, 16, 3, 20)
    for t in range(20):
        raw[..., t] = torch.einsum("bck,fk->bfc", padded[..., t : t + 7], branch.filters.weight[:, 0, 0])
    raw = raw + branch.filters.bias[:, None, None]
    groups = raw.reshape(2, 2, -1)
    normed = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    normed = normed.view_as(raw) * branch.norm.weight[:, None, None] + branch.norm.bias[:, None, None]
    activated = normed * (1 + torch.erf(normed / math.sqrt(2))) / 2
    torch.testing.assert_close(branch(x, 4), activated.unflatten(-1, (4, 5)).mean(-1), rtol=1e-9, atol=1e-9)


def test_magnitude_does_not_feel_a_shift_in_time_and_the_real_part_does() -> None:
    x, moved = {}, {}
    wave = double(2, 3, 200)
    for form in ("magnitude", "real"):
        torch.manual_seed(1)
        branches = Branches(replace(SMALL, switches={"spectrum": form})).double()
        seen: list[Tensor] = []
        branches.frequency.register_forward_hook(lambda module, given, out, seen=seen: seen.append(out))
        branches(wave, 20)
        branches(wave.roll(17, -1), 20)
        x[form], moved[form] = seen
    torch.testing.assert_close(x["magnitude"], moved["magnitude"], rtol=1e-9, atol=1e-9)
    assert (x["real"] - moved["real"]).abs().max() > 1e-3


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_order_of_channels_does_not_matter(variant: Any) -> None:
    model, x, order = randomised(Emod(replace(SMALL, variant=variant))), double(3, 7, 200), [3, 0, 6, 1, 5, 2, 4]
    one, other = model(x, CAP), model(x[:, order], [CAP[i] for i in order])
    torch.testing.assert_close(one.encoded[:, order], other.encoded, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(one.embedding, other.embedding, rtol=1e-8, atol=1e-8)
    renamed = model(x, [CAP[i] for i in order])
    assert (one.embedding - renamed.embedding).abs().max() > 1e-5, "a name matters"


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_companions_do_not_matter_to_features(variant: Any) -> None:
    model, x = randomised(Emod(replace(SMALL, variant=variant))), double(4, 7, 200)
    together = model.features(x, CAP)
    for row in range(4):
        torch.testing.assert_close(together[row], model.features(x[row : row + 1], CAP)[0], rtol=1e-9, atol=1e-9)
    other = model.features(torch.cat([x[:1], 100 * double(3, 7, 200)]), CAP)
    torch.testing.assert_close(together[0], other[0], rtol=1e-9, atol=1e-9)


def test_scrambled_attention_reads_features_for_times() -> None:
    """Attention over time follows a cyclic shift of all tokens; the scrambled one does not."""
    follows = {}
    for form in ("time", "scrambled"):
        torch.manual_seed(2)
        layer = randomised(Layer(replace(SMALL, switches={"temporal_attention": form})))
        with torch.no_grad():
            layer.time.offsets.zero_()
        x = double(1, 2, 8, 16)
        follows[form] = torch.allclose(layer(x.roll(3, 2)), layer(x).roll(3, 2), rtol=1e-8, atol=1e-8)
    assert follows == {"time": True, "scrambled": False}


def test_offsets_beyond_the_table_are_its_outermost() -> None:
    attention, x = randomised(AxialAttention(SMALL, POSITIONS)), double(1, 1, POSITIONS + 3, 16)
    torch.testing.assert_close(attention(x)[0, 0], attention_by_loops(attention, x[0, 0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_single_precision_is_near_double(variant: Any) -> None:
    model, x = Emod(replace(SMALL, variant=variant, switches={"head_norm": "layer"})), torch.randn(3, 7, 200)
    single = model(x, CAP)
    wide = model.double()(x.double(), CAP)
    assert wide.embedding.dtype == torch.float64 == wide.tokens.dtype
    torch.testing.assert_close(single.embedding.double(), wide.embedding, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_gradient_is_that_of_finite_differences(variant: Any) -> None:
    tiny = EmodSpec(
        rate=20, width=4, heads=2, depth=1, feedforward=6, kernel=3, norm_groups=2, hidden=6, embedding=3, dropout=0
    )
    model = randomised(Emod(replace(tiny, variant=variant)))
    assert torch.autograd.gradcheck(lambda x: model(x, CAP[:2]).embedding, double(3, 2, 12).requires_grad_())
