"""The folder of one recording: tables, annotations, page, summary; it appears whole, and says what it was made of."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import json_of, read
from mdjpt_platform.spreadsheet import inert
from mdjpt_platform.store.write import new_draft, publish

SUMMARY, TABLE, PARQUET, PAGE = "summary.json", "windows.csv", "windows.parquet", "page.html"
KIND = "mdjpt prediction"
"""By which a folder is known to be ours, and may be replaced."""
DIGITS = "%.6g"
LIMIT = 2**30
"""Bytes of a file of ours."""


def table_files(table: pd.DataFrame) -> dict[str, bytes]:
    """windows.csv (six digits, nothing that a spreadsheet would run) and windows.parquet (as computed)."""
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    safe = inert(table)
    safe.columns = pd.Index([inert(pd.DataFrame({"name": [name]}))["name"].iloc[0] for name in table.columns])
    return {TABLE: safe.to_csv(index=False, float_format=DIGITS).encode(), PARQUET: parquet.getvalue()}


def write_folder(folder: Path, files: Mapping[str, bytes], summary: Mapping[str, Any]) -> None:
    """Put the files and summary.json, which has their checksums, in place of what is there.

    Raises BadInput: a folder there that is not ours. OSError.
    """
    if folder.exists() and known(folder) is None:
        raise BadInput(folder, "folder", "something else of that name", "a free name, or an earlier prediction")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps(jsonable({"kind": KIND, **summary, "files": sums}), indent=1, allow_nan=False)
    draft = new_draft(folder.parent, folder.name)
    try:
        for name, content in files.items():
            (draft / name).write_bytes(content)
        (draft / SUMMARY).write_text(text + "\n", encoding="utf-8")
        publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already unless something failed


def known(folder: Path) -> dict[str, Any] | None:
    """The summary in a folder of ours; None if it is none."""
    try:
        tree = json_of(read(folder / SUMMARY))
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) and tree.get("kind") == KIND else None


def is_whole(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Whether every file is there as it was written."""
    sums = summary.get("files")
    if not isinstance(sums, dict) or not sums:
        return False
    try:
        return all(hashlib.sha256(read(folder / name, LIMIT)).hexdigest() == sums[name] for name in sums)
    except (OSError, TypeError):
        return False


def jsonable(tree: Any) -> Any:
    """The tree with what is no finite number as null, and tuples as lists."""
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    if isinstance(tree, Mapping):
        return {str(key): jsonable(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [jsonable(value) for value in tree]
    return tree
