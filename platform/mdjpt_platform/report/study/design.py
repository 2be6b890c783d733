"""What a study was: axes, how far it came, what it cost, what it ran on. Nothing here names a subject or a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import pandas as pd

from mdjpt_platform import __version__
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.private import without_subjects
from mdjpt_platform.report.build import flat_lines
from mdjpt_platform.report.wording import NONE, percent
from mdjpt_platform.study.grid import groups
from mdjpt_platform.study.interval import counted
from mdjpt_platform.study.ledger import Entry, in_column
from mdjpt_platform.study.run import Study

PACKAGES = ("torch", "ray", "numpy", "scipy", "scikit-learn", "pandas")
DESIGNS = {
    "all_subsets": "every subset of the pool",
    "by_count": "every subset of some sizes",
    "add_one_in": "growing along random orders",
    "leave_one_out": "all of the pool but the target",
    "whole": "the whole pool",
}


@dataclass(frozen=True)
class CellRow:
    """A cell as the page lists it."""

    place: str
    state: str
    score: str
    seconds: str
    attempts: str
    code: str
    reason: str


def cell_rows(study: Study, scores: pd.DataFrame) -> list[CellRow]:
    """Every cell; `scores`: the headline's rows of the trained encoder, if any."""
    entries = study.entries
    means = scores.groupby("cell")["score"].mean() if "cell" in scores else pd.Series(dtype=float)
    columns = [name for name in varying(study) if name != "n_sources"]
    rows = []
    for cell in study.cells:
        entry = entries.get(cell.key)
        place = ", ".join(f"{name} {_value(cell.place[name])}" for name in columns) or "the only cell"
        done = entry is not None and entry.state == "done"
        rows.append(
            CellRow(
                place=place,
                state=entry.state if entry else "not run",
                score=percent(float(means[cell.key])) if cell.key in means.index else NONE,
                seconds=f"{entry.seconds:.1f}" if entry and done else NONE,
                attempts=f"{entry.attempts}" if entry else "0",
                code=entry.code if entry else NONE,
                reason=discreet(entry.reason) if entry else "",
            )
        )
    return rows


def varying(study: Study) -> list[str]:
    """Columns in which cells differ."""
    names = dict.fromkeys(name for cell in study.cells for name in cell.place)
    return [name for name in names if len({repr(cell.place[name]) for cell in study.cells}) > 1]


def _value(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, tuple | list) else str(in_column(value))


def axes(study: Study) -> list[tuple[str, str]]:
    """What varies and by which rule, a line each; values with the number of their cells."""
    config = study.config
    rows = []
    if config.pool is not None:
        rows.append(("sources", f"{DESIGNS[config.pool.design]}: {', '.join(config.pool.corpora)}"))
    elif len({tuple(cell.place["sources"]) for cell in study.cells}) == 1:
        rows.append(("sources", " + ".join(study.cells[0].place["sources"])))
    for name in ("n_sources", "arm", "target", "seed", "split", *config.axes):
        counts = Counter(_value(cell.place[name]) for cell in study.cells)
        if len(counts) > 1 or name in ("target", "seed"):
            rows.append((name, ", ".join(f"{value} ({counted(count, 'cell')})" for value, count in counts.items())))
    rows.append(("budget", f"equal {config.budget}" + (f", {config.hours:g} h" if config.hours else "")))
    return rows


def arms(study: Study) -> list[tuple[str, str]]:
    """What each arm changes, and for networks of others which weights they began with."""
    first = {str(cell.place["arm"]): cell.run.model for cell in reversed(study.cells)}
    found = []
    for name, changes in study.config.arms.items():
        parts = [f"{key} = {value}" for key, value in flat_lines(without_subjects(changes))] or ["the base run"]
        origin = getattr(first.get(name), "provenance", None)
        found.append((name, ", ".join([*parts, origin] if origin else parts)))
    return found


def costs(study: Study) -> list[tuple[str, str]]:
    """Cells, wall-clock and FLOPs as far as they are known."""
    entries = study.entries
    done = [entry for entry in entries.values() if entry.state == "done"]
    shared = groups(study.cells)
    rows = [("cells", f"{len(study.cells)} in {len(shared)} pre-trainings; {len(done)} done")]
    if done:
        times = [entry.seconds for entry in done]
        rows.append(("time of a cell", f"median {median(times):.1f} s, {min(times):.1f} to {max(times):.1f} s"))
        rows.append(("time of all done cells", f"{_hours(sum(times))}, summed over processes"))
        again = sum(entry.attempts - 1 for entry in entries.values())
        rows.append(("repeated attempts", f"{again}, not in these times"))
    rows.append(("pre-training", _flops(study)))
    rows.append(("energy", "not measured"))
    return rows


def _hours(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _flops(study: Study) -> str:
    # imported late: the formula and the stores need PyTorch
    from mdjpt_platform.study.budget import training_flops
    from mdjpt_platform.study.run import sizes_of

    try:
        sizes = sizes_of(study.base)
        total = sum(training_flops(some[0].run, sizes) for some in groups(study.cells).values())
    except (MdjptError, OSError):
        return "FLOP unknown: the stores are not here"
    return f"{total:.3g} FLOP for all cells, by formula (products and convolutions)"


def machines(entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """Hardware of the finished cells, with how many ran on each."""
    kinds = Counter(
        _machine(entry.hardware) if entry.hardware else "not recorded" for entry in entries if entry.state == "done"
    )
    return [(counted(count, "cell"), what) for what, count in kinds.most_common()]


def _machine(found: Mapping[str, str]) -> str:
    parts = [found.get("cpu", "unknown CPU"), f"{found.get('cores', '?')} cores"]
    parts += [found["memory"]] if "memory" in found else []
    return ", ".join([*parts, f"GPU {found['gpu']}" if "gpu" in found else "no GPU used"])


def versions(entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """Code of the cells, stores they read, and packages where the page is written."""
    done = [entry for entry in entries if entry.state == "done"]
    codes = Counter(entry.code for entry in done)
    rows = [("code", ", ".join(f"{code} ({counted(count, 'cell')})" for code, count in sorted(codes.items())) or NONE)]
    stores = sorted({(name, print_) for entry in done for name, print_ in entry.stores.items()})
    rows += [(f"store {name}", print_) for name, print_ in stores]
    rows.append(("mdjpt, where this page was written", __version__))
    for name in PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:  # a laptop that only reads ledgers need not have all
            continue
    return rows


def configuration(study: Study) -> list[tuple[str, str]]:
    """The study file and its base run; how it was run is left out, for it changes no result."""
    tree = study.config.model_dump(mode="json", exclude={"exec"})
    return flat_lines(without_subjects({"study": tree, "base": study.base.run.model_dump(mode="json")}))


def discreet(text: str) -> str:
    """A message without folders and subjects: it goes to readers who have neither."""
    text = re.sub(r"(?<![\w.])(?:[A-Za-z]:|~)?(?:[/\\][^\s/\\:,;]+)*[/\\](?=[^\s/\\])", "…/", text)
    text = re.sub(r"\b(sub-|subject )[\w.-]*[\w-]", r"\1…", text)
    return re.sub(r"\b(subjects )[\w.-]*\d[\w-]*(, [\w.-]*[\w-])*", r"\1…", text)


def veiled(study: Study) -> Study:
    """The study with axes over choices of subjects numbered: `choice 1`, `choice 2`, ..."""
    axes = [name for name in study.config.axes if _of_subjects(name)]
    chosen = {name: list(dict.fromkeys(repr(cell.place[name]) for cell in study.cells)) for name in axes}
    cells = tuple(
        replace(cell, place={**cell.place}
                | {name: f"choice {chosen[name].index(repr(cell.place[name])) + 1}" for name in axes})
        for cell in study.cells
    )  # fmt: skip
    return replace(study, cells=cells)


def _of_subjects(field: str) -> bool:
    return bool({"subjects", "only"} & set(field.split(".")))
