"""(R) Ray Data shards the plan's episodes over the workers; the windows never pass through Ray.

Ray's own split may reorder rows, or drop some to make shards equal. Here every slot of the step is a dataset by itself
that nobody splits, and rank r reads the slots r, r + W, ...: whole episodes, in order, none lost, for any W that
divides K. So the loader and its Ray-free twin (`Plan.shard`) yield the same batches.
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
    """The plan's rows of the steps [start, stop): a dataset for every slot, one row an episode, by step.

    Not `from_arrow`, which counts the rows in a task: with the CPUs taken, or inside a Tune trial, whose placement group
    captures that task without a CPU for it, it would wait for ever.
    """
    return {
        _NAME.format(slot=slot): ray.data.from_items(
            [plan.row(step, slot).flat() for step in range(start, stop)], override_num_blocks=1
        )
        for slot in range(plan.episodes)
    }


def whole() -> ray.train.DataConfig:
    """Train must not split the datasets: each slot goes to one rank as it is."""
    return ray.train.DataConfig(datasets_to_split=[])


def shard(start: int, rank: int, world: int, slots: int) -> Iterator[Row]:
    """This worker's rows from step `start` on, by step and slot (a restarted worker gets the whole shard again)."""
    mine = [_rows(ray.train.get_dataset_shard(_NAME.format(slot=slot))) for slot in range(rank, slots, world)]
    for rows in zip(*mine, strict=True):
        yield from (row for row in rows if row.step >= start)


def _rows(iterator: DataIterator) -> Iterator[Row]:
    batches: Iterable[dict[str, Any]] = iterator.iter_batches(batch_size=256, batch_format="numpy", prefetch_batches=0)
    for batch in batches:
        for index in range(len(batch["step"])):
            yield Row.from_flat({key: column[index] for key, column in batch.items()})
