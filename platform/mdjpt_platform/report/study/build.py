"""The page of a study, and the files beside it, in the folder of its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.report.page import filled
from mdjpt_platform.report.study import answer, curves, design, files, numbers
from mdjpt_platform.report.study.contrasts import Contrast, against_controls, contrasts, factors
from mdjpt_platform.report.study.differences import Lines, forest_plot, level_plot, paired_plot
from mdjpt_platform.report.study.growth import Growth, growths, varies
from mdjpt_platform.report.study.headline import Headline, headline, rows_of
from mdjpt_platform.report.study.sweep import MOST, heat_map, sweep_means
from mdjpt_platform.report.wording import lds_name, metric_name, percent, plain, readout_name
from mdjpt_platform.study.interval import counted
from mdjpt_platform.study.run import Study

TEMPLATE, PAGE = "study/page.html.j2", "report.html"


def write_study_report(study: Study) -> Path:
    """Write report.html, and beside it scores.csv, scores.parquet and comparisons.tex; gives the page's path.

    Equal ledgers give equal pages. Raises MdjptError: the folder cannot be written.
    """
    study = design.veiled(study)
    table, folder = study.table(), study.ledger.folder
    page, latex = render(study, table)
    try:
        if len(table):
            files.write_files(folder, table, latex)
        write_atomic(folder / PAGE, page.encode())
    except OSError as error:
        raise MdjptError(f"{folder}: the report cannot be written: {error.strerror or error}") from None
    return folder / PAGE


def render(study: Study, table: pd.DataFrame) -> tuple[str, str]:
    """The page and the LaTeX tables; `table`: `study.table()`."""
    varied, scaled = factors(study), varies(study)
    common = {
        "title": plain(study.config.name, 120),
        "question": answer.question(study, varied, scaled),
        "warnings": answer.warnings(study),
        "axes": design.axes(study),
        "arms": design.arms(study),
        "costs": design.costs(study),
        "machines": design.machines(study.entries.values()),
        "versions": design.versions(study.entries.values()),
        "config": design.configuration(study),
        "failed": sum(entry.state == "failed" for entry in study.entries.values()),
        "pending": len(study.cells) - len(study.entries),
        "total": len(study.cells),
    }
    if table.empty:
        rows = pd.DataFrame()
        page = filled(
            TEMPLATE, **common, results=None, cells=design.cell_rows(study, rows), limits=answer.limits(study, rows)
        )
        return page, files.latex_of(study.config.name, None, (), ())
    table = in_order(study, table)
    head = headline(table, [entry for entry in study.entries.values() if entry.state == "done"])
    rows = rows_of(table, head)
    others = ["sources"] if scaled else []
    compared = contrasts(study, table, head, others)
    grown, more = growths(table, head, list(varied)) if scaled else ([], [])
    if not compared and not grown:
        controls = against_controls(table, head, others)
        compared = [controls] if controls is not None else []
    page = filled(
        TEMPLATE,
        **common,
        results=results(study, table, head, grown, compared) | {"more": more},
        cells=design.cell_rows(study, rows),
        limits=answer.limits(study, rows),
    )
    return page, files.latex_of(study.config.name, head, compared, grown)


def in_order(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The table with its cells as the study lists them, so that arms and corpora are shown in the order of its file."""
    place = {cell.key: number for number, cell in enumerate(study.cells)}
    return table.iloc[table["cell"].map(place).argsort(kind="stable")].reset_index(drop=True)


def results(
    study: Study, table: pd.DataFrame, head: Headline, grown: Sequence[Growth], compared: Sequence[Contrast]
) -> dict[str, Any]:
    """Everything on the page that comes from scores."""
    metric, rows = metric_name(head.metric), rows_of(table, head)
    targets = sorted(map(str, rows["target"].unique()))
    chance = head.level(targets)
    varied = [*factors(study), *(["sources"] if varies(study) else [])]
    main = varied[0] if varied else "method"
    return {
        "chips": chips(study, rows, head),
        "answers": answer.answers(grown, compared),
        "growths": [growth_view(one, metric, chance) for one in grown],
        "contrasts": [contrast_view(one, metric, chance) for one in compared],
        "sweep": sweep(table, head, varied, metric) if len(targets) > 1 else None,
        "paired": paired(grown, compared, metric),
        "others": numbers.other_scores(table, "n_sources" if main == "sources" else main),
        "metric": metric,
    }


def chips(study: Study, rows: pd.DataFrame, head: Headline) -> list[tuple[str, str]]:
    """The study at a glance."""
    targets = rows.groupby("target")["subject"].nunique()
    levels = [f"{percent(head.chance[t])} %" if t in head.chance else "unknown" for t in targets.index]
    states = [entry.state for entry in study.entries.values()]
    found = [
        ("cells", f"{states.count('done')} done, {states.count('failed')} failed, "
                  f"{len(study.cells) - len(states)} not run"),
        ("score", f"{metric_name(head.metric)} ({head.why})"),
        ("read-out", readout_name(head.readout)),
        ("smoothing", lds_name(head.lds)),
        ("chance", levels[0] if len(set(levels)) == 1 else
         ", ".join(f"{name} {level}" for name, level in zip(targets.index, levels, strict=True))),
        ("targets", ", ".join(f"{name} ({counted(int(count), 'subject')})" for name, count in targets.items())),
        ("seeds", f"{rows['seed'].nunique()}"),
        ("code", ", ".join(sorted({e.code for e in study.entries.values() if e.state == "done"}))),
    ]  # fmt: skip
    return found


def growth_view(growth: Growth, metric: str, chance: float) -> Mapping[str, Any]:
    """One setting's figures and tables; without statistics the points alone."""
    return {
        "setting": growth.setting,
        "curve": curves.scaling_plot(growth, metric, chance),
        "sentences": [one.sentence() for one in growth.scaling.steps] if growth.scaling else [],
        "means": numbers.mean_rows(growth),
        "gains": numbers.gain_rows(growth),
        "worth": numbers.value_rows(growth),
        "said": [one.sentence() for one in growth.values],
        "bars": curves.value_plot(growth) if growth.values else None,
        "matrix": curves.combination_plot(growth, metric, chance) if growth.combinations else None,
        "combinations": numbers.combination_rows(growth),
        "notes": [design.discreet(note) for note in growth.notes],
    }


def contrast_view(contrast: Contrast, metric: str, chance: float) -> Mapping[str, Any]:
    """One factor's figures and tables."""
    return {
        "factor": contrast.factor,
        "base": contrast.base,
        "levels": level_plot(contrast, metric, chance) if len(contrast.means) else None,
        "forest": forest_plot(contrast) if contrast.pairings else None,
        "rows": numbers.comparison_rows(contrast),
        "by_target": numbers.target_rows(contrast),
        "notes": [design.discreet(note) for note in contrast.notes],
    }


def sweep(table: pd.DataFrame, head: Headline, varied: Sequence[str], metric: str) -> Mapping[str, Any]:
    """Heat map and table of targets by conditions; too many conditions are left to the table of scores."""
    means = sweep_means(table, head, varied)
    conditions = list(dict.fromkeys(means["condition"]))
    kept = means[means["condition"].isin(conditions[:MOST])]
    return {
        "map": heat_map(kept, metric, head.chance),
        "more": max(0, len(conditions) - MOST),
        "header": conditions[:MOST],
        "rows": numbers.sweep_rows(kept, head),
    }


def paired(grown: Sequence[Growth], compared: Sequence[Contrast], metric: str) -> Any:
    """Lines by subject: smallest against largest number of corpora, and every level against its base."""
    panels = [
        Lines(one.setting or "number of corpora", (corpora(one.ends[0]), corpora(one.ends[1])), one.subjects)
        for one in grown if one.ends is not None
    ]  # fmt: skip
    for one in compared:
        panels += [Lines(p.comparison.arm, (p.comparison.base, p.comparison.arm), p.subjects) for p in one.pairings]
    return paired_plot(panels, metric) if panels else None


def corpora(count: int) -> str:
    """`1 corpus`, `3 corpora`."""
    return f"{count} corp{'us' if count == 1 else 'ora'}"
