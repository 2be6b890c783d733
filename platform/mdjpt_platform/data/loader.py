"""(R) Ray Data shards the plan's episodes over the workers; the windows never pass through Ray (those do in stream.py).

Ray's own split may reorder rows, or drop some to make shards equal. Here every slot of the step is a dataset by itself
that nobody splits, and rank r reads the slots r, r + W, ...: whole episodes, in order, none lost, for any W that
divides K. So the loader and its Ray-free twin (`Plan.shard`) yield the same batches.

What is sharded are the numbers of the episodes. Their rows a worker draws itself as it goes: a plan is a pure function,
and drawing a long run's rows ahead, in the driver, is tens of seconds before the first step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ray.data
import ray.train
from ray.data import DataIterator, Dataset

from mdjpt_platform.data.plan import Plan, Row

_NAME = "episodes-{slot}"


def episodes(plan: Plan, start: int, stop: int) -> dict[str, Dataset]:
    """Episodes of the steps [start, stop): a dataset for every slot, one row an episode, by step.

    Not `from_arrow`, which counts the rows in a task: with the CPUs taken, or inside a Tune trial, whose placement
    group captures that task without a CPU for it, it would wait for ever.
    """
    return {
        _NAME.format(slot=slot): ray.data.from_items(
            [{"step": step} for step in range(start, stop)], override_num_blocks=1
        )
        for slot in range(plan.episodes)
    }


def whole() -> ray.train.DataConfig:
    """Train must not split the datasets: each slot goes to one rank as it is."""
    return ray.train.DataConfig(datasets_to_split=[])


def shard(plan: Plan, start: int, rank: int, world: int) -> Iterator[Row]:
    """This worker's rows from step `start` on, by step and slot (a restarted worker gets the whole shard again)."""
    slots = range(rank, plan.episodes, world)
    mine = [_steps(ray.train.get_dataset_shard(_NAME.format(slot=slot))) for slot in slots]
    for steps in zip(*mine, strict=True):
        yield from (plan.row(step, slot) for step, slot in zip(steps, slots, strict=True) if step >= start)


def _steps(iterator: DataIterator) -> Iterator[int]:
    batches: Iterable[dict[str, Any]] = iterator.iter_batches(batch_size=256, batch_format="numpy", prefetch_batches=0)
    for batch in batches:
        yield from batch["step"].tolist()
