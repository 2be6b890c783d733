"""Read-outs on frozen features: a small MLP trained on few subjects, and the nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_platform.config import ProbeConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.windows import Array, Rows

BLOCK = 1 << 25
"""Similarities held in memory at a time."""


class Probe(nn.Module):
    """features -> 128 -> 64 -> classes, ReLU and dropout after each hidden layer (SYSTEMS 1.9)."""

    def __init__(self, width: int, classes: int, config: ProbeConfig, random: torch.Generator) -> None:
        super().__init__()
        widths = (width, *config.hidden, classes)
        self.layers = nn.ModuleList(_linear(a, b, random) for a, b in pairwise(widths))
        self.dropout = config.dropout

    def forward(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """[B, width] -> logits [B, classes]; dropout only with a generator."""
        *hidden, last = self.layers
        for layer in hidden:
            x = functional.relu(layer(x))
            if random is not None and self.dropout:
                x = x * (torch.rand(x.shape, generator=random) >= self.dropout) / (1 - self.dropout)
        out: Tensor = last(x)
        return out


@dataclass(frozen=True)
class Fitted:
    """A trained probe."""

    probe: Probe
    epoch: int
    """Epochs behind its weights."""

    def probabilities(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return _probabilities(self.probe, torch.from_numpy(features))


def fit_probe(
    features: Array,
    codes: Rows,
    classes: int,
    config: ProbeConfig,
    seed: Sequence[int],
    select_on: tuple[Array, Rows] | None = None,
) -> Fitted:
    """Train for the configured number of epochs: cross-entropy, Adam with L2 decay.

    Every random number comes from a generator seeded by `seed` = (seed, fold, ...), so a fold depends neither on the
    folds before it nor on other users of torch's generator (train_mlp_full.py:21; SYSTEMS 1.13, 37).
    `select_on` (protocol published only): keep the epoch with the best accuracy on these windows, the earliest of
    equals; the released code hands in the test subjects (train_mlp_full.py:39-44, 77, 92-98; SYSTEMS 1.13, 9).
    Raises BadInput: no training window.
    """
    if not len(features):
        raise BadInput("probe", "training windows", "none", "at least one")
    # On the CPU always: probes are small, and one device for all keeps results equal everywhere.
    state = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0]
    random = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    x, y = torch.from_numpy(features), torch.from_numpy(codes)
    probe = Probe(features.shape[1], classes, config, random)
    optimiser = torch.optim.Adam(probe.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    best: tuple[float, int, dict[str, Tensor]] | None = None
    for epoch in range(1, config.epochs + 1):
        order = torch.randperm(len(x), generator=random)
        for begin in range(0, len(x), config.batch):
            part = order[begin : begin + config.batch]
            optimiser.zero_grad()
            functional.cross_entropy(probe(x[part], random), y[part]).backward()
            optimiser.step()
        if select_on is not None:
            guesses = _probabilities(probe, torch.from_numpy(select_on[0])).argmax(1)
            accuracy = float((guesses == select_on[1]).mean())
            if best is None or accuracy > best[0]:
                best = accuracy, epoch, {name: value.clone() for name, value in probe.state_dict().items()}
    if best is None:
        return Fitted(probe, config.epochs)
    probe.load_state_dict(best[2])
    return Fitted(probe, best[1])


def class_similarity(
    queries: Array, candidates: Array, codes: Rows, classes: int, query_groups: Rows, candidate_groups: Rows
) -> Array:
    """Cosine to the nearest admissible candidate of each class, [queries, classes]; -2 where a class has none.

    The arg-max over classes is the label of the nearest neighbour. Candidates of the query's own group (its subject,
    or its trial) are never admissible. Computed in blocks of queries.
    Raises BadInput: a query without any admissible candidate.
    """
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(classes + 1))
    pool, pool_groups = _unit(candidates[order]), torch.from_numpy(candidate_groups[order])
    units, groups = _unit(queries), torch.from_numpy(query_groups)
    out = torch.full((len(queries), classes), -2.0)
    block = max(1, BLOCK // max(1, len(pool)))
    for at in (slice(begin, begin + block) for begin in range(0, len(units), block)):
        near = units[at] @ pool.T
        near[groups[at][:, None] == pool_groups] = -2.0
        for code, (begin, end) in enumerate(pairwise(bounds)):
            if end > begin:
                out[at, code] = near[:, begin:end].amax(1)
    if bool((out.amax(1) <= -2.0).any()):
        raise BadInput("zero-shot", "neighbours", "a window without candidates", "windows of another subject or trial")
    return out.numpy()


def nearest_neighbour(
    queries: Array, candidates: Array, codes: Rows, query_groups: Rows, candidate_groups: Rows
) -> Rows:
    """Label of the nearest admissible candidate by cosine, [queries]; see `class_similarity`."""
    classes = int(codes.max()) + 1 if len(codes) else 1
    near = class_similarity(queries, candidates, codes, classes, query_groups, candidate_groups)
    return np.asarray(near.argmax(1), np.int64)


def shared_classes(target: Sequence[str], sources: dict[str, Sequence[str]], where: str) -> list[str]:
    """Classes of the target, in its order, that any source knows by the same name.

    Raises BadInput: fewer than two (nothing to tell apart), with what either side has.
    """
    known = {name for labels in sources.values() for name in labels}
    shared = [name for name in target if name in known]
    if len(shared) < 2:
        raise BadInput(
            where,
            "classes shared with the sources",
            ", ".join(shared) or "none",
            f"two or more; the target has {', '.join(target)}, the sources {', '.join(sorted(known)) or 'none'}",
        )
    return shared


def _linear(inputs: int, outputs: int, random: torch.Generator) -> nn.Linear:
    """torch's own initialisation, drawn from the given generator."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=random)
        layer.bias.uniform_(-bound, bound, generator=random)
    return layer


def _probabilities(probe: Probe, x: Tensor) -> Array:
    with torch.inference_mode():
        found: Array = probe(x).softmax(1).numpy()
    return found


def _unit(features: Array | NDArray[np.float32]) -> Tensor:
    return functional.normalize(torch.from_numpy(np.ascontiguousarray(features, np.float32)), dim=1)
