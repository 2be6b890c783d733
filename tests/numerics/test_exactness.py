"""W workers at the same K compute what one process computes: loss and every gradient, for all forms of alignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import write_tiny
from exactness import Found, config_tree, gradients, largest_difference, spread, wide
from mdjpt_model.losses import FORMS
from mdjpt_platform.config import Config, RunConfig
from mdjpt_platform.data.episode import assemble
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.prepared import open_stores, prepare_plan

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("form", list(FORMS))
def test_workers_compute_the_formula(tiny: Config, tmp_path: Path, form: str, double: None) -> None:
    """In float64 against slow loops over one graph of all episodes: nothing but rounding may differ."""
    config = tiny.model_copy(update={"run": _with_form(tiny, form)})
    whole = _one_graph(config)
    for world in (1, 2):
        total, aligned, found = gradients(config, Context()) if world == 1 else spread(config, world, tmp_path)
        assert abs(total - whole[0]) <= 1e-10 * whole[0]
        assert abs(aligned - whole[1]) <= 1e-10 * whole[1]
        assert largest_difference(found, whole[2]) <= 1e-8


@pytest.mark.parametrize("form", list(FORMS))
def test_workers_change_nothing(tiny: Config, tmp_path: Path, form: str) -> None:
    """In float32, as it is used: 1, 2 and (of what CDA itself may be) 4 processes at K = 4."""
    config = tiny.model_copy(update={"run": _with_form(tiny, form)})
    one = gradients(config, Context())
    for world in (2,) if form in ("coral", "mmd") else (2, 4):
        total, aligned, found = spread(config, world, tmp_path)
        worst = largest_difference(found, one[2])
        print(f"form {form} W={world}: loss {abs(total - one[0]) / one[0]:.2e}, gradients {worst:.2e}")
        assert abs(total - one[0]) <= 1e-5 * one[0]
        assert abs(aligned - one[1]) <= 1e-5 * one[1]
        assert worst <= 1e-5


@pytest.mark.parametrize("form", ["coral", "mmd"])
def test_terms_between_corpora_teach_nothing_of_a_single_one(tiny: Config, form: str) -> None:
    tree = {**config_tree(tiny), "sources": ["one"], "alignment": {"form": form, "weight": 100.0}}
    total, aligned, found = gradients(parse(tree), Context())
    alone = gradients(parse({**tree, "alignment": {"weight": 0.0}}), Context())
    assert aligned == 0 and total == alone[0]
    assert all(torch.equal(gradient, alone[2][name]) for name, gradient in found.items())


def test_supervised_contrast_is_exact_too(tiny: Config, tmp_path: Path, double: None) -> None:
    """Labels as subjects might have given them: classes of unequal size, anchors and whole windows that drop out."""
    tree = {**config_tree(tiny), "contrast": {"kind": "supervised"}}
    tree["exec"]["store"] = str(tmp_path / "store")
    config = parse(tree)
    own = (None, "negative", "positive", "positive", "positive")
    write_tiny(tmp_path / "store", config, lambda subject, stimulus: own[(2 * subject + stimulus) % 5])
    whole = _one_graph(config)
    for world in (1, 2):
        total, aligned, found = gradients(config, Context()) if world == 1 else spread(config, world, tmp_path)
        assert abs(total - whole[0]) <= 1e-10 * whole[0]
        assert abs(aligned - whole[1]) <= 1e-10 * whole[1]
        assert largest_difference(found, whole[2]) <= 1e-8


def test_a_sum_that_loses_its_gradient_is_noticed(tiny: Config, tmp_path: Path) -> None:
    whole = _one_graph(tiny)
    total, _, found = spread(tiny, 2, tmp_path, broken=True)
    assert abs(total - whole[0]) <= 1e-5 * whole[0], "the loss alone does not show it"
    assert largest_difference(found, whole[2]) > 1e-3


def _with_form(config: Config, form: str) -> Any:
    alignment = config.run.alignment.model_copy(update={"form": form})
    return config.run.model_copy(update={"alignment": alignment})


def _slow_contrast(run: RunConfig, embedding: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    import reference

    if run.contrast.kind == "supervised":
        return reference.supervised(embedding, labels.tolist(), run.contrast.temperature)
    return reference.contrast(embedding, run.contrast.temperature)


def _slow_alignment(form: str, gamma: torch.Tensor, owner: list[int]) -> torch.Tensor:
    import reference

    if form in ("coral", "mmd"):
        return (reference.coral if form == "coral" else reference.mmd)(gamma, owner)
    if form == "corpus":
        gamma = torch.stack([gamma[[i for i, o in enumerate(owner) if o == c]].mean(0) for c in sorted(set(owner))])
    return reference.alignment(gamma, squared=form == "moments")


def _one_graph(config: Config) -> Found:
    """The step as a formula: all episodes in one graph, nothing cached, nothing reduced, slow losses."""
    import reference

    run = config.run
    prepared = prepare_plan(run, open_stores(config, run.sources, verify=False))
    model = new_model(run)
    gamma, owner, contrast = [], [], torch.zeros(())
    for row in prepared.plan.rows(0, 1):
        episode = wide(assemble(row, prepared.stores, prepared.length))
        for number, (name, windows) in enumerate(episode.windows.items()):
            half = len(windows) // 2
            out = model(windows, prepared.channels[name], torch.tensor([0] * half + [1] * half))
            contrast = contrast + _slow_contrast(run, out.embedding, episode.labels[name]) / run.train.episodes
            gamma += [reference.centroid(out.latent[:half]), reference.centroid(out.latent[half:])]
            owner += [number, number]
    aligned = _slow_alignment(run.alignment.form, torch.stack(gamma), owner)
    total = contrast + run.alignment.weight * aligned
    total.backward()
    return total.item(), aligned.item(), {name: p.grad for name, p in model.named_parameters()}
