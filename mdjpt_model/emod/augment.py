"""The random changes that EMOD makes to windows before it embeds them (its released code).

Windows are as stores hold them, in multiples of their subject's SD or in microvolts; noise is measured by the window's
own SD, so either will do, and it is the reference's 0.1 where windows have an SD of one.
All draw from the global generator of the windows' device, which the training seeds for every episode: the result is
that of the seed, whichever process computes it. How many numbers are drawn depends on the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

NOISE, SHUFFLED, MASKED = 0.1, 0.5, 0.2
"""Noise over a window's SD; probability that a window to be shuffled is; share of a window that is masked."""


def noise(windows: Tensor) -> Tensor:
    """[B, C, T] plus white noise of a tenth of each window's SD over channels and time."""
    return windows + NOISE * windows.std((1, 2), keepdim=True, correction=0) * torch.randn_like(windows)


def shuffle(windows: Tensor) -> Tensor:
    """[B, C, T] with the channels of half of the windows in another order, under their old names."""
    rows, channels, _ = windows.shape
    chosen = torch.rand(rows, 1, 1, device=windows.device) < SHUFFLED
    order = torch.rand(rows, channels, 1, device=windows.device).argsort(1)
    return torch.where(chosen, windows.gather(1, order.expand_as(windows)), windows)


def mask(windows: Tensor) -> Tensor:
    """[B, C, T] with a fifth of each window zero in all channels, from a random sample on."""
    rows, _, samples = windows.shape
    length = round(MASKED * samples)
    start = (torch.rand(rows, 1, 1, device=windows.device) * (samples - length + 1)).long()
    after = torch.arange(samples, device=windows.device) - start
    return windows.masked_fill((after >= 0) & (after < length), 0)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"noise": noise, "shuffle": shuffle, "mask": mask}


def augment(windows: Tensor, kinds: Sequence[str] = tuple(CHANGES)) -> Tensor:
    """[B, C, T] -> [B, C, T]: to each window by itself one of `kinds` or nothing, all equally likely.

    Raises ValueError: a kind that is none of `CHANGES`.
    """
    unknown = [kind for kind in kinds if kind not in CHANGES]
    if unknown:
        raise ValueError(f"unknown augmentation {unknown[0]!r}; valid: {', '.join(CHANGES)}")
    drawn = torch.randint(len(kinds) + 1, (len(windows), 1, 1), device=windows.device)
    result = windows
    for number, kind in enumerate(kinds):
        result = torch.where(drawn == number, CHANGES[kind](windows), result)
    return result
