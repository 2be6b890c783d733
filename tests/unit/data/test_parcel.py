"""Episodes as rows of a table: what comes out is what was cut, and nothing torn gets through."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.data.parcel import WINDOWS, Cutter, pack, row_of
from mdjpt_platform.data.stream import unpack
from mdjpt_platform.train.feed import refuse_fetch
from mdjpt_platform.train.prepared import Prepared, open_stores, prepare_plan


@pytest.fixture
def prepared(tiny: Config) -> Prepared:
    return prepare_plan(tiny.run, open_stores(tiny, tiny.run.sources, verify=False))


def buffers(prepared: Prepared) -> dict[str, torch.Tensor]:
    return {name: torch.full(shape, torch.nan) for name, shape in prepared.sizes.buffers.items()}


def assert_equal(found: Episode, expected: Episode) -> None:
    ours, theirs = found.row.flat(), expected.row.flat()
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert list(found.windows) == list(expected.windows)
    for name in expected.windows:
        assert torch.equal(found.windows[name], expected.windows[name])
        assert torch.equal(found.labels[name], expected.labels[name])
        assert np.array_equal(found.affect[name].numpy(), expected.affect[name].numpy(), equal_nan=True)


def test_out_comes_what_was_cut(prepared: Prepared) -> None:
    places = {n: (str(s.folder), s.manifest.key) for n, s in prepared.stores.items()}
    cutter = Cutter(prepared.plan, places, prepared.length)
    numbers = pa.table({"begin": [2, 4], "end": [4, 5]})
    block = pa.concat_tables(cutter.steps(numbers, (1, 3))).combine_chunks()
    assert len(block) == 6
    memory = buffers(prepared)
    for number, (step, slot) in enumerate([(2, 1), (2, 3), (3, 1), (3, 3), (4, 1), (4, 3)]):
        expected = assemble(prepared.plan.row(step, slot), prepared.stores, prepared.length)
        assert_equal(unpack(block.slice(number, 1), memory), expected)


def test_torn_parcel_is_refused(prepared: Prepared) -> None:
    row = prepared.plan.row(0, 0)
    parcel = pack(row, prepared.stores, prepared.length)
    at = parcel.column_names.index(WINDOWS.format("one"))
    short = pa.array([parcel.column(at)[0].as_py()[: -4 * 10 * 320]], pa.large_binary())
    with pytest.raises(ValueError, match="cannot reshape"):
        unpack(parcel.set_column(at, WINDOWS.format("one"), short), buffers(prepared))
    assert len(row_of(parcel).draws["one"].rows) == len(row.draws["one"].rows)


def test_cutting_needs_no_torch() -> None:
    """A task that cuts would otherwise take seconds to start and a quarter of a gigabyte."""
    code = "import sys, mdjpt_platform.data.parcel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({"engine": "local"}, "exec.fetch: found stream with exec.engine local, expected engine ray"),
        ({"engine": "ray", "resident": True}, "exec.resident: found true with exec.fetch stream, expected fetch local"),
    ],
)
def test_ways_that_exclude_each_other_are_refused_before_anything_is_written(
    tiny: Config, execution: dict[str, object], said: str
) -> None:
    from pathlib import Path

    from mdjpt_platform.errors import BadInput
    from mdjpt_platform.train.launch import pretrain

    config = tiny.model_copy(update={"exec": tiny.exec.model_copy(update={"fetch": "stream", **execution})})
    with pytest.raises(BadInput, match=said):
        pretrain(config)
    assert not Path(tiny.exec.runs).exists()
    refuse_fetch(tiny.exec)
