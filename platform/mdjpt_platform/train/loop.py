"""Pre-training, readable aloud: for every step, take K episodes, push back, update; after every epoch, or where the
machine will be taken away, keep.

Knows neither Ray nor MLflow: where it runs comes in as a Context, what it measures goes out through a MetricSink.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from mdjpt_platform import __version__
from mdjpt_platform.config import RunConfig, content_hash
from mdjpt_platform.data.plan import Row
from mdjpt_platform.errors import BadInput, Preempted
from mdjpt_platform.families import new_model
from mdjpt_platform.operations.logs import event
from mdjpt_platform.tracking import MetricSink, Status
from mdjpt_platform.train.checkpoint import load_checkpoint, save_checkpoint, save_model
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.device import compile_layers, keep_within
from mdjpt_platform.train.failed import refuse, refuse_weights
from mdjpt_platform.train.feed import Feed
from mdjpt_platform.train.hang import named
from mdjpt_platform.train.prepared import Prepared, Sizes
from mdjpt_platform.train.step import EpisodeTerms, Losses, Stepper

CHECKPOINTS = "checkpoints"
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class Trained:
    """What is left of a training."""

    weights_sha256: str
    steps: int
    resumed_at: int
    last: dict[str, float] = field(default_factory=dict)
    """Means over the last epoch, read from the log when all is done."""


def share(run: RunConfig, world: int) -> int:
    """Episodes of a step that each process carries. Raises BadInput: K is not divisible by the processes."""
    if run.train.episodes % world:
        raise BadInput("configuration", "train.episodes", run.train.episodes, f"a multiple of exec.workers = {world}")
    return run.train.episodes // world


def run_identity(run: RunConfig, fingerprints: dict[str, str]) -> str:
    """Hash of everything that decides the weights: configuration, data, version."""
    return content_hash([run.pretrain_identity(), fingerprints, __version__])


def learning_rate(run: RunConfig, step: int) -> float:
    """Of a step, by `optim.schedule`; cosine reaches `optim.final` with the last step (Loshchilov & Hutter 2017)."""
    if run.optim.schedule == "constant":
        return run.optim.lr
    share = step / max(1, run.train.epochs * run.train.steps - 1)
    return run.optim.final + (run.optim.lr - run.optim.final) * (1 + math.cos(math.pi * share)) / 2


def train(
    run: RunConfig,
    sizes: Sizes,
    feed: Feed,
    folder: Path,
    context: Context,
    open_log: Callable[[int], MetricSink],
    keep: int = 2,
) -> Trained:
    """Train to the end, from the newest checkpoint in `folder` if there is one.

    `feed(start)` yields this process' episodes from step `start` on, on its device, the last `share` of them valid at a
    time; `open_log(start)` opens the log there.
    Raises MdjptError: a loss that is not finite (train/failed.py), workers that do not come (train/hang.py), a full
    disk; Preempted: told to end by the context; BadInput: a checkpoint of another architecture.
    """
    per_process = share(run, context.world)
    model = new_model(run).to(context.device)
    terms = EpisodeTerms(model, run, sizes.channels, sizes.windows)
    keep_within(terms, sizes.length, context.activations)
    if context.compiled:
        compile_layers(model)
    learned = terms.learned
    optimiser = OPTIMISERS[run.optim.kind](
        learned.parameters(), lr=run.optim.lr, weight_decay=run.optim.weight_decay, fused=True
    )
    epoch_values: list[dict[str, float]] = []
    own = run_identity(run, sizes.fingerprints)
    start = load_checkpoint(folder / CHECKPOINTS, learned, optimiser, run.model, run=own, values=epoch_values)
    with named(context, "start"):
        stepper = Stepper(context.wrap(terms), run, context)
    total = run.train.epochs * run.train.steps
    event("resume" if start else "start", step=start, total=total, world=context.world, device=str(context.device),
          threads=torch.get_num_threads())  # fmt: skip
    episodes = feed(start)
    log = open_log(start)
    status: Status = "FAILED"
    try:
        for step in range(start, total):
            begin = time.perf_counter()
            mine = [next(episodes) for _ in range(per_process)]
            waited = time.perf_counter() - begin
            optimiser.zero_grad(set_to_none=True)
            with named(context, f"step {step}"):
                losses = stepper.backward(mine)
            refuse(losses, step, mine, learned, folder, own, context)
            if run.optim.clip is not None:
                nn.utils.clip_grad_norm_(learned.parameters(), run.optim.clip)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(run, step)
            optimiser.step()
            epoch, ends = step // run.train.steps, (step + 1) % run.train.steps == 0
            values = _values(losses) | {"time/step": time.perf_counter() - begin, "time/wait": waited}
            log.log(step, values | (context.measure(model) if ends else {}), epoch=epoch)
            epoch_values.append(values)
            if ends or losses.notice:
                refuse_weights(learned, step, folder / CHECKPOINTS)
                if context.rank == 0:
                    unfinished = [] if ends else epoch_values
                    kept = save_checkpoint(
                        folder / CHECKPOINTS, step + 1, learned, optimiser, run.model, keep, run=own, values=unfinished
                    )
                    event("checkpoint", step=step + 1, file=kept.name)
            if ends:
                context.report(epoch, _mean(epoch_values))
                epoch_values = []
            if losses.notice == "stop" and step + 1 < total:
                raise Preempted(
                    f"{folder}: told to end; step {step + 1} of {total} is kept and the same command goes on"
                )
        digest = save_model(folder, model, run.model) if context.rank == 0 else ""
        if context.rank == 0:
            for name in ("model.json", "model.safetensors"):
                log.artifact(folder / name)
        status = "FINISHED"
        event("finished", steps=total, weights=digest)
    except (KeyboardInterrupt, SystemExit, Preempted):  # a person, or a search that stops a trial inside `report`
        status = "KILLED"
        raise
    finally:
        episodes.close()
        log.close(status)
    return Trained(digest, total, start)


def _values(losses: Losses) -> dict[str, float]:
    by_corpus = {f"loss/contrast.{name}": value for name, value in losses.contrast.items()}
    return {"loss/total": losses.total, **{f"loss/{name}": value for name, value in losses.joint.items()}, **by_corpus}


def _mean(values: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(v[key] for v in values) / len(values) for key in values[0]} if values else {}


def local_rows(prepared: Prepared, rank: int, world: int, total: int) -> Callable[[int], Iterator[Row]]:
    """The Ray-free source of episodes: straight from the plan."""
    return lambda start: prepared.plan.shard(rank, world, start, total)
