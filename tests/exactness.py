"""Loss and gradients of a step, in this process or in several real ones, and how far two such findings lie apart."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.train import context as context_module
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.step import EpisodeTerms, Stepper

Found = tuple[float, float, dict[str, torch.Tensor]]
"""Loss, alignment term, gradients by parameter."""


def gradients(config: Config, context: Context) -> Found:
    """Loss and gradients of step 0 as this process sees them, in torch's default precision."""
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))
    model = new_model(config.run)
    terms = EpisodeTerms(model, config.run, prepared.channels, prepared.plan.windows)
    stepper = Stepper(context.wrap(terms), config.run, context)
    rows = prepared.plan.shard(context.rank, context.world, 0, 1)
    losses = stepper.backward([wide(assemble(row, prepared.stores, prepared.length)) for row in rows])
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(found) == len(list(model.parameters())), "every parameter has a gradient"
    return losses.total, losses.joint.get("alignment", 0.0), found


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
    exchanges, all_reduce = [], distributed.all_reduce

    def counted(x: torch.Tensor) -> None:
        exchanges.append(x.numel())
        all_reduce(x)

    distributed.all_reduce = counted
    found = gradients(parse(tree), Context(rank, world))
    assert len(exchanges) == 1, f"one exchange a step beside DDP's own, found {exchanges}"
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
