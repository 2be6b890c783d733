"""The adversary learns to tell corpora apart, and what it sees learns to look alike."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from mdjpt_model.adversary import FLOOR, Adversary

F, S, N = 3, 4, 12


def latents(spread: tuple[float, ...] = (1.0, 1.0), rows: tuple[int, ...] = (6, 4)) -> list[torch.Tensor]:
    return [one * torch.randn(count, F, S, N, dtype=torch.float64) for one, count in zip(spread, rows, strict=True)]


def by_hand(adversary: Adversary, given: list[torch.Tensor]) -> torch.Tensor:
    """Mean over corpora, whatever their windows, of -log of the right corpus."""
    losses = []
    for number, latent in enumerate(given):
        terms = []
        for window in latent:
            spread = torch.log((window - window.mean(-1, keepdim=True)).square().mean(-1) + FLOOR).flatten()
            terms.append(-functional.log_softmax(adversary.judge(spread), 0)[number])
        losses.append(torch.stack(terms).mean())
    return torch.stack(losses).mean()


def test_loss_is_the_formula_and_the_encoder_gets_the_opposite_slope() -> None:
    adversary = Adversary(F, S, 2).double()
    given = [x.requires_grad_() for x in latents()]
    adversary(given).backward()
    found = [x.grad.clone() for x in given if x.grad is not None]
    own = [p.grad.clone() for p in adversary.parameters() if p.grad is not None]
    for x in given:
        x.grad = None
    adversary.zero_grad()
    expected = by_hand(adversary, given)
    torch.testing.assert_close(adversary([x.detach() for x in given]), expected)
    expected.backward()
    for one, other in zip(found, given, strict=True):
        torch.testing.assert_close(one, -other.grad)
    for one, parameter in zip(own, adversary.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)


@pytest.mark.parametrize(("spread", "low", "high"), [((1.0, 1.0), 0.4, 0.8), ((1.0, 1.6), 0.0, 0.3)])
def test_it_tells_apart_what_differs_alone(spread: tuple[float, ...], low: float, high: float) -> None:
    torch.manual_seed(0)
    adversary = Adversary(F, S, 2).double()
    optimiser = torch.optim.Adam(adversary.parameters(), lr=3e-3)
    assert adversary(latents(spread, (64, 64))).item() == pytest.approx(math.log(2), abs=0.1), "guessing at first"
    for _ in range(120):
        optimiser.zero_grad()
        adversary(latents(spread, (64, 64))).backward()
        optimiser.step()
    assert low <= adversary(latents(spread, (256, 256))).item() <= high


def test_an_encoder_against_it_learns_to_look_alike() -> None:
    """A gain for each corpus: with the adversary in the way both become equally loud."""
    torch.manual_seed(1)
    adversary = Adversary(F, S, 2).double()
    gain = torch.nn.Parameter(torch.tensor([0.0, 0.8], dtype=torch.float64))
    optimiser = torch.optim.Adam([{"params": adversary.parameters(), "lr": 1e-2}, {"params": [gain], "lr": 3e-3}])
    gaps = []
    for _ in range(400):
        optimiser.zero_grad()
        given = [torch.exp(one) * x for one, x in zip(gain, latents((1.0, 1.0), (64, 64)), strict=True)]
        adversary(given).backward()
        optimiser.step()
        first, second = gain.tolist()
        gaps.append(second - first)
    assert abs(sum(gaps[200:]) / 200) < 0.2, "they chase each other around equal gains"
