"""(R) What every Ray Train worker runs: the same loop, with Ray's rank, data and notices."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.plan import Row
from mdjpt_platform.errors import MdjptError, Preempted
from mdjpt_platform.operations.logs import logged
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import MetricSink, Tee
from mdjpt_platform.train.context import Context, Notice
from mdjpt_platform.train.feed import from_this_node
from mdjpt_platform.train.loop import share, train
from mdjpt_platform.train.notice import watching
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.process import describe_process, opened_logs, placed


def worker(parameters: dict[str, Any]) -> dict[str, Any]:
    """Train as one of several; returns what `Trained` holds. `parameters`: see trainer.with_ray."""
    import ray.train
    from ray.train.torch import get_device

    from mdjpt_platform.data.loader import shard
    from mdjpt_platform.data.stream import stream
    from mdjpt_platform.train.observed import RayGauges

    config = parse(parameters["config"])
    session = ray.train.get_context()
    if config.exec.threads is not None:
        torch.set_num_threads(config.exec.threads)
    context = Context(
        session.get_world_rank(),
        session.get_world_size(),
        report=lambda epoch, metrics: ray.train.report({"epoch": epoch, **metrics}),
        notice=_notices(Path(parameters["folder"])),
    )
    context = placed(context, config, torch.device(get_device()))
    held, total = share(config.run, context.world), config.run.train.epochs * config.run.train.steps
    if parameters["stream"] is None:
        prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False, staged=True))
        sizes = prepared.sizes
        if sizes.fingerprints != parameters["stores"]:
            raise MdjptError("the stores that this node reads hold other data than those of the driver")

        def rows(start: int) -> Iterator[Row]:
            return shard(prepared.plan, start, context.rank, context.world)

        feed = from_this_node(config.exec, prepared, rows, held, context.device)
    else:
        source, sizes = parameters["stream"]
        slots = tuple(range(context.rank, config.run.train.episodes, context.world))

        def feed(start: int) -> Generator[Episode]:
            return stream(source, sizes.buffers, (start, total), slots, held, context.device)

    folder, identity = Path(parameters["folder"]), parameters["identity"]
    sinks = opened_logs(config, sizes, folder, identity, context.rank, parameters["parent"])

    def told(start: int) -> MetricSink:
        return Tee(sinks(start), RayGauges(identity, context.rank))

    if context.rank == 0:
        describe_process(config, folder)
    with logged(folder, identity, context.rank):
        try:
            return asdict(train(config.run, sizes, feed, folder, context, told, config.exec.keep_checkpoints))
        except Preempted as notice:  # no failure, which Ray would try again
            return {"preempted": str(notice)}


def _notices(folder: Path) -> Callable[[], Notice]:
    """What a worker is told: by its driver to stop, by Ray once that a node of the training will be drained."""
    told, kept = watching(folder), False

    def notice() -> Notice:
        nonlocal kept
        if told():
            return "stop"
        if kept or not _draining():
            return ""
        kept = True
        return "keep"

    return notice


def _draining() -> bool:
    """Whether Ray has told this worker of a node to be drained. Its public question is a barrier of its own, asked in
    every step; ours goes with the step's exchange, so the worker's own flag is enough. A version without it: never.
    """
    try:
        from ray.train.v2._internal.execution.context import get_train_context

        return get_train_context().preemption_context.preemption_info is not None
    except (ImportError, AttributeError):
        return False
