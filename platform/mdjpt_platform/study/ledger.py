"""What became of every cell. One JSON file a cell: written whole or not at all, by whoever ran the cell, on any node.

The ledger is the truth of a study: Tune's own state is thrown away, a cell that is done here is never run again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.errors import BadInput, MdjptError, masked
from mdjpt_platform.frozen import Frozen
from mdjpt_platform.plain import read, table_of
from mdjpt_platform.study.grid import Cell

STUDY, CELLS, LOCK = "study.json", "cells", ".lock"


class Running(MdjptError):
    """Another process runs this study."""


class Entry(Frozen):
    """One cell's line."""

    key: str
    state: Literal["done", "stopped", "failed"] = Field(description="stopped: a trial that its search gave up early")
    place: dict[str, Any]
    code: str = Field(description="hash of the sources that ran it")
    seconds: float = 0.0
    attempts: int = 1
    reason: str = Field("", description="why it failed; the last reason, once it is done, of the attempt before")
    table: str = Field("", description="SHA-256 of its table of scores")
    encoder: str = Field("", description="folder of its pre-training")
    stores: dict[str, str] = Field(default_factory=dict, description="fingerprints of what it read")
    chance: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="read-out -> metric -> what guessing gives"
    )
    hardware: dict[str, str] = Field(default_factory=dict, description="what it was computed with")


class Ledger:
    """The cells' entries below a study's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / CELLS

    def entry(self, key: str) -> Entry | None:
        """The entry of a cell; None if there is none, or if it or its table is damaged (the cell is run again)."""
        try:
            entry = Entry.model_validate_json(read(self.cells / f"{key}.json"))
            if entry.state != "failed" and _sha256(read(self.cells / f"{key}.parquet")) != entry.table:
                return None
        except (OSError, ValidationError):
            return None
        return entry

    def entries(self, cells: Iterable[Cell]) -> dict[str, Entry]:
        """Entries of those cells that have one."""
        found = ((cell.key, self.entry(cell.key)) for cell in cells)
        return {key: entry for key, entry in found if entry is not None}

    def done(self, cell: Cell, table: pd.DataFrame, state: Literal["done", "stopped"] = "done", **facts: Any) -> None:
        """A cell has ended well: its table first, then its entry."""
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        data = buffer.getvalue()
        before = self.entry(cell.key)
        write_atomic(self.cells / f"{cell.key}.parquet", data)
        self._write(cell, before, state=state, table=_sha256(data), **facts)

    def failed(self, cell: Cell, reason: str, **facts: Any) -> None:
        """A cell has ended badly."""
        self._write(cell, self.entry(cell.key), state="failed", reason=" ".join(reason.split()), **facts)

    def table(self, cells: Iterable[Cell]) -> pd.DataFrame:
        """Scores of all finished cells, one row a subject and metric, with the cells' places as columns.

        Sorted by cell and row, so that it does not depend on who finished when.
        """
        parts = []
        for cell in sorted(cells, key=lambda one: one.key):
            entry = self.entry(cell.key)
            if entry is None or entry.state != "done":
                continue
            scores = table_of(self.cells / f"{cell.key}.parquet")
            place = {**cell.place, "sources": " ".join(cell.place["sources"])}
            columns = {name: in_column(value) for name, value in place.items()}
            parts.append(scores.assign(cell=cell.key, code=entry.code, **columns))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def refuse_other_code(self, cells: Iterable[Cell], code: str) -> None:
        """Raise BadInput where finished cells were run by other sources: their numbers may not be comparable."""
        others = [entry.code for entry in self.entries(cells).values() if entry.state == "done" and entry.code != code]
        if others:
            found = f"{len(others)} cells of sources {', '.join(sorted(set(others)))}"
            raise BadInput(self.folder, "ledger", found, f"sources {code}; another `exec.runs`, or --mixed-code")

    def describe(self, tree: Mapping[str, Any]) -> None:
        """Keep what the study is. Raises BadInput: the folder cannot be written."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / STUDY, masked(json.dumps(tree, indent=1, sort_keys=True)).encode())
        except OSError as error:
            raise BadInput(self.folder, "exec.runs", error.strerror, "a writable folder") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time runs a study. Raises Running: another one does, on whatever node."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            raise Running(f"{self.folder}: another process is running this study; wait for it or end it") from None
        try:
            yield
        finally:
            lock.release()

    def _write(self, cell: Cell, before: Entry | None, **facts: Any) -> None:
        place = json.loads(json.dumps(dict(cell.place)))
        if before is not None:
            facts = {"reason": before.reason, "attempts": before.attempts + 1, **facts}
        entry = Entry(key=cell.key, place=place, **facts)
        write_atomic(self.cells / f"{cell.key}.json", entry.model_dump_json(indent=1).encode())


def in_column(value: Any) -> Any:
    """A value of an axis as the table has it: what is no plain value becomes JSON."""
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
