"""What the columns of a table of trials mean: label and ratings of a row, as the run file's `mapping` says."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.config import MappingConfig
from mdjpt_platform.corpora import reading
from mdjpt_platform.corpora.affect import valence_class
from mdjpt_platform.corpora.base import Facts, Trial, classes_of
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import read

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

MAX_BYTES = 32 * 2**20
"""Largest table; BIDS events of a long run have 100 kB."""
ABSENT = ("", "n/a")
"""Cells that say nothing."""
Row = dict[str, str]
Meaning = tuple[str | None, float | None, float | None]
"""Class, valence and arousal in [-1, 1]."""


def mapping_of(config: CorpusConfig) -> MappingConfig:
    """The run file's mapping, or one that changes nothing."""
    return config.mapping or MappingConfig()


def table(path: Path, delimiter: str, needed: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a text table, cells stripped. Raises BadInput: no text, a column absent or twice, a ragged row."""
    try:
        text = read(path, MAX_BYTES).decode("utf-8-sig")  # some published files start with a byte-order mark
        file = io.StringIO(text, newline="")
        lines = list(csv.reader(file, csv.excel_tab if delimiter == "\t" else csv.excel, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(path, "table", " ".join(str(error).split())[:120], "UTF-8 text with a header") from None
    header, *body = [[cell.strip() for cell in line] for line in lines if line] or [[]]
    missing = [name for name in needed if name not in header]
    if missing or len(set(header)) < len(header):
        text = f"no {', '.join(missing)}" if missing else f"a name twice in {', '.join(header)}"
        raise BadInput(path, "columns", text, ", ".join(needed))
    for number, line in enumerate(body, 2):
        if len(line) != len(header):
            raise BadInput(path, f"row {number}", f"{len(line)} cells", f"{len(header)}, as in the header")
    return [dict(zip(header, line, strict=True)) for line in body]


def columns(config: CorpusConfig, label: str, *, stimulus: bool = True) -> list[str]:
    """Columns that the mapping needs; a rating's only where it names one of its own."""
    mapping = mapping_of(config)
    ratings = [name for name, usual in ((mapping.valence, "valence"), (mapping.arousal, "arousal")) if name != usual]
    return [*([mapping.stimulus] if stimulus else []), mapping.label or label, *mapping.only, *ratings]


def chosen(rows: Sequence[Row], config: CorpusConfig) -> list[Row]:
    """The rows that `mapping.only` lets through."""
    only = mapping_of(config).only
    return [row for row in rows if all(row[column] in values for column, values in only.items())]


def check_mapping(config: CorpusConfig, facts: Facts) -> None:
    """Refuse one's own classes together with a label scheme of the layout."""
    if mapping_of(config).classes and config.labels != "default":
        raise BadInput(facts.title, "labels", config.labels, "default: mapping.classes says what the labels are")


def meaning(row: Row, column: str, config: CorpusConfig, facts: Facts, where: object) -> Meaning:
    """Of one row; `column` holds the label. Ratings that the row lacks are the place of its word in the affect plane.

    Raises BadInput: a rating that is no number or outside `mapping.scale`.
    """
    mapping = mapping_of(config)
    word = mapping.values.get(row[column], row[column])
    if mapping.classes:
        label = word if word in mapping.classes else None
    else:
        label = reading.in_scheme(valence_class(word) if config.labels == "default" else word, config, facts)
    usual = reading.place(word, config, facts)
    valence = _rating(row, mapping.valence, mapping.scale, where)
    arousal = _rating(row, mapping.arousal, mapping.scale, where)
    return label, usual[0] if valence is None else valence, usual[1] if arousal is None else arousal


def check_labelled(trials: Sequence[Trial], rows: Sequence[Row], column: str, config: CorpusConfig, facts: Facts,
                   where: object) -> None:  # fmt: skip
    """Refuse a mapping under which no trial has a label: its codes are others than the table's."""
    if config.mapping is not None and trials and all(trial.label is None for trial in trials):
        found = ", ".join(sorted({row[column] for row in rows})[:8])
        raise BadInput(where, f"column {column}", found, f"values that mean {', '.join(classes_of(facts, config))}")


def number(row: Row, column: str, where: object) -> float:
    """A finite number. Raises BadInput."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(where, column, row[column], "a number")
    return value


def _rating(row: Row, column: str, scale: tuple[float, float], where: object) -> float | None:
    if row.get(column, "") in ABSENT:
        return None
    value, (low, high) = number(row, column, where), scale
    if not low <= value <= high:
        raise BadInput(where, column, f"{value:g}", f"{low:g}..{high:g}, the mapping's scale")
    return 2 * (value - low) / (high - low) - 1
