"""What `mdjpt adapt` does. Returns an exit code and prints the curve."""

from __future__ import annotations

from pathlib import Path

from mdjpt_platform.adapt.settings import Settings
from mdjpt_platform.errors import BadInput, printable

WIDE = 120
"""Columns where no terminal says how many there are."""


def adapt(
    model: Path, store: Path, out: Path, settings: Settings, save: Path | None = None, subject: str | None = None
) -> int:
    """Write the learning curve, print it, and write the adapted model if asked to."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from mdjpt_platform.adapt.run import PAGE, SUBJECTS
    from mdjpt_platform.adapt.run import adapt as calibrate
    from mdjpt_platform.plain import table_of
    from mdjpt_platform.report.adaptation.wording import Told, columns_of, findings, headline, table_rows

    found = calibrate(model, store, out, settings, save, subject)
    told = Told(found.result, found.curve, table_of(out / SUBJECTS), found.tests)
    sizes = [str(size) for size in columns_of(found.curve)]
    what = "labelled subjects" if settings.by == "corpus" else "labelled trials a class"
    chance = 100 * float(found.curve["chance"].iloc[0])
    there = Console()
    console = there if there.is_terminal else Console(width=WIDE)
    for unit in ("window", "trial"):
        print(f"balanced accuracy by {unit} (%) and number of {what}; chance {chance:.1f}")
        table = Table("", *sizes, box=box.SIMPLE_HEAD, pad_edge=False)
        table.columns[0].no_wrap = True
        for name, cells in table_rows(found.curve, unit):
            table.add_row(name, *(f"{value} {span}".strip().replace("[", "\\[") for value, span in cells))
        console.print(table)
    print(headline(told))
    for one in findings(told):
        print(f"- {one.text}")
    for text in found.result["notes"]:
        print(printable(text))
    print(f"{'page' if found.fresh else 'there already'}: {out / PAGE}")
    if save is not None:
        print(f"model: {save}")
    return 0


def sizes_of_text(text: str | None) -> tuple[int, ...]:
    """`1,2,4` -> sizes, ascending. Raises BadInput."""
    if not text:
        return ()
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise BadInput("command line", "--trials", repr(text), "numbers with commas between, as 1,2,4") from None


def names_of_text(text: str | None) -> tuple[str, ...]:
    """`frozen,de` -> names of methods or classes."""
    return tuple(part.strip() for part in text.split(",")) if text else ()
