"""What a page of a prediction is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Told:
    """A recording and what a model says of it."""

    name: str
    """Of the file, without its folder."""
    summary: Mapping[str, Any]
    """summary.json."""
    windows: pd.DataFrame
    """windows.csv."""
    labels: tuple[str, ...]
    spectrum: Mapping[str, Any] | None = None
    """The model's `seen["spectrum"]`."""
