"""What `mdjpt status` and `mdjpt reproduce` print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mdjpt_platform.errors import printable
from mdjpt_platform.operations.status import RunStatus, StudyStatus

if TYPE_CHECKING:  # PyTorch is not for who only looks
    from mdjpt_platform.operations.reproduce import Reproduction

COLOURS = {"running": "cyan", "finished": "green", "failed": "red", "interrupted": "yellow", "stopped": "yellow"}
NOTHING = "-"
WIDE = 160
"""Columns where there is no terminal."""


def print_status(runs: list[RunStatus], studies: list[StudyStatus]) -> None:
    """The two tables."""
    if not runs and not studies:
        print("no runs here")
        return
    parts = [run_table(runs)] if runs else []
    parts += [study_table(studies)] if studies else []
    console().print(Group(*parts))


def run_table(runs: list[RunStatus]) -> Table:
    """One row a run."""
    table = _table("run", "identity", "state", ">steps", ">loss", ">last line", ">s/step", ">left")
    for run in runs:
        table.add_row(
            _text(run.name), _text(run.identity), Text(run.state, COLOURS[run.state]),
            f"{run.step}/{NOTHING if run.total is None else run.total}",
            NOTHING if run.loss is None else f"{run.loss:.4f}",
            NOTHING if run.age is None else f"{duration(run.age)} ago",
            NOTHING if run.seconds is None else f"{run.seconds:.3g}",
            NOTHING if run.left is None else duration(run.left),
        )  # fmt: skip
    return table


def study_table(studies: list[StudyStatus]) -> Table:
    """One row a study."""
    table = _table("study", "state", ">cells", ">done", ">stopped", ">failed", ">training now")
    for one in studies:
        counts = (one.done, one.stopped, one.failed, one.training)
        table.add_row(_text(one.name), Text(one.state, COLOURS[one.state]),
                      NOTHING if one.cells is None else str(one.cells), *map(str, counts))  # fmt: skip
    return table


def print_reproduction(outcome: Reproduction) -> None:
    """What is equal and what is not, then what differed beside the numbers."""
    table = _table("compared", "", ">largest relative difference", "where")
    for one in outcome.findings:
        table.add_row(
            _text(one.what), Text("equal", "green") if one.equal else Text("differs", "red"),
            NOTHING if one.relative is None else f"{one.relative:.3g}", _text(one.where),
        )  # fmt: skip
    console().print(table)
    differs = [f"differs beside the numbers: {line}" for line in outcome.environment]
    same = [] if differs else ["versions, code, hardware, threads and stores are the same"]
    verdict = "equal to the last bit" if outcome.equal else "not equal"
    print(printable("\n".join([*differs, *same, *outcome.notes, f"{outcome.repeated}: {verdict}"])))


def console() -> Console:
    """As wide as the terminal; wide where there is none, so that a file or a pipe gets every character in its row."""
    there = Console()
    return there if there.is_terminal else Console(width=WIDE)


def duration(seconds: float) -> str:
    """Two units: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    whole = int(min(seconds, 1e12))
    for unit, below, name, smaller in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // below} {smaller}"
    return f"{whole} s"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def _text(value: str) -> Text:
    shown = " ".join(value.encode(errors="replace").decode().split())
    return Text(printable(shown))  # Text: brackets in a name are no markup
