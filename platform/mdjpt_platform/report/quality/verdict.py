"""One sentence about a prepared corpus, and whether somebody should look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["look", "fine", "unknown"]
"""look: a careful person would · fine: checked, nothing found · unknown: could not be checked."""
LISTED = 8
"""Names in a sentence; the others stand in the details."""
FEW, SHORT = 3, 200
"""Names, and letters of their remarks, that a sentence has room for."""


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    severity: Severity
    about: str
    """Two or three words."""
    text: str
    """One sentence; names of recordings or channels in it."""
    details: tuple[str, ...] = ()
    """A line for each that the sentence counts, with its figures."""


def look(about: str, text: str, details: Iterable[str] = ()) -> Verdict:
    """Somebody should look."""
    return Verdict("look", about, text, tuple(details))


def fine(about: str, text: str, details: Iterable[str] = ()) -> Verdict:
    """Nothing to look at."""
    return Verdict("fine", about, text, tuple(details))


def unknown(about: str, text: str) -> Verdict:
    """Not checked, and why."""
    return Verdict("unknown", about, text)


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, or the first of many and how many more."""
    every = list(names)
    rest = len(every) - LISTED
    return ", ".join(every[:LISTED]) + (f" and {rest} more" if rest > 0 else "")


def flagged(about: str, text: str, remarks: Mapping[str, str]) -> Verdict:
    """Somebody should look: the text with `{}` replaced by names and, if they are few, what was found for each.

    Many names stand alone, their remarks in the details.
    """
    told = [f"{name} ({remark})" for name, remark in remarks.items()]
    if len(told) <= FEW and sum(map(len, told)) <= SHORT:
        return look(about, text.replace("{}", ", ".join(told)))
    details = (f"{name}: {remark}" for name, remark in remarks.items())
    return look(about, text.replace("{}", listed(remarks)), details)


def span(low: float, high: float, form: str = "g") -> str:
    """`3 to 5`, or `3` where both are printed alike."""
    ends = f"{low:{form}}", f"{high:{form}}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
