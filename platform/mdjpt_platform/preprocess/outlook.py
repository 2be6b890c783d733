"""A dry run for people: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mdjpt_platform.preprocess.dry import FINISHED, PREPARED, READ, TOUCHED, Outlook
from mdjpt_platform.preprocess.timings import duration

COLUMNS = ("corpus", "recordings", "raw", "store holds", "to do", "store will be", "time")
WORDS = {READ: "to read", TOUCHED: "touched, to compare", PREPARED: "prepared before", FINISHED: "there already"}


def lines(outlooks: Sequence[Outlook]) -> list[str]:
    """One line a corpus, one for everything that is missing or would be left out."""
    found = []
    for outlook in outlooks:
        if outlook.recordings:
            cells = zip(COLUMNS[1:], _cells(outlook), strict=True)
            found.append(f"{outlook.name}: " + "; ".join(f"{title}: {cell}" for title, cell in cells))
        found += _remarks(outlook)
    return found


def table(outlooks: Sequence[Outlook]) -> Table:
    """A row a corpus."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in COLUMNS:
        shown.add_column(title)
    for outlook in outlooks:
        if outlook.recordings:
            shown.add_row(escape(outlook.name), *map(escape, _cells(outlook)))
    return shown


def show(outlooks: Sequence[Outlook], console: Console | None = None) -> None:
    """Print the table and remarks on a terminal, `lines` elsewhere."""
    console = console or Console()
    if not console.is_terminal:
        print("\n".join(lines(outlooks)))
        return
    console.print(table(outlooks))
    for outlook in outlooks:
        for remark in _remarks(outlook):
            console.print(Text(remark))


def _cells(outlook: Outlook) -> tuple[str, ...]:
    ahead = outlook.ahead
    todo = [f"{ahead[what]} {word}" for what, word in WORDS.items() if what in ahead]
    todo += [f"{count} resume after {step}" for step, count in ahead.items() if step not in WORDS]
    time = "unknown" if outlook.seconds is None else f"about {duration(outlook.seconds)}"
    if outlook.seconds is not None and outlook.untimed:
        time = f"{time} and {', '.join(outlook.untimed)}"
    return (
        f"{outlook.recordings} of {outlook.subjects} subjects",
        _bytes(outlook.raw),
        outlook.store,
        ", ".join(todo) or "nothing",
        "unknown" if outlook.size is None else f"about {_bytes(outlook.size)}",
        "none" if outlook.seconds == 0 else time,
    )


def _remarks(outlook: Outlook) -> list[str]:
    found = [f"{outlook.name}: cannot be prepared: {outlook.error}"] if outlook.error else []
    if outlook.simulated:
        found.append(f"{outlook.name}: would be simulated first, into {outlook.simulated}")
    if outlook.missing:
        found.append(f"{outlook.name}: missing: {'; '.join(outlook.missing)}")
    return found + [f"{outlook.name}: would leave out {recording}: {reason}" for recording, reason in outlook.problems]


def _bytes(size: int) -> str:
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if size >= power:
            return f"{size / power:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
