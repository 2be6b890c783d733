"""How well two subjects that were not trained on find each other's window of the same moment: a source-side score.

The batches are those that pre-training would draw of these subjects, the same for every trial and epoch. Chance is one
over the stimuli that a pair shares. Groups are the pair's sides, as in training; they are pairs whatever plan the run
itself draws by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from mdjpt_platform.config import PlanConfig, RunConfig
from mdjpt_platform.data.episode import assemble
from mdjpt_platform.evaluate.features import by_group
from mdjpt_platform.store import Store
from mdjpt_platform.train.prepared import prepare_plan

EPISODES = 24
NAME = "held_out/retrieval"


def retrieval(
    run: RunConfig, only: Mapping[str, tuple[str, ...]], stores: dict[str, Store], seed: int
) -> Callable[[nn.Module], dict[str, float]]:
    """A function of the model; `only`: subjects of every source to look at. Raises BadInput: they form no pair."""
    contrast = run.contrast.model_copy(update={"positives": "aligned"})
    train = run.train.model_copy(update={"episodes": 1})
    fixed = run.model_copy(update={"only": dict(only), "seed": seed, "contrast": contrast, "train": train,
                                   "plan": PlanConfig()})  # fmt: skip
    prepared = prepare_plan(fixed, stores)
    episodes = [assemble(row, prepared.stores, prepared.length) for row in prepared.plan.rows(0, EPISODES)]

    def measured(model: nn.Module) -> dict[str, float]:
        training, device = model.training, next(model.parameters()).device
        model.eval()
        scores: dict[str, list[float]] = {name: [] for name in prepared.stores}
        with torch.no_grad():
            for episode in episodes:
                for name, windows in episode.windows.items():
                    scores[name].append(_found(model, windows.to(device), prepared.channels[name]))
        model.train(training)
        by_corpus = {name: sum(values) / len(values) for name, values in scores.items()}
        each = {f"{NAME}.{name}": value for name, value in by_corpus.items()}
        return {NAME: sum(by_corpus.values()) / len(by_corpus), **each}

    return measured


def _found(model: nn.Module, windows: torch.Tensor, channels: tuple[str, ...]) -> float:
    """Share of windows [2V, C, T] whose nearest one of the other side is their partner, both ways."""
    half = len(windows) // 2
    groups = (torch.arange(len(windows)) // half,) if by_group(model) else ()
    embedding = model(windows, channels, *groups).embedding
    similarity = embedding[:half].float() @ embedding[half:].float().T
    partner = torch.arange(half, device=windows.device)
    hits = torch.cat([similarity.argmax(1) == partner, similarity.argmax(0) == partner])
    return float(hits.float().mean())
