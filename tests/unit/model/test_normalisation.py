"""Stratified normalisation: against a slow loop, its invariances, its gradient, and its streaming form."""

from __future__ import annotations

import pytest
import torch

import reference
from mdjpt_model.normalisation import EPSILON, Moments, Statistics, standardise, stratified

GROUPS = torch.tensor([7, 2, 7, 2, 2, 7])


def windows(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(6, 3, 4, 5, dtype=dtype) * 3 + 2


def test_equals_the_slow_loop() -> None:
    x = windows()
    torch.testing.assert_close(stratified(x, GROUPS), reference.stratified(x, GROUPS), rtol=1e-12, atol=1e-12)


def test_mean_zero_and_deviation_just_below_one() -> None:
    y = stratified(windows(), GROUPS)
    for group in (2, 7):
        own = y[group == GROUPS].permute(1, 2, 0, 3).flatten(2)
        assert own.mean(-1).abs().max() < 1e-12
        assert (own.std(-1) < 1).all() and (own.std(-1) > 0.99).all()


def test_scaling_one_group_leaves_both_alone() -> None:
    x = windows()
    scaled = torch.where((GROUPS == 7)[:, None, None, None], 1000 * x, x)
    torch.testing.assert_close(stratified(scaled, GROUPS), stratified(x, GROUPS), rtol=0, atol=5e-3)
    assert torch.equal(stratified(scaled, GROUPS)[GROUPS == 2], stratified(x, GROUPS)[GROUPS == 2])


def test_companions_of_another_group_do_not_matter() -> None:
    x = windows()
    alone = stratified(x[GROUPS == 2], GROUPS[GROUPS == 2])
    torch.testing.assert_close(stratified(x, GROUPS)[GROUPS == 2], alone, rtol=1e-12, atol=1e-12)


def test_order_of_rows_and_names_of_groups_do_not_matter() -> None:
    x, order = windows(), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(stratified(x[order], GROUPS[order]), stratified(x, GROUPS)[order])
    assert torch.equal(stratified(x, GROUPS), stratified(x, (GROUPS == 7).long()))


def test_refuses_a_group_of_one_and_groups_of_another_length() -> None:
    with pytest.raises(ValueError, match=r"single window cannot be normalised: \[4\]"):
        stratified(windows()[:3], torch.tensor([1, 1, 4]))
    with pytest.raises(ValueError, match=r"found shape \(2,\), expected \(6,\)"):
        stratified(windows(), torch.tensor([0, 1]))


def test_gradient() -> None:
    x = windows()[:4, :2, :2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stratified(x, torch.tensor([0, 1, 0, 1])), x)


def test_constant_input_gives_zero_and_a_finite_gradient() -> None:
    x = torch.full((4, 2, 3, 5), 0.3, dtype=torch.float64, requires_grad=True)
    y = stratified(x, torch.tensor([0, 0, 1, 1]))
    (y * torch.randn_like(y)).sum().backward()
    assert y.detach().abs().max() < 1e-9
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_low_precision_input_is_normalised_in_float32() -> None:
    x = windows(torch.float32).bfloat16()
    y = stratified(x, GROUPS)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, stratified(x.float(), GROUPS))


def test_streaming_moments_equal_those_of_all_at_once() -> None:
    x = torch.randn(40, 3, 4, 5) * 10 + 1e4
    streamed = Moments.empty((3, 4))
    for part in x.split([1, 7, 2, 30]):
        streamed = streamed.update(part)
    whole = x.double().permute(1, 2, 0, 3).flatten(2)
    found = streamed.statistics()
    torch.testing.assert_close(found.mean, whole.mean(-1), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.std, whole.std(-1), rtol=1e-10, atol=0)


def test_merge_is_symmetric_and_knows_nothing_seen() -> None:
    one, two = (Moments.empty((3, 4)).update(windows()) for _ in range(2))
    a, b = one.merge(two), two.merge(one)
    assert a.count == b.count == 60
    torch.testing.assert_close(a.squares, b.squares)
    none = Moments.empty((3, 4))
    assert none.merge(none).count == 0
    assert torch.equal(one.merge(none).mean, one.mean)
    with pytest.raises(ValueError, match="two values a position, found 0"):
        none.statistics()


def test_standardising_by_own_statistics_is_stratified() -> None:
    x = windows()
    own = Moments.empty((3, 4)).update(x).statistics()
    same = stratified(x, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(standardise(x, own), same, rtol=1e-10, atol=1e-10)


def test_standardise_formula() -> None:
    x = torch.tensor([[[[5.0]]]])
    statistics = Statistics(torch.tensor([[1.0]]), torch.tensor([[2.0]]))
    assert standardise(x, statistics).item() == pytest.approx(4 / (2 + EPSILON))
