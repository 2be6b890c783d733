"""The command in this process, and what must hold however hostile its input is."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from mdjpt_platform import cli

CANARY = "canary"
"""Hostile inputs try to make a file of this name in the working directory."""
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def typed(*arguments: object) -> Said:
    """`mdjpt <arguments>` as the shell would run it, through the same entry point."""
    out, err = io.StringIO(), io.StringIO()
    line = ["mdjpt", *map(str, arguments)]
    with mock.patch.object(sys, "argv", line), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    return Said(code, out.getvalue(), err.getvalue())


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: files by checksum, links by target, the rest by kind."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                what = f"-> {os.readlink(path)}"
            elif stat.S_ISREG(mode) and os.access(path, os.R_OK):
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                what = f"{stat.S_IFMT(mode):o}"
            found[path.relative_to(folder).as_posix()] = what
    return found


def refused(folder: Path, *arguments: object, own: Collection[str] = (), code: int = 2, says: str = "") -> Said:
    """The command refuses in one line; nothing ran, and nothing below `folder` changed but what lies in `own`."""
    before = contents(folder)
    said = typed(*arguments)
    after = contents(folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    foreign = {name for name in changed if not any(name == one or name.startswith(f"{one}/") for one in own)}
    assert not foreign, f"written outside: {sorted(foreign)[:5]}; said: {said.err}"
    assert not any(Path(name).name == CANARY for name in after), "a command ran"
    assert said.code == code, said.out + said.err
    text = said.out + said.err
    assert "Traceback" not in text and not UNPRINTABLE.search(text), repr(text[:500])
    if code == 2 and not said.out:
        assert said.err.startswith("mdjpt: ") and said.err.count("\n") == 1, said.err
    assert len(text) < 20_000, len(text)
    assert says in text, text
    return said
