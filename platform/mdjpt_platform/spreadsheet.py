"""Tables that people open in a spreadsheet, which takes text that begins with `=` for a formula and runs it."""

from __future__ import annotations

from typing import Any

import pandas as pd

STARTS = ("=", "+", "-", "@", "\t", "\r")


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would run; numbers stay numbers.

    Names of subjects, labels and arms come from data. Source: OWASP, "CSV Injection".
    """
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{str(name): [_inert(value) for value in table[name]] for name in texts})


def _inert(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(STARTS):
        return value
    try:
        float(value)  # a negative number is no formula
    except ValueError:
        return f"'{value}"
    return value
