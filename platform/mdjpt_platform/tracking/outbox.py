"""What waits to be sent to a tracking server, without what the run there already holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdjpt_platform.errors import masked
from mdjpt_platform.private import without_subjects
from mdjpt_platform.tracking.names import PARAM_VALUE, TAG_VALUE, clean_name, flat

PER_REQUEST = 100
"""Most parameters or tags a request may carry."""


@dataclass
class Outbox:
    """Parameters, tags, metric values (key, value, step, ms since 1970) and files that wait."""

    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    """Parameters the run has; they cannot be changed there."""
    present: dict[str, set[int]] = field(default_factory=dict)
    """Steps the run had for a metric when it was opened."""

    def stage(
        self,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        """Line up parameters (nested ones as `a.b`), tags and files; without passwords and named subjects."""
        told = flat(without_subjects(params or {}))
        named = {clean_name(key): masked(text)[:PARAM_VALUE] for key, text in told}
        self.params |= {key: text for key, text in named.items() if key not in self.known}
        self.tags |= {clean_name(key): masked(str(value))[:TAG_VALUE] for key, value in (tags or {}).items()}
        self.files += [Path(file) for file in files]

    def queue(self, step: int, values: Mapping[str, float], seconds: float, *, epoch: int | None = None) -> int:
        """Line up the values measured at `seconds` since 1970; gives how many the run lacks. The epoch is one too."""
        named = dict(values) if epoch is None else {**values, "epoch": epoch}
        items = [(clean_name(key), float(value), int(step), int(seconds * 1000)) for key, value in named.items()]
        fresh = [item for item in items if item[2] not in self.present.get(item[0], ())]
        self.metrics += fresh
        return len(fresh)

    def skip(self, present: Mapping[str, set[int]], known: set[str]) -> None:
        """Leave out what the run turned out to hold."""
        self.present |= present
        self.known |= known
        self.metrics = [item for item in self.metrics if item[2] not in self.present.get(item[0], ())]
        self.params = {key: text for key, text in self.params.items() if key not in self.known}


def batches(items: Mapping[str, str]) -> list[dict[str, str]]:
    """Cut a mapping into requests."""
    pairs = list(items.items())
    return [dict(pairs[start : start + PER_REQUEST]) for start in range(0, len(pairs), PER_REQUEST)]
