"""(R) Ray Data shards the plan's episodes over the workers; the windows never pass through Ray.

Ray's own split may reorder or drop rows to make shards equal. `EpisodeShards` hands each rank exactly the slots that
`Plan.shard` gives it, in order, so the loader and its Ray-free twin yield the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import ray.data
import ray.train
from ray.data import DataIterator, Dataset

from mdjpt_platform.data.plan import Plan, Row

NAME = "episodes"


def episodes(plan: Plan, start: int, stop: int) -> Dataset:
    """The plan's rows of the steps [start, stop) as a Ray dataset, one row an episode."""
    return ray.data.from_arrow(pa.Table.from_pylist([row.flat() for row in plan.rows(start, stop)]))


class EpisodeShards(ray.train.DataConfig):
    """Whole episodes, slot by slot: rank r owns the slots r, r + W, ... of every step."""

    def configure(
        self, datasets: dict[str, Any], world_size: int, *args: Any, **kwargs: Any
    ) -> list[dict[str, DataIterator]]:
        """One iterator per rank over its own rows, in the plan's order."""
        table = pa.concat_tables(ray.get(datasets[NAME].to_arrow_refs()))
        slot = table["slot"].to_numpy()
        step = table["step"].to_numpy()
        order = table.take(pa.array(sorted(range(len(slot)), key=lambda i: (step[i], slot[i]))))
        slot = order["slot"].to_numpy()
        return [
            {NAME: ray.data.from_arrow(order.filter(pa.array(slot % world_size == rank))).iterator()}
            for rank in range(world_size)
        ]


def shard(start: int) -> Iterator[Row]:
    """This worker's rows from step `start` on (a restarted worker gets the whole shard again)."""
    batches: Iterable[dict[str, Any]] = ray.train.get_dataset_shard(NAME).iter_batches(
        batch_size=256, batch_format="numpy", prefetch_batches=0
    )
    for batch in batches:
        for index in range(len(batch["step"])):
            if batch["step"][index] >= start:
                yield Row.from_flat({key: column[index] for key, column in batch.items()})
