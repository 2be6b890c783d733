"""The code blocks of the documentation: found, and run as a reader would type them.

A block is a fence. ```bash and ```python are run, in the order of the page, each in a process of its own, in one folder
that looks like a clone; what a block writes, the next finds. A comment on the line above says otherwise:

<!-- run: slow -->          the page is run by the slow suite
<!-- run: no, REASON -->    checked as all blocks are (tests/docs_checks.py), never run
<!-- file: NAME -->         the block is written to NAME, which the blocks below use
<!-- output -->             the block, a ```text, is what the block above prints (`...` stands for anything)

```yaml and ```json are only parsed, ```text, ```math, ```api and ```settings are no code. Everything else is an error,
and so is code by indentation, except doctests (`>>>`).
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "cluster/README.md")),
    ]
)
RUN, PARSED, SHOWN = ("bash", "python"), ("yaml", "json"), ("text", "math", "api", "settings")
CLONE = ("jobs", "cluster", "docs", "benchmarks", "tests", "platform", "mdjpt_model", "Makefile", "pyproject.toml")
"""What a clone has and a block may use."""
FENCE = re.compile(r"^( *)```([^\n`]*)$")
MARKER = re.compile(r"^\s*<!--\s*(\w+)(?::\s*(.*?))?\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """A fence of a page: where it begins, its language, its text without the fence's indent, its marker."""

    page: Path
    line: int
    language: str
    text: str
    kind: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is run at all."""
        return self.language in RUN and not (self.kind == "run" and self.value.startswith("no, ")) and not self.file

    @property
    def slow(self) -> bool:
        return (self.kind, self.value) == ("run", "slow")

    @property
    def file(self) -> str:
        return self.value if self.kind == "file" else ""


def blocks(page: Path) -> list[Block]:
    """All fences of a page. Raises ValueError: one that does not end."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence and opened is None:
            opened = (number, fence[1], fence[2].strip())
        elif fence and opened is not None and not fence[2].strip():
            start, indent, language = opened
            body = "\n".join(one.removeprefix(indent) for one in lines[start + 1 : number]) + "\n"
            found.append(Block(page, start + 1, language, body, *_marker(lines, start)))
            opened = None
    if opened is not None:
        raise ValueError(f"{page}:{opened[0] + 1}: the fence does not end")
    return found


def _marker(lines: list[str], start: int) -> tuple[str, str]:
    """Kind and value of the comment above a fence, blank lines between them left out."""
    above = start - 1
    while above >= 0 and not lines[above].strip():
        above -= 1
    found = MARKER.match(lines[above]) if above >= 0 else None
    return (found[1], found[2] or "") if found else ("", "")


def fault(block: Block) -> str:
    """What is wrong with language or marker; empty if nothing."""
    if block.language not in (*RUN, *PARSED, *SHOWN):
        return f"no runner for {block.language or 'a block without a language'!r}"
    match (block.kind, block.value):
        case ("", ""):
            return ""
        case ("file", value) if re.fullmatch(r"([\w-]+/)*[\w-]+\.\w+", value):
            return ""
        case ("run", value) if block.language in RUN and (value == "slow" or re.fullmatch(r"no, .{8,}", value)):
            return ""
        case ("output", ""):
            return "" if block.language == "text" else "only a text block can be an output"
    return f"unknown marker {block.kind}: {block.value}"


def indented(page: Path) -> Iterator[int]:
    """Lines where code by indentation begins that is no doctest: after a blank line, outside fences and lists."""
    fenced, listed, blank = False, False, True
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and line.strip():
            if re.match(r"\s*([-*]|\d+\.|:::|!!!|\?\?\?) ", line):
                listed = True
            elif not line.startswith("    "):
                listed = False
            elif blank and not listed and not line.startswith("    >>>"):
                yield number
        blank = not line.strip()


def runnable(page: Path) -> bool:
    return any(block.runs for block in blocks(page))


def slow(page: Path) -> bool:
    """Whether a page waits for the slow suite: one of its blocks says so."""
    return any(block.slow for block in blocks(page))


def clone(folder: Path) -> Path:
    """A folder with what a clone has."""
    folder.mkdir(parents=True)
    for name in CLONE:
        (folder / name).symlink_to(ROOT / name)
    return folder


def environment(path: str = "") -> dict[str, str]:
    """That of a shell in which the project's environment is active; `path` goes before everything."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM_", "PYTHON", "MDJPT_", "PYTEST"))}
    first = [path] if path else []
    search = os.pathsep.join([*first, str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | {
        "PATH": search, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "COLUMNS": "120",
        "RAY_memory_monitor_refresh_ms": "0",  # what other programs take is not what is tested
    }  # fmt: skip


def run_page(page: Path, folder: Path, env: dict[str, str], timeout: int = 900) -> list[str]:
    """Run the blocks of a page in a folder. Raises AssertionError: a block fails or prints something else."""
    ran, printed = [], ""
    for block in blocks(page):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "output":
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(block.text, printed, flags)
            assert same, f"{block}: the page shows\n{block.text}\nthe block above prints\n{printed}"
        elif block.runs:
            command = (
                ["bash", "-euo", "pipefail", "-c", block.text]
                if block.language == "bash"
                else ["python", "-c", block.text]
            )
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout)
            assert done.returncode == 0, (
                f"{block}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
            printed = done.stdout
            ran.append(str(block))
    return ran
