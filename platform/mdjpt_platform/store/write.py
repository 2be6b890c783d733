"""Writing a store: into a hidden draft first, then moved into place as a whole."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mdjpt_platform import __version__
from mdjpt_platform.atomic import replacing, write_atomic
from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.store.schema import (
    INDEX,
    INDEX_SCHEMA,
    MANIFEST,
    QUALITY,
    SIGNALS,
    Manifest,
    SignalFile,
    Source,
    TrialRow,
    store_folder,
)

STALE_SECONDS = 24 * 3600
"""A draft this old belongs to a process that was killed."""
WRITABLE = "a folder that can be written, with room for the prepared data"


class Hashing:
    """A .npy file in the making, which hashes and counts what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        """Write bytes."""
        self.sha.update(data)
        self.bytes += memoryview(data).nbytes
        return self.file.write(data)

    def header(self, kind: str, shape: tuple[int, ...]) -> None:
        """Announce an array of this type and shape in C order, whose bytes follow."""
        header = io.BytesIO()
        about = {"descr": kind, "fortran_order": False, "shape": tuple(map(int, shape))}
        np.lib.format.write_array_header_1_0(header, about)
        self.write(header.getvalue())


def save_signal(path: Path, parts: Iterable[NDArray[np.float32]], shape: tuple[int, int]) -> SignalFile:
    """Write trials one after another as one float32 .npy of `shape` [samples, channels]; bounded by one part.

    Raises ValueError: the parts do not add up to `shape`.
    """
    rows = 0
    with replacing(path) as file:
        out = Hashing(file)
        out.header("<f4", shape)
        for part in parts:
            if part.ndim != 2 or part.shape[1] != shape[1]:
                raise ValueError(f"{path.name}: a part of shape {part.shape} in a signal of {shape[1]} channels")
            rows += part.shape[0]
            out.write(np.ascontiguousarray(part, dtype="<f4").data.cast("B"))
        if rows != shape[0]:
            raise ValueError(f"{path.name}: {rows} samples written, {shape[0]} announced")
    return SignalFile(sha256=out.sha.hexdigest(), bytes=out.bytes, shape=shape)


def new_draft(parent: Path, name: str) -> Path:
    """A fresh hidden folder beside the final one, and drafts of killed processes swept away."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(".*.draft-*"):
        try:
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        except FileNotFoundError:
            continue  # another process swept it first
    draft = parent / f".{name}.draft-{secrets.token_hex(4)}"
    draft.mkdir()
    return draft


def publish(draft: Path, final: Path) -> None:
    """Move a complete draft into place; a folder already there gives way."""
    for folder in (draft, draft.parent):
        _sync_folder(folder)
    retired = final.with_name(f".{final.name}.draft-{secrets.token_hex(4)}")
    try:
        os.replace(draft, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        os.replace(final, retired)
        os.replace(draft, final)
        shutil.rmtree(retired, ignore_errors=True)
    _sync_folder(final.parent)


def finish_store(
    draft: Path, final: Path, rows: Iterable[TrialRow], quality: Mapping[str, Any], **facts: Any
) -> Manifest:
    """Write index, quality and manifest into a draft that holds its signals, and publish it.

    `quality`: JSON values by recording. `facts`: the manifest's fields but `index`, `quality` and `version`. Rows are
    sorted by (subject, session, trial).
    """
    ordered = sorted(rows, key=lambda row: (row.subject, row.session, row.trial))
    table = pa.Table.from_pylist([row.model_dump() for row in ordered], schema=INDEX_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    index = buffer.getvalue()
    looked = json.dumps(quality, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in (("index", index), ("quality", looked))}
    manifest = Manifest(**sums, version=__version__, **facts)
    write_atomic(draft / INDEX, index)
    write_atomic(draft / QUALITY, looked)
    write_atomic(draft / MANIFEST, manifest.model_dump_json(indent=1).encode() + b"\n")
    publish(draft, final)
    return manifest


def write_store(
    root: str | Path,
    name: str,
    corpus: CorpusConfig,
    recipe: Sequence[StepConfig],
    trials: Iterable[tuple[TrialRow, NDArray[np.float32]]],
    *,
    channels: Sequence[str],
    rate: float,
    labels: Sequence[str],
    unit: str = "uV",
) -> Path:
    """A whole store from arrays in memory; returns its folder. `file`, `offset`, `samples` of the rows are set here.

    `trials`: rows with their signals [samples, channels]. Raises BadInput: the folder cannot be written.
    """
    final = store_folder(root, name, corpus, recipe)
    grouped: dict[str, list[tuple[TrialRow, NDArray[np.float32]]]] = {}
    for row, signal in trials:
        grouped.setdefault(f"sub-{row.subject}_ses-{row.session}", []).append((row, signal))
    rows: list[TrialRow] = []
    files: dict[str, SignalFile] = {}
    try:
        draft = new_draft(final.parent, final.name)
        (draft / SIGNALS).mkdir()
        for recording, members in sorted(grouped.items()):
            members.sort(key=lambda member: member[0].trial)
            file, offset = f"{SIGNALS}/{recording}.npy", 0
            for row, signal in members:
                rows.append(row.model_copy(update={"file": file, "offset": offset, "samples": len(signal)}))
                offset += len(signal)
            files[file] = save_signal(draft / file, (signal for _, signal in members), (offset, len(channels)))
        finish_store(
            draft,
            final,
            rows,
            {},
            corpus=name,
            layout=corpus.layout,
            key=final.name,
            config=corpus,
            recipe=tuple(recipe),
            channels=tuple(channels),
            rate=rate,
            unit=unit,
            labels=tuple(labels),
            code="",
            files=files,
            recordings={recording: Source(work="", inputs={}) for recording in sorted(grouped)},
        )
    except OSError as error:
        raise unwritable(root, error) from None
    return final


def unwritable(folder: str | Path, error: OSError) -> BadInput:
    """The one-line explanation of a store that cannot be written."""
    found = error.strerror or str(error)
    return BadInput(folder, "exec.store", found, WRITABLE)


def _sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
