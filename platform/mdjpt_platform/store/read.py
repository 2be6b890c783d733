"""Reading a store: everything is checked on opening, windows are views of memory maps."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import array_of, json_of, opened, read, require_regular
from mdjpt_platform.store.schema import (
    FORMAT,
    INDEX,
    INDEX_SCHEMA,
    MANIFEST,
    QUALITY,
    SIGNALS,
    Manifest,
    SignalFile,
    store_key,
)

CURE = "run `mdjpt prepare` again"
MAX_ROWS, MAX_TEXT = 2**20, 2**28
"""Trials of an index, and bytes of its text columns written out: Parquet can mean terabytes with a few of its own."""
TEXTS = [field.name for field in INDEX_SCHEMA if field.type == pa.string()]
NO_ARRAY = (
    OSError, ValueError, TypeError, LookupError, EOFError, OverflowError, MemoryError, SyntaxError, RecursionError,
    TokenError,
)  # fmt: skip
"""What NumPy raises on headers that are no headers."""


class Store:
    """An opened store. Pickles as its folder: the other process opens it again, checking presence and sizes."""

    def __init__(self, folder: Path, manifest: Manifest, index: pd.DataFrame) -> None:
        self.folder, self.manifest, self.index = folder, manifest, index
        self._files: list[str] = index["file"].tolist()
        self._offsets: list[int] = index["offset"].tolist()
        self._samples: list[int] = index["samples"].tolist()
        self._maps: dict[str, NDArray[np.float32]] = {}

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _reopen, (str(self.folder), self.manifest.key)

    def __len__(self) -> int:
        """Number of trials."""
        return len(self._files)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the signal columns."""
        return self.manifest.channels

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.manifest.rate

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the label scheme, in order of their code."""
        return self.manifest.labels

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """[trials] place of each trial's label in `labels`; -1 where it has none, or none of these."""
        known = {name: code for code, name in enumerate(self.labels)}
        return np.array([known.get(label, -1) for label in self.index["label"]], dtype=np.int64)

    @cached_property
    def affect(self) -> NDArray[np.float32]:
        """[trials, 2] valence and arousal of each trial in [-1, 1]; NaN where unknown."""
        return self.index[["valence", "arousal"]].to_numpy(np.float32)

    @property
    def fingerprint(self) -> str:
        """Hash of the content; equal for two stores iff their readers see the same bits."""
        return self.manifest.fingerprint

    def quality(self) -> dict[str, Any]:
        """Recording -> what is known of its quality: `before` and `after` the preparation, `notes`, `trials`.

        Read when it is asked for. Raises BadInput: absent or damaged.
        """
        return _quality(self.folder, self.manifest)

    def signal(self, row: int) -> NDArray[np.float32]:
        """Read-only view [samples, channels] of the trial in row `row` of the index."""
        if not 0 <= row < len(self._files):
            raise IndexError(f"trial {row} of {len(self._files)}")
        start = self._offsets[row]
        return self._map(self._files[row])[start : start + self._samples[row]]

    def window(self, row: int, start: int, length: int) -> NDArray[np.float32]:
        """Read-only view [length, channels] that begins `start` samples into a trial.

        Raises ValueError: the window does not lie inside the trial.
        """
        if not 0 <= row < len(self._files):
            raise IndexError(f"trial {row} of {len(self._files)}")
        if start < 0 or length < 1 or start + length > self._samples[row]:
            raise ValueError(f"window [{start}, {start + length}) outside trial {row} of {self._samples[row]} samples")
        first = self._offsets[row] + start
        return self._map(self._files[row])[first : first + length]

    def _map(self, name: str) -> NDArray[np.float32]:
        mapped = self._maps.get(name)
        if mapped is None:
            mapped = self._maps[name] = map_signal(self.folder / name, self.manifest.files[name])
        return mapped


def open_store(folder: str | Path, *, verify: bool = True, key: str | None = None) -> Store:
    """Open a store.

    `verify`: check every checksum; otherwise presence, sizes and the index alone (enough for a worker whose driver
    verified). `key`: the key asked for, if the folder is not named by it (a staged copy).

    Raises BadInput: absent, of another format or recipe, a file missing, short, damaged or outside the store.
    """
    folder = Path(folder)
    manifest = _manifest(folder, key or folder.name)
    index = _index(folder, manifest)
    for name, entry in manifest.files.items():
        path = folder / name
        _inside(folder, path, name)
        _check_size(path, entry)
        if verify:
            _check_sum(path, entry.sha256)
            map_signal(path, entry)
    if verify:
        _quality(folder, manifest)
    return Store(folder, manifest, index)


def map_signal(path: Path, entry: SignalFile) -> NDArray[np.float32]:
    """Read-only memory map of a signal file, refused unless it is what the manifest says."""
    _check_size(path, entry)
    try:
        mapped = array_of(path)
    except NO_ARRAY as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise BadInput(path, "signal file", said, "a .npy file") from None
    found = (mapped.dtype.str, mapped.shape, bool(mapped.flags.c_contiguous))
    if found != ("<f4", entry.shape, True):
        raise BadInput(path, "signal file", found, f"float32, {entry.shape}, C order; {CURE}")
    view: NDArray[np.float32] = mapped.view(np.ndarray)
    return view  # slicing an ndarray costs a tenth of slicing a memmap


def _manifest(folder: Path, key: str) -> Manifest:
    path = folder / MANIFEST
    try:
        tree = json_of(read(path))
    except FileNotFoundError:
        raise BadInput(folder, "store", "no manifest.json", "a prepared store; run `mdjpt prepare` first") from None
    except (OSError, ValueError) as error:
        raise BadInput(path, "manifest", str(error), f"JSON; {CURE}") from None
    found = tree.get("format") if isinstance(tree, dict) else None
    if found != FORMAT:
        raise BadInput(path, "format", found, f"{FORMAT}; {CURE}")
    try:
        manifest = Manifest.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        found = repr(first.get("input"))[:300]
        raise BadInput(path, ".".join(map(str, first["loc"])), found, first["msg"]) from None
    own = store_key(manifest.corpus, manifest.config, manifest.recipe)
    if not own == manifest.key == key:
        raise BadInput(path, "key", f"{own}: a store written by another recipe", f"{key}; {CURE}")
    return manifest


def _index(folder: Path, manifest: Manifest) -> pd.DataFrame:
    path = folder / INDEX
    try:
        content = read(path)
    except OSError as error:
        raise BadInput(path, "index", error.strerror, f"a Parquet file; {CURE}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.index:
        raise BadInput(path, "sha256", f"{found[:16]}: damaged", f"{manifest.index[:16]}; {CURE}")
    index = _rows(path, content)
    if index.duplicated(["subject", "session", "trial"]).any():
        raise BadInput(path, "trial", "one subject, session and trial twice", "every trial once")
    for field in ("valence", "arousal"):
        if not index[field].dropna().between(-1, 1).all():
            raise BadInput(path, field, f"{index[field].min()}..{index[field].max()}", "-1..1, or null")
    for name, offset, samples in zip(index["file"], index["offset"], index["samples"], strict=True):
        entry = manifest.files.get(name)
        if entry is None:
            raise BadInput(path, "file", name, "a signal file that the manifest lists")
        if offset < 0 or samples < 1 or offset + samples > entry.shape[0]:
            raise BadInput(path, "offset", f"{offset}+{samples} in {name}", f"rows inside its {entry.shape[0]}")
    for name, entry in manifest.files.items():
        if entry.shape[1] != len(manifest.channels):
            raise BadInput(folder / MANIFEST, name, f"{entry.shape[1]} columns", f"{len(manifest.channels)} channels")
    return index


def _rows(path: Path, content: bytes) -> pd.DataFrame:
    """The index in a Parquet file. Raises BadInput: another schema, damaged, more than the limits."""
    try:
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=TEXTS) as file:
            columns = {field.name: field for field in file.schema_arrow}
            plain = [field.with_type(pa.string()) if field.name in TEXTS else field for field in columns.values()]
            if not pa.schema(plain).equals(INDEX_SCHEMA) or len(columns) < len(file.schema_arrow):
                raise BadInput(path, "columns", file.schema_arrow.names, INDEX_SCHEMA.names)
            if file.metadata.num_rows > MAX_ROWS:
                raise BadInput(path, "rows", file.metadata.num_rows, f"at most {MAX_ROWS}")
            table = file.read()
        table.validate(full=True)
        told = sum(_written_out(column) for column in table.columns)
        if told > MAX_TEXT:
            raise BadInput(path, "text", f"{told} bytes", f"at most {MAX_TEXT}")
        table = table.cast(INDEX_SCHEMA)
        table.validate(full=True)  # text that is no UTF-8
        empty = [f.name for f in INDEX_SCHEMA if not f.nullable and table[f.name].null_count]
        if empty:
            raise BadInput(path, empty[0], "nothing", "a value in every row")
        return table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, LookupError, MemoryError, OverflowError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadInput(path, "index", found, f"a Parquet file; {CURE}") from None


def _written_out(column: pa.ChunkedArray) -> int:
    """Bytes of a dictionary-encoded text column with every value in its place; 0 for any other."""
    if not pa.types.is_dictionary(column.type):
        return 0
    sizes = (pc.sum(pc.binary_length(part.dictionary).take(part.indices)).as_py() or 0 for part in column.chunks)
    return int(sum(sizes))


def _quality(folder: Path, manifest: Manifest) -> dict[str, Any]:
    path = folder / QUALITY
    try:
        content = read(path)
    except OSError as error:
        raise BadInput(path, "quality", error.strerror, f"a JSON file; {CURE}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.quality:
        raise BadInput(path, "sha256", f"{found[:16]}: damaged", f"{manifest.quality[:16]}; {CURE}")
    try:
        tree = json_of(content)
    except ValueError as error:
        raise BadInput(path, "quality", error, f"JSON; {CURE}") from None
    if not isinstance(tree, dict) or not all(isinstance(one, dict) for one in tree.values()):
        raise BadInput(path, "quality", "something else", f"an object a recording; {CURE}")
    return tree


def _inside(folder: Path, path: Path, name: str) -> None:
    """Signal files are `signals/<name>.npy`, in this very store: no '..', no absolute path, no link out of it."""
    parts = Path(name).parts
    within = "\0" not in name and path.resolve().is_relative_to(folder.resolve())
    if len(parts) != 2 or parts[0] != SIGNALS or ".." in parts or not name.endswith(".npy") or not within:
        raise BadInput(folder / MANIFEST, "files", name, f"{SIGNALS}/<recording>.npy inside the store")


def _check_size(path: Path, entry: SignalFile) -> None:
    try:
        found = path.stat()
        require_regular(found.st_mode, path)
    except OSError as error:
        raise BadInput(path, "signal file", error.strerror, f"{entry.bytes} bytes; {CURE}") from None
    size = found.st_size
    if size != entry.bytes:
        raise BadInput(path, "signal file", f"{size} bytes: truncated or foreign", f"{entry.bytes} bytes; {CURE}")


def _check_sum(path: Path, expected: str) -> None:
    found = file_sha256(path)
    if found != expected:
        raise BadInput(path, "sha256", f"{found[:16]}: damaged", f"{expected[:16]}; {CURE}")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a regular file, hex. Raises OSError."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reopen(folder: str, key: str) -> Store:
    return open_store(folder, verify=False, key=key)
