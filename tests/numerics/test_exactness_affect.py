"""The contrast by valence and arousal sees all windows of the step, whatever the number of processes; so does EMOD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exactness import Found, config_tree, gradients, largest_difference, spread, wide
from mdjpt_model.affect import soft_affect_contrast
from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import assemble
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.step import EpisodeTerms

pytestmark = pytest.mark.timeout(300)
SMALL = {"family": "emod", "width": 16, "heads": 2, "depth": 2, "feedforward": 16, "hidden": 16, "embedding": 8,
         "kernel": 5, "dropout": 0.0}  # fmt: skip
OFF = {"weight": 0.0}
RUNS: dict[str, dict[str, Any]] = {
    "emod": {"model": SMALL, "contrast": OFF, "alignment": OFF, "plan": {"kind": "regions"}, "affect": {"weight": 1.0}},
    "released emod": {
        "model": {**SMALL, "variant": "released", "dropout": 0.2},
        "contrast": OFF,
        "alignment": OFF,
        "plan": {"kind": "regions"},
        "affect": {"weight": 1.0, "hard": True},
        "augment": ["noise", "shuffle", "mask"],
    },
    "emod on pairs": {"model": {**SMALL, "dropout": 0.1}, "alignment": OFF, "affect": {"weight": 0.7}},
    "emod by contrast alone": {"model": SMALL, "alignment": OFF},
    "mdjpt with an adversary": {"alignment": {"weight": 0.5, "form": "adversarial"}, "affect": {"weight": 0.3}},
    "mdjpt with all three": {"affect": {"weight": 0.7, "reach": 0.6}},
}


def changed(tiny: Config, name: str) -> Config:
    return parse({**config_tree(tiny), **RUNS[name]})


@pytest.mark.parametrize("name", list(RUNS))
def test_workers_change_nothing(tiny: Config, tmp_path: Path, name: str) -> None:
    """Dropout and augmentation too: an episode's own number decides them."""
    config = changed(tiny, name)
    one = gradients(config, Context())
    again = gradients(config, Context())
    assert again[0] == one[0] and all(torch.equal(again[2][key], value) for key, value in one[2].items())
    for world in (2, 4) if name in ("emod", "released emod") else (2,):
        total, _, found = spread(config, world, tmp_path)
        worst = largest_difference(found, one[2])
        print(f"{name} W={world}: loss {abs(total - one[0]) / one[0]:.2e}, gradients {worst:.2e}")
        assert abs(total - one[0]) <= 1e-5 * one[0]
        assert worst <= 1e-5


def one_graph(config: Config) -> Found:
    """All episodes in one graph and one loss over all their windows, corpus by corpus as they come."""
    run = config.run
    prepared = prepare_plan(run, open_stores(config, run.sources, verify=False))
    model, embedding, affect = new_model(run), [], []
    for row in prepared.plan.rows(0, 1):
        episode = wide(assemble(row, prepared.stores, prepared.length))
        for name, windows in episode.windows.items():
            embedding.append(model(windows, prepared.channels[name]).embedding)
            affect.append(episode.affect[name])
    assert bool(torch.cat(affect).isnan().any()) is (run.plan.kind == "pairs")
    total = soft_affect_contrast(torch.cat(embedding), torch.cat(affect), reach=run.affect.reach)
    total.backward()
    return total.item(), 0.0, {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("plan", ["regions", "pairs"])
def test_the_loss_is_that_of_all_windows(tiny: Config, tmp_path: Path, double: None, plan: str) -> None:
    """Pairs: corpora of unequal size, and windows without coordinates, which must not count."""
    tree = {**RUNS["emod"], "plan": {"kind": plan}}
    config = parse({**config_tree(tiny), **tree})
    whole = one_graph(config)
    for world in (1, 2):
        total, _, found = gradients(config, Context()) if world == 1 else spread(config, world, tmp_path)
        assert abs(total - whole[0]) <= 1e-10 * whole[0]
        assert largest_difference(found, whole[2]) <= 1e-8


def test_dropout_differs_from_episode_to_episode(tiny: Config) -> None:
    config = changed(tiny, "emod on pairs")
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))
    terms = EpisodeTerms(new_model(config.run), config.run, prepared.channels, prepared.plan.windows)
    rows = list(prepared.plan.rows(0, 1))
    first = assemble(rows[0], prepared.stores, prepared.length)
    before = torch.get_rng_state()
    found = [terms(first).embedding, terms(first).embedding]
    assert torch.equal(*found) and torch.equal(torch.get_rng_state(), before)
    moved = replace(first, row=replace(first.row, step=7))
    assert not torch.equal(terms(moved).embedding, found[0])
