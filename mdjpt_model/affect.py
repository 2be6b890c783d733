"""Contrast in the plane of valence and arousal: windows attract each other the more, the nearer their emotions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def soft_affect_contrast(
    embedding: Tensor, affect: Tensor, temperature: float = 0.07, reach: float = 1.25, hard: bool = False
) -> Tensor:
    """Mean over anchors of -log softmax of the similarity, weighted by nearness in the plane (EMOD, AAAI 2026).

    `embedding` [B, E]: unit vectors; `affect` [B, 2]: valence and arousal, NaN where unknown: such windows are neither
    anchor nor positive nor negative. A pair at distance d weighs max(0, 1 - d / reach), or with `hard` 1 where d = 0
    and else 0, which is `losses.supervised_contrast` of the points as classes. Anchors without weight are skipped; 0
    where none is left. The published reach of 5 on a grid of 0..8 is 1.25 in [-1, 1]; the released default of 13.49
    exceeds the grid's diagonal, so that every pair attracts.
    Raises ValueError: not two coordinates a window, a reach that is not positive.
    """
    if affect.shape != (len(embedding), 2):
        raise ValueError(f"affect: found shape {tuple(affect.shape)}, expected [{len(embedding)}, 2]")
    if not reach > 0:
        raise ValueError(f"reach must be positive, found {reach}")
    wide = embedding if embedding.dtype == torch.float64 else embedding.float()
    known = ~affect.isnan().any(1)
    unit, point = wide[known], affect[known].to(wide.dtype)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    distance = (point[:, None] - point).norm(dim=-1)
    weight = (distance == 0).to(wide.dtype) if hard else (1 - distance / reach).clamp(min=0)
    weight = weight.masked_fill(itself, 0)
    total = weight.sum(1)
    anchors = total > 0
    if not anchors.any():
        return 0 * wide.sum()
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -math.inf)
    likelihood = functional.log_softmax(similarity, 1).masked_fill(itself, 0)
    return -((weight * likelihood).sum(1)[anchors] / total[anchors]).mean()


def on_grid(affect: Tensor) -> Tensor:
    """Coordinates in [-1, 1] cut to whole steps of EMOD's grid 0..8, as its released code does by int()."""
    return ((affect + 1) * 4).floor() / 4 - 1
