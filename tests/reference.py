"""Slow, obvious versions of what the project computes fast: loops and textbook formulas, for comparison only."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def contrast(embedding: Tensor, temperature: float) -> Tensor:
    rows = len(embedding)
    half = rows // 2
    terms = []
    for i in range(rows):
        partner = i + half if i < half else i - half
        above = torch.exp(embedding[i] @ embedding[partner] / temperature)
        below = sum(torch.exp(embedding[i] @ embedding[k] / temperature) for k in range(rows) if k != i)
        terms.append(-torch.log(above / below))
    return torch.stack(terms).mean()


def supervised(embedding: Tensor, labels: list[int], temperature: float) -> Tensor:
    """Khosla et al. 2020, equation 2: over anchors that have positives; labels below 0 take no part."""
    known = [i for i in range(len(labels)) if labels[i] >= 0]
    terms = []
    for i in known:
        positives = [p for p in known if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        below = sum(torch.exp(embedding[i] @ embedding[a] / temperature) for a in known if a != i)
        logs = [torch.log(torch.exp(embedding[i] @ embedding[p] / temperature) / below) for p in positives]
        terms.append(-sum(logs) / len(positives))
    return torch.stack(terms).mean()


def centroid(latent: Tensor) -> Tensor:
    """[V, F, S, N] of one subject -> [F, S, S]."""
    trials = []
    for window in latent:
        trials.append(torch.stack([torch.cov(feature) for feature in window]))
    return torch.stack(trials).mean(0)


def alignment(gamma: Tensor, squared: bool = False) -> Tensor:
    """[n, F, S, S] -> scalar."""
    total = torch.zeros((), dtype=gamma.dtype)
    for feature in range(gamma.shape[1]):
        for i in range(len(gamma)):
            for j in range(i + 1, len(gamma)):
                square = (gamma[i, feature] - gamma[j, feature]).square().sum()
                total = total + (square if squared else square.sqrt())
    return torch.log(total + 1)


def coral(gamma: Tensor, owner: list[int]) -> Tensor:
    """[n, F, S, S] and the corpus of each -> scalar: mean over features and pairs of corpora."""
    corpora, terms = sorted(set(owner)), []
    for feature in range(gamma.shape[1]):
        mean = [torch.stack([g[feature] for g, o in zip(gamma, owner, strict=True) if o == c]).mean(0) for c in corpora]
        for i in range(len(corpora)):
            for j in range(i + 1, len(corpora)):
                terms.append(torch.linalg.matrix_norm(mean[i] - mean[j]) ** 2 / (4 * gamma.shape[-1] ** 2))
    return torch.stack(terms).mean()


def mmd(gamma: Tensor, owner: list[int]) -> Tensor:
    """Gretton et al. 2012, equation 5, between all pairs of corpora; each feature has a kernel of its own."""
    corpora, n, terms = sorted(set(owner)), len(gamma), []
    for feature in range(gamma.shape[1]):
        x = [g[feature].flatten() for g in gamma]
        apart = sorted(float((x[a] - x[b]).detach().norm()) for a in range(n) for b in range(a + 1, n))
        width = apart[(len(apart) - 1) // 2]

        def kernel(a: int, b: int, x: list[Tensor] = x, width: float = width) -> Tensor:
            return torch.exp(-((x[a] - x[b]) ** 2).sum() / (2 * width**2))

        def mean(c: int, d: int, kernel: Callable[[int, int], Tensor] = kernel) -> Tensor:
            pairs = [(a, b) for a in range(n) for b in range(n) if owner[a] == c and owner[b] == d]
            return torch.stack([kernel(a, b) for a, b in pairs]).mean()

        for i in corpora:
            for j in corpora:
                if i < j:
                    terms.append(mean(i, i) + mean(j, j) - 2 * mean(i, j))
    return torch.stack(terms).mean()


def stratified(x: Tensor, groups: Tensor) -> Tensor:
    out = torch.empty_like(x)
    for group in groups.unique():
        rows = torch.nonzero(groups == group).flatten()
        for f in range(x.shape[1]):
            for c in range(x.shape[2]):
                values = x[rows, f, c]
                out[rows, f, c] = (values - values.mean()) / (values.std() + 1e-3)
    return out


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head, [N, d] each: every output by its own sum over all patches."""

    def phi(t: Tensor) -> Tensor:
        return torch.where(t > 0, t + 1, torch.exp(t))

    rows = []
    for i in range(len(q)):
        weight = torch.stack([(phi(q[i]) * phi(k[n])).sum() for n in range(len(k))])
        rows.append((weight[:, None] * v).sum(0) / (weight.sum() + 1e-5))
    return torch.stack(rows)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head, [N, d] each."""
    rows = []
    for i in range(len(q)):
        weight = torch.stack([torch.exp((q[i] * k[n]).sum() / math.sqrt(q.shape[1])) for n in range(len(k))])
        rows.append((weight[:, None] * v).sum(0) / weight.sum())
    return torch.stack(rows)


def chance(rows: int) -> float:
    return math.log(rows - 1)
