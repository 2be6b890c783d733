"""Soft contrast by valence and arousal against the formula spelled out, its limits and its gradient."""

from __future__ import annotations

import math

import pytest
import torch

from mdjpt_model.affect import on_grid, soft_affect_contrast
from mdjpt_model.losses import supervised_contrast

NAN = math.nan
POINTS = torch.tensor(
    [[0.5, 0.5], [0.5, 0.4], [-0.6, 0.2], [NAN, NAN], [0.5, 0.5], [-1, -1], [0.1, NAN], [-0.5, 0.1], [1, 1], [0.4, 0]]
)


def unit(rows: int, width: int = 16) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, width, dtype=torch.float64), dim=1)


def by_loops(z: torch.Tensor, affect: list[list[float]], temperature: float, reach: float) -> torch.Tensor:
    known = [i for i, point in enumerate(affect) if not any(math.isnan(x) for x in point)]
    terms = []
    for i in known:
        below = sum(torch.exp(z[i] @ z[k] / temperature) for k in known if k != i)
        weight, total = 0.0, torch.zeros((), dtype=z.dtype)
        for j in known:
            if j != i:
                w = max(0.0, 1 - math.dist(affect[i], affect[j]) / reach)
                weight += w
                total = total + w * torch.log(torch.exp(z[i] @ z[j] / temperature) / below)
        if weight > 0:
            terms.append(-total / weight)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("reach", [0.15, 1.25, 5.0])
def test_contrast_equals_the_formula(temperature: float, reach: float) -> None:
    z = unit(10)
    expected = by_loops(z, POINTS.tolist(), temperature, reach)
    torch.testing.assert_close(soft_affect_contrast(z, POINTS, temperature, reach), expected, rtol=1e-6, atol=0)


def test_published_reach_on_the_grid_is_the_default_in_the_plane() -> None:
    z, cells = unit(6), torch.tensor([[4, 5], [7, 6], [3, 5], [3, 6], [8, 0], [0, 0]])
    torch.testing.assert_close(soft_affect_contrast(z, (cells - 4) / 4), soft_affect_contrast(z, cells, reach=5.0))


def test_anchors_out_of_reach_of_all_are_left_out_of_the_mean() -> None:
    z, affect = unit(4), torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [1.0, 1.0]])
    found = soft_affect_contrast(z, affect, reach=0.5)
    torch.testing.assert_close(found, by_loops(z, affect.tolist(), 0.07, 0.5), rtol=1e-6, atol=0)
    with_it = by_loops(z, affect.tolist(), 0.07, 5.0)
    assert abs(found.item() - with_it.item()) > 1e-3


@pytest.mark.parametrize(("hard", "reach"), [(True, 1.25), (True, 0.01), (False, 1e-9)])
def test_equal_points_alone_are_supervised_contrast(hard: bool, reach: float) -> None:
    z, labels = unit(10), torch.tensor([0, 1, 1, -1, 0, 3, 1, 2, -1, 0])
    corners = torch.tensor([[0.5, 0.5], [-0.5, 0.3], [0.1, -1.0], [1.0, 1.0], [NAN, 0.0]])
    found = soft_affect_contrast(z, corners[labels], 0.2, reach, hard)
    torch.testing.assert_close(found, supervised_contrast(z, labels, 0.2))


def test_unbounded_reach_weighs_all_alike() -> None:
    z = unit(8)
    found = soft_affect_contrast(z, torch.rand(8, 2) * 2 - 1, reach=1e9)
    torch.testing.assert_close(found, supervised_contrast(z, torch.zeros(8, dtype=torch.long)), rtol=1e-6, atol=0)


def test_windows_of_unknown_affect_take_no_part() -> None:
    z, known = unit(10).requires_grad_(), ~POINTS.isnan().any(1)
    loss = soft_affect_contrast(z, POINTS)
    loss.backward()
    assert z.grad is not None and torch.equal(z.grad[~known], torch.zeros(2, 16))
    assert (z.grad[known].norm(dim=1) > 0).all()
    torch.testing.assert_close(loss, soft_affect_contrast(z[known], POINTS[known]))


@pytest.mark.parametrize(
    "affect", [[[NAN, NAN]] * 3, [[0, 0], [NAN, 1], [1, NAN]], [[-1, -1], [1, 1], [-1, 1]], [[0, 0]]]
)
@pytest.mark.parametrize("hard", [True, False])
def test_no_anchor_gives_a_zero_that_can_be_pushed_back(affect: list[list[float]], hard: bool) -> None:
    z = unit(len(affect)).requires_grad_()
    loss = soft_affect_contrast(z, torch.tensor(affect), hard=hard)
    loss.backward()
    assert loss.item() == 0 and z.grad is not None and torch.equal(z.grad, torch.zeros_like(z))


def test_gradient() -> None:
    assert torch.autograd.gradcheck(lambda z: soft_affect_contrast(z, POINTS[:7]), unit(7, 5).requires_grad_())


def test_near_emotions_attract_more_than_far_ones() -> None:
    z = torch.eye(3, dtype=torch.float64)[[0, 0, 1]]
    near, far = torch.tensor([[0.5, 0.5], [0.5, 0.4], [-0.3, 0.4]]), torch.tensor([[0.5, 0.5], [-0.3, 0.4], [0.5, 0.4]])
    assert soft_affect_contrast(z, near) < soft_affect_contrast(z, far)


def test_low_precision_is_computed_in_float32() -> None:
    z = unit(10).bfloat16()
    assert soft_affect_contrast(z, POINTS).dtype == torch.float32
    torch.testing.assert_close(soft_affect_contrast(z, POINTS), soft_affect_contrast(z.float(), POINTS))


def test_other_coordinates_and_reaches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"affect: found shape \(10, 2\), expected \[4, 2\]"):
        soft_affect_contrast(unit(4), POINTS)
    with pytest.raises(ValueError, match="reach must be positive, found 0"):
        soft_affect_contrast(unit(10), POINTS, reach=0)


def test_coordinates_are_cut_as_published() -> None:
    """EMOD's grid is (x + 1) * 4, and int() cuts a rating of 4.9 to 4."""
    grid = torch.tensor([[0.0, 8.0], [4.9, 4.0], [7.999, 0.5], [math.nan, 3.0]])
    found = (on_grid(grid / 4 - 1) + 1) * 4
    torch.testing.assert_close(
        found, torch.tensor([[0.0, 8.0], [4.0, 4.0], [7.0, 0.0], [math.nan, 3.0]]), equal_nan=True
    )
