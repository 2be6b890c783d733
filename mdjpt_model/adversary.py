"""An adversary that tells corpora apart by the latent, while the encoder learns not to let it (DANN)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FLOOR = 1e-6
"""Added to variances before their logarithm."""


class _Reverse(torch.autograd.Function):
    """Identity whose gradient changes its sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """x, as it is."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The opposite slope."""
        return -gradients[0]


class Adversary(nn.Module):
    """Corpus of a window from its latent: domain-adversarial training (Ganin et al. 2016) on what CDA aligns.

    It sees the log variance over patches of every feature and virtual channel, the diagonal of CDA's covariances: the
    latent's means are taken out by the normalisation that follows. Its loss falls by its own parameters and rises by
    the encoder's, through one backward pass.
    """

    def __init__(self, features: int, spatial: int, corpora: int, hidden: int = 64) -> None:
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(features * spatial, hidden), nn.ReLU(), nn.Linear(hidden, corpora))

    def forward(self, latents: list[Tensor]) -> Tensor:
        """Latents [B, F, S, N] of every corpus, in order -> mean over corpora of the cross-entropy; guessing: ln D."""
        losses = []
        for number, latent in enumerate(latents):
            wide = latent if latent.dtype == torch.float64 else latent.float()
            spread = torch.log(wide.var(-1, correction=0) + FLOOR).flatten(1)
            logits = self.judge(torch.as_tensor(_Reverse.apply(spread)))
            truth = torch.full((len(logits),), number, device=logits.device)
            losses.append(functional.cross_entropy(logits, truth))
        return torch.stack(losses).mean()
