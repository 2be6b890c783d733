"""An episode as one row of an Arrow table, as it travels from where windows are cut to where they are trained on.

NumPy and Arrow alone: the tasks that cut never load torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mdjpt_platform.data.plan import Plan, Row
from mdjpt_platform.data.windows import cut_windows
from mdjpt_platform.store import Store, open_store

WINDOWS, LABELS, AFFECT = "{}:windows", "{}:labels", "{}:affect"


@dataclass(frozen=True)
class Cutter:
    """What a task needs to cut episodes: the plan, and where it finds the stores."""

    plan: Plan
    folders: dict[str, tuple[str, str]]
    """By corpus: folder of the store and its key."""
    length: dict[str, int]
    """Samples of a window by corpus."""

    def steps(self, numbers: pa.Table, slots: tuple[int, ...]) -> Iterator[pa.Table]:
        """One parcel an episode, by step and slot, of the step ranges [begin, end) of a table."""
        stores = {name: _opened(*where) for name, where in self.folders.items()}
        for part in numbers.to_pylist():
            for step in range(part["begin"], part["end"]):
                for slot in slots:
                    yield pack(self.plan.row(step, slot), stores, self.length)


@lru_cache(maxsize=64)
def _opened(folder: str, key: str) -> Store:
    """Once a process, not once a task: opening looks at every file of the store."""
    return open_store(folder, verify=False, key=key)


def pack(row: Row, stores: Mapping[str, Store], length: Mapping[str, int]) -> pa.Table:
    """Cut an episode into a table of one row, whose bytes are not copied again on the way."""
    columns: dict[str, Any] = {name: [value] for name, value in row.flat().items()}
    for name, draw in row.draws.items():
        store = stores[name]
        windows = np.empty((len(draw.rows), length[name], len(store.channels)), np.float32)
        cut_windows(store, draw, length[name], windows)
        columns[WINDOWS.format(name)] = _bytes(windows)
        columns[LABELS.format(name)] = _bytes(store.codes[draw.rows])
        columns[AFFECT.format(name)] = _bytes(store.affect[draw.rows])
    return pa.table(columns)


def row_of(parcel: pa.Table) -> Row:
    """The plan's row that a parcel was cut by."""
    skipped = (":windows", ":labels", ":affect")
    return Row.from_flat({name: parcel[name][0].as_py() for name in parcel.column_names if not name.endswith(skipped)})


def content(parcel: pa.Table, column: str, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read-only view of one column's bytes. Raises ValueError: other bytes than the shape has."""
    return np.frombuffer(parcel[column][0].as_buffer(), dtype).reshape(shape)


def _bytes(values: NDArray[Any]) -> pa.Array:
    ends = pa.py_buffer(np.array([0, values.nbytes], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(np.ascontiguousarray(values))])
