"""The results table in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mdjpt_platform.report.inputs import TargetLike
from mdjpt_platform.report.summary import findings, leaks_by_design
from mdjpt_platform.report.tables import Cell, ResultTable, headlines, result_table
from mdjpt_platform.report.wording import NONE, plain

STYLE = {"above": "green", "below": "red", "level": "yellow", "": ""}
SIGN = {"good": ("✓", "green"), "open": ("○", "yellow"), "bad": ("✗", "red")}


def results(targets: Sequence[TargetLike]) -> Group:
    """A table a target and headline metric, and what they mean."""
    parts: list[Table | Text] = []
    for target in targets:
        name = plain(target.target)
        metrics = headlines(target.scores)
        if target.scores is None or not metrics:
            parts.append(Text(f"{name}: no scores"))
            continue
        parts += [_table(name, result_table(target.scores, metric)) for metric in metrics]
        if leaks_by_design(target):
            parts.append(Text("protocol 'published': these numbers contain leaks by design", style="bold red"))
        for one in findings(target):
            sign, colour = SIGN[one.verdict]
            parts.append(Text.assemble((f"{sign} ", colour), (f"{one.about}: ", "bold"), one.text))
    return Group(*parts)


def print_results(targets: Sequence[TargetLike], console: Console | None = None) -> None:
    """Print `results`."""
    (console or Console()).print(results(targets))


def _table(target: str, table: ResultTable) -> Table:
    shown = Table(
        title=escape(f"{target}: {table.metric}{table.unit} [95 % interval over subjects]"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        collapse_padding=True,
    )
    for column in ("read-out", "smoothing"):
        shown.add_column(column)
    for column in table.methods:
        shown.add_column(escape(column), justify="right", min_width=len("[97.5–100.0]"))
    shown.add_column("chance", justify="right", min_width=len("chance"))
    for row in table.rows:
        if row.first and row is not table.rows[0]:
            shown.add_section()
        label = escape(row.readout) if row.first else ""
        shown.add_row(label, escape(row.lds), *(_cell(c) for c in row.cells), row.chance)
    return shown


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text(NONE)
    return Text.assemble(
        (cell.value, f"bold {STYLE[cell.against_chance]}" if cell.best else STYLE[cell.against_chance]),
        (f" {cell.interval}".replace(", ", "–"), "dim"),
    )
