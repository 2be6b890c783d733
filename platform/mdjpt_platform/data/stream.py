"""(R) `exec.fetch: stream`: windows cut in Ray Data map tasks and sent through the object store to the workers.

For nodes that cannot read the stores: a worker needs Ray and the run's folder, nothing else. Each worker has a pipeline
of its own over the episodes that it owns, from the step that it begins with: a chain of tasks, one at a time, each of
which yields whole episodes. Tasks ask for no CPU, since the training holds them all, and run on the driver's node,
which has opened the stores. Ray Data names a scheduling strategy for its map tasks, which keeps them out of a Tune
trial's placement group, where they would wait for ever. A task whose blocks nobody takes is held up by Ray, so a worker
has a few blocks in the object store and no more.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import ray
import ray.data
import torch
from ray.data import Dataset, ExecutionResources, TaskPoolStrategy
from torch import Tensor

from mdjpt_platform.data.ahead import CPU, ahead
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.parcel import AFFECT, LABELS, WINDOWS, Cutter, content, row_of
from mdjpt_platform.data.plan import Plan
from mdjpt_platform.store import Store

_TASKS, _STEPS = 256, 16
"""At most so many tasks cut the episodes of a worker, each at least so many steps: few enough to start at once, and a
task costs Ray some twenty ms; enough of them that little is done again when one dies."""
_BLOCK = 4 * 2**20
"""Bytes of a block, about: a large episode by itself, small ones together, since a block costs Ray some ten ms."""
_BLOCKS = 8
"""Blocks of a worker in the object store, about."""


@dataclass(frozen=True)
class Source:
    """What the driver tells the workers: how episodes are cut, and on which node."""

    cutter: Cutter
    node: str


def source(plan: Plan, stores: Mapping[str, Store], length: Mapping[str, int]) -> Source:
    """Cut on this process' node, which can read these stores."""
    folders = {name: (str(store.folder.resolve()), store.manifest.key) for name, store in stores.items()}
    return Source(Cutter(plan, folders, dict(length)), ray.get_runtime_context().get_node_id())


def stream(
    source: Source,
    shapes: Mapping[str, tuple[int, int, int]],
    steps: tuple[int, int],
    slots: tuple[int, ...],
    held: int = 1,
    device: torch.device = CPU,
) -> Generator[Episode]:
    """Episodes of the steps [begin, end) and of these slots, in this order, as `prefetch` yields them.

    `shapes` [windows, length, C] by corpus (data/ahead.py). Raises what a task raised, wrapped by Ray.
    """
    return ahead(_parcels(source, shapes, steps, slots), unpack, shapes, held, device)


def unpack(parcel: pa.Table, memory: Mapping[str, Tensor]) -> Episode:
    """The episode of a parcel (a table of one row), its windows in the given buffers."""
    row = row_of(parcel)
    windows, labels, affect = {}, {}, {}
    for name, draw in row.draws.items():
        count = len(draw.rows)
        out = memory[name][:count]
        np.copyto(out.numpy(), content(parcel, WINDOWS.format(name), np.float32, tuple(out.shape)))
        windows[name] = out.transpose(1, 2)
        labels[name] = torch.from_numpy(content(parcel, LABELS.format(name), np.int64, (count,)).copy())
        affect[name] = torch.from_numpy(content(parcel, AFFECT.format(name), np.float32, (count, 2)).copy())
    return Episode(row, windows, labels, affect)


def pipeline(source: Source, size: int, steps: tuple[int, int], slots: tuple[int, ...]) -> Dataset:
    """One row an episode, in order; `size` is the bytes of one."""
    begin, end = steps
    each = max(_STEPS, -(-(end - begin) // _TASKS))
    parts = [{"begin": first, "end": min(first + each, end)} for first in range(begin, end, each)]
    made = ray.data.from_items(parts, override_num_blocks=len(parts))
    # Read when operators are made: whole episodes in order, and no more blocks of them than a few.
    made.context.target_max_block_size = _BLOCK
    made.context.enable_progress_bars = made.context.print_on_execution_start = False
    made.context.execution_options.preserve_order = True
    made.context.execution_options.resource_limits = ExecutionResources(object_store_memory=_BLOCKS * max(size, _BLOCK))
    return made.map_batches(
        cast(Any, source.cutter.steps),  # Arrow's tables are not typed
        fn_kwargs={"slots": slots},
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        compute=TaskPoolStrategy(size=1),
        label_selector={"ray.io/node-id": source.node},
    )


def _parcels(
    source: Source, shapes: Mapping[str, tuple[int, int, int]], steps: tuple[int, int], slots: tuple[int, ...]
) -> Iterator[Any]:
    if steps[0] >= steps[1]:
        return
    size = sum(4 * windows * length * channels for windows, length, channels in shapes.values())
    blocks = pipeline(source, size, steps, slots)
    expected = ((step, slot) for step in range(*steps) for slot in slots)
    tables: Iterable[Any] = blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
    for block in tables:
        for number in range(len(block)):
            parcel = block.slice(number, 1)
            found, wanted = (parcel["step"][0].as_py(), parcel["slot"][0].as_py()), next(expected, None)
            if found != wanted:
                raise RuntimeError(f"the stream gave step and slot {found} where the plan has {wanted}")
            yield parcel
    missing = next(expected, None)
    if missing is not None:
        raise RuntimeError(f"the stream ended before step and slot {missing}")
