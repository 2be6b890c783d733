"""Reading what others wrote: regular files only, never waiting, never more than a stated size.

A pipe in the place of a file would be waited for without end, a device or a file without end would fill the memory;
neither is ever data of ours. JSON and YAML are trees of values: what unpacks to far more than was written is refused.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TEXT = 256 * 2**20
"""Bytes of the largest manifest, log, table or configuration; a manifest of 10 000 recordings has 5 MB."""
YAML = 2**22
"""Bytes of the largest run or study file."""
HEADER = 2**16
"""Bytes of the header of a `.npy` file, as its first version can state."""
ROWS = 2**24
"""Rows of the largest table of results."""
NODES = 200_000
"""Values of a YAML file with every alias written out; the longest run file of ours has a few hundred."""


def opened(path: str | Path) -> io.BufferedReader:
    """A regular file, open for reading. Raises OSError: absent, a folder, a pipe, a socket or a device."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for its writer
    try:
        require_regular(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def require_regular(mode: int, path: str | Path) -> None:
    """Raise OSError unless the mode (`os.stat`) is that of a regular file."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe, socket or device", str(path))


def read(path: str | Path, limit: int = TEXT) -> bytes:
    """The bytes of a regular file. Raises OSError: as `opened`, and where it is larger than `limit`."""
    with opened(path) as file:
        there = os.fstat(file.fileno()).st_size  # reading allocates what it asks for, and limits exceed memory
        content = file.read(min(limit, there) + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {limit} bytes", str(path))
    return content


def read_text(path: str | Path, limit: int = TEXT) -> str:
    """The UTF-8 text of a regular file. Raises OSError: as `read`; UnicodeDecodeError."""
    return read(path, limit).decode("utf-8")


def json_of(content: bytes | str) -> Any:
    """The tree in JSON. Raises ValueError: no JSON, nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def object_of(path: str | Path, needed: Collection[str]) -> dict[str, Any]:
    """The JSON object in a file that one of our verbs wrote. Raises BadInput: absent, damaged, a key of it absent."""
    try:
        tree = json_of(read(path))
    except (OSError, ValueError) as error:
        raise BadInput(path, "JSON", error, f"an object with {', '.join(needed)}") from None
    if not isinstance(tree, dict) or not tree.keys() >= set(needed):
        raise BadInput(path, "JSON", "something else", f"an object with {', '.join(needed)}")
    return tree


def array_of(path: str | Path) -> np.ndarray[Any, Any]:
    """The array in a `.npy` file, mapped read-only; pickles are refused. Raises OSError: as `opened`; ValueError and
    whatever else NumPy raises on a header that is none.
    """
    import numpy as np

    with opened(path) as file:
        begins = file.read(12)
    length = int.from_bytes(begins[8:12], "little") if begins[6:7] > b"\x01" else 0
    if begins.startswith(np.lib.format.MAGIC_PREFIX) and length > HEADER:  # which NumPy would ask memory for
        raise ValueError(f"a header of {length} bytes")
    with np.errstate(over="ignore"):  # of shapes beyond reason, which do not fit the bytes either
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))


def table_of(path: str | Path) -> pd.DataFrame:
    """The table in a Parquet file that one of our verbs wrote. Raises BadInput: absent, damaged, too many rows."""
    import pandas as pd  # here, since whoever reads a run file needs none of them
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(read(path))) as file:
            if file.metadata.num_rows > ROWS:
                raise BadInput(path, "rows", file.metadata.num_rows, f"at most {ROWS}")
            table = file.read()
        table.validate(full=True)
        return pd.DataFrame(table.to_pandas())
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise BadInput(path, "Parquet", " ".join(str(error).split()), "a whole table") from None


def yaml_of(text: str) -> Any:
    """The tree in YAML, plain values alone. Raises ValueError: no YAML, a tag, nested too deeply, aliases that unfold
    to more than NODES values (a file of 1 kB can mean 10^9).
    """
    try:
        return _constructed(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (TypeError, LookupError, AttributeError, OverflowError) as error:  # PyYAML's own, of odd numbers and dates
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _constructed(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values below a node, every alias counted each time it is used. Raises ValueError: too many, a loop."""
    if id(node) in known:
        if known[id(node)] < 0:
            raise ValueError("an alias inside of what it stands for")
        return known[id(node)]
    known[id(node)], total = -1, 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_unfolded(one, known) for pair in node.value for one in pair)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_unfolded(one, known) for one in node.value)
    if total > NODES:
        raise ValueError(f"aliases that unfold to more than {NODES} values")
    known[id(node)] = total
    return total
