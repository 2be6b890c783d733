"""W workers at the same K compute what one process computes: loss and every gradient, for all forms of alignment."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from conftest import write_tiny
from mdjpt_platform.config import Config, RunConfig
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.runfile import parse
from mdjpt_platform.train import context as context_module
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.loop import new_model
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.step import EpisodeTerms, Stepper

pytestmark = pytest.mark.timeout(300)


Found = tuple[float, float, dict[str, torch.Tensor]]
"""Loss, alignment term, gradients by parameter."""


def gradients(config: Config, context: Context) -> Found:
    """Loss and gradients of step 0 as this process sees them, in torch's default precision."""
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))
    model = new_model(config.run)
    stepper = Stepper(context.wrap(EpisodeTerms(model, config.run, prepared.channels)), config.run, context)
    rows = prepared.plan.shard(context.rank, context.world, 0, 1)
    losses = stepper.backward([wide(assemble(row, prepared.stores, prepared.length)) for row in rows])
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(found) == len(list(model.parameters())), "every parameter has a gradient"
    return losses.total, losses.alignment, found


def wide(episode: Episode) -> Episode:
    windows = {name: x.to(torch.get_default_dtype()) for name, x in episode.windows.items()}
    return replace(episode, windows=windows)


def process(rank: int, world: int, tree: dict[str, Any], rendezvous: str, out: str, broken: bool, double: bool) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world, timeout=timedelta(seconds=120)
    )
    if broken:  # a sum whose gradient stays at home
        context_module._Sum.backward = staticmethod(lambda ctx, gradient: gradient)
    found = gradients(parse(tree), Context(rank, world))
    if rank == 0:
        torch.save(found, out)
    distributed.barrier()
    distributed.destroy_process_group()


def config_tree(config: Config) -> dict[str, Any]:
    return {**config.run.model_dump(mode="json"), "exec": config.exec.model_dump(mode="json")}


def spread(config: Config, world: int, folder: Path, broken: bool = False) -> Found:
    """Run `world` real gloo processes; what rank 0 found (DDP leaves the same gradients everywhere)."""
    tree = config_tree(config)
    double = torch.get_default_dtype() == torch.float64
    out, meet = folder / f"{world}{broken}{double}.pt", folder / f"meet{world}{broken}{double}"
    spawn = multiprocessing.get_context("spawn")
    started = [
        spawn.Process(target=process, args=(rank, world, tree, str(meet), str(out), broken, double))
        for rank in range(world)
    ]
    for one in started:
        one.start()
    for one in started:
        one.join(240)
        assert one.exitcode == 0
    total, aligned, gradient = torch.load(out, weights_only=True)
    return total, aligned, gradient


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Over all parameters: norm of the difference over the norm of the gradient.

    A bias in front of a normalisation has no gradient in exact arithmetic, only rounding: parameters whose gradient is
    below 1e-5 of the largest are left out, after a check that they are that small on both sides.
    """
    floor = 1e-5 * max(float(g.norm()) for g in expected.values())
    worst = 0.0
    for name, gradient in expected.items():
        if max(float(gradient.norm()), float(found[name].norm())) > floor:
            worst = max(worst, float((found[name] - gradient).norm() / gradient.norm()))
    return worst


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("form", ["slots", "moments", "corpus"])
def test_workers_compute_the_formula(tiny: Config, tmp_path: Path, form: str, double: None) -> None:
    """In float64 against slow loops over one graph of all episodes: nothing but rounding may differ."""
    config = tiny.model_copy(update={"run": _with_form(tiny, form)})
    whole = _one_graph(config)
    for world in (1, 2):
        total, aligned, found = gradients(config, Context()) if world == 1 else spread(config, world, tmp_path)
        assert abs(total - whole[0]) <= 1e-10 * whole[0]
        assert abs(aligned - whole[1]) <= 1e-10 * whole[1]
        assert largest_difference(found, whole[2]) <= 1e-8


@pytest.mark.parametrize("form", ["slots", "moments", "corpus"])
def test_workers_change_nothing(tiny: Config, tmp_path: Path, form: str) -> None:
    """In float32, as it is used: 1, 2 and 4 processes at K = 4."""
    config = tiny.model_copy(update={"run": _with_form(tiny, form)})
    one = gradients(config, Context())
    for world in (2, 4):
        total, aligned, found = spread(config, world, tmp_path)
        worst = largest_difference(found, one[2])
        print(f"form {form} W={world}: loss {abs(total - one[0]) / one[0]:.2e}, gradients {worst:.2e}")
        assert abs(total - one[0]) <= 1e-5 * one[0]
        assert abs(aligned - one[1]) <= 1e-5 * one[1]
        assert worst <= 1e-5


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
    stacked = torch.stack(gamma)
    if run.alignment.form == "corpus":
        stacked = torch.stack([stacked[[i for i, o in enumerate(owner) if o == c]].mean(0) for c in sorted(set(owner))])
    aligned = reference.alignment(stacked, squared=run.alignment.form == "moments")
    total = contrast + run.alignment.weight * aligned
    total.backward()
    return total.item(), aligned.item(), {name: p.grad for name, p in model.named_parameters()}
