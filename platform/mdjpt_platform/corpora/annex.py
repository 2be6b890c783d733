"""Files that a clone of OpenNeuro's repositories lacks: it holds addresses in their place (git-annex)."""

from __future__ import annotations

from pathlib import Path

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import read

ADDRESS = 1024
"""Bytes; an address takes a fourth of it. Larger files are data and stay closed: listing a corpus opens no signals."""
EXPECTED = "the data: fetch them with `datalad get` or `openneuro download`"


def check(path: str | Path) -> None:
    """Raise BadInput unless there are data to open at `path`."""
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise BadInput(path, "file", "a link to nothing, as in a clone without its data", EXPECTED)
    if not path.is_file():
        raise BadInput(path, "file", "nothing there", "a file")
    if path.stat().st_size <= ADDRESS and b"/annex/objects/" in read(path):
        raise BadInput(path, "file", "an address in place of the data, as in a clone without them", EXPECTED)


def problem(path: str | Path) -> str:
    """What `check` would raise, in one line; empty if nothing."""
    try:
        check(path)
    except BadInput as error:
        return str(error)
    return ""
