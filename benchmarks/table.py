"""JSON lines of the benchmarks -> Markdown: times with their spread and ratios, and every other figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SPREAD = ("median_s", "min_s", "max_s")
RATIO = "ratio_to_"

Line = dict[str, Any]


def read(path: Path) -> list[Line]:
    """Lines of a file that `run.py` wrote."""
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines() if text.strip()]


def markdown(lines: Iterable[Line]) -> str:
    """Two tables; one that would be empty is left out."""
    listed = list(lines)
    timed = [row for line in listed if is_timed(line) for row in times(line)]
    others = [row for line in listed if not is_timed(line) for row in plain(line)]
    parts = []
    if timed:
        parts.append(table(("benchmark", "what", "median", "min - max", "ratios, round by round"), timed))
    if others:
        parts.append(table(("benchmark", "figures"), others))
    return "\n\n".join(parts)


def is_timed(line: Line) -> bool:
    """Whether it came from `measure.compare`."""
    figures = line.get("figures")
    return isinstance(figures, dict) and all(isinstance(f, dict) and set(SPREAD) <= f.keys() for f in figures.values())


def times(line: Line) -> Iterator[tuple[str, ...]]:
    facts = ", ".join(f"{key} {short(value)}" for key, value in line.items() if key not in ("benchmark", "figures"))
    for number, (what, figure) in enumerate(line["figures"].items()):
        median, low, high = (seconds(figure[key]) for key in SPREAD)
        ratios = [
            f"{value:.2f} x {key.removeprefix(RATIO)}"
            for key, value in figure.items()
            if key.startswith(RATIO) and key != f"{RATIO}{what}"
        ]
        rest = [f"{key} {short(value)}" for key, value in figure.items() if key not in SPREAD and RATIO not in key]
        name = f"{line['benchmark']} ({facts})" if number == 0 else ""
        yield name, what, median, f"{low} - {high}", ", ".join(ratios + rest)


def plain(line: Line) -> Iterator[tuple[str, ...]]:
    found = dict(flat({key: value for key, value in line.items() if key != "benchmark"}))
    yield line["benchmark"], ", ".join(f"{key} {short(value)}" for key, value in found.items())


def flat(tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dictionaries by dotted name."""
    if not isinstance(tree, dict):
        yield above, tree
        return
    for key, value in tree.items():
        yield from flat(value, f"{above}.{key}" if above else key)


def short(value: Any) -> str:
    """Four digits of a number; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(value: float) -> str:
    """With a unit that leaves digits before the point."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in body)


def insert(page: Path, content: str) -> None:
    """Put `content` between the page's marks. Raises ValueError: a page without them, which is left alone."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"{page}: expected {BEGIN} and after it {END}, once each")
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}", encoding="utf-8")
