"""One self-contained HTML page of a run: no address outside itself, everything that comes from data escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.private import without_subjects
from mdjpt_platform.report.figures import loss_curves, score_plot
from mdjpt_platform.report.inputs import ReportInputs, TargetLike
from mdjpt_platform.report.maps import confusion_plot, embedding_plot
from mdjpt_platform.report.page import filled
from mdjpt_platform.report.plane import plane_plot
from mdjpt_platform.report.scalp import coverage_plot
from mdjpt_platform.report.style import Picture
from mdjpt_platform.report.summary import Finding, findings, leaks_by_design
from mdjpt_platform.report.tables import (
    ResultTable,
    corpus_rows,
    headline_keys,
    headlines,
    metrics_of,
    result_table,
    subject_rows,
    test_rows,
)
from mdjpt_platform.report.wording import (
    LDS,
    MAIN,
    METHODS,
    READOUTS,
    lds_name,
    method_name,
    metric_name,
    ordered,
    plain,
    readout_name,
)

TEMPLATE = "template.html.j2"


@dataclass(frozen=True)
class SubjectTable:
    """Scores by subject for one read-out."""

    title: str
    methods: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Comparisons:
    """Paired comparisons in one metric."""

    metric: str
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class TargetView:
    """A target as the template needs it."""

    name: str
    anchor: str
    tables: list[ResultTable]
    """Of the headline metrics, which the findings and all that follows speak of."""
    others: list[ResultTable]
    findings: list[Finding]
    published: bool
    seen: bool
    """Whether the corpus took part in the pre-training."""
    notes: list[str]
    scores: Picture | None
    other_scores: list[Picture]
    plane: Picture | None
    tests: list[Comparisons]
    subjects: list[SubjectTable]
    confusion: Picture | None
    other_confusions: list[Picture]
    embedding: Picture | None


def build_report(inputs: ReportInputs, out: str | Path) -> Path:
    """Write the page to `out` (whole or not at all) and give its path. Equal inputs give equal bytes.

    Raises MdjptError: `out` cannot be written.
    """
    out = Path(out)
    page = render(inputs)
    try:
        write_atomic(out, page.encode())
    except OSError as error:
        raise MdjptError(f"{out}: the report cannot be written: {error.strerror or error}") from None
    return out


def render(inputs: ReportInputs) -> str:
    """The page as text."""
    targets = [target_view(one, number, inputs.config.get("sources")) for number, one in enumerate(inputs.targets, 1)]
    return filled(
        TEMPLATE,
        title=plain(inputs.title, 120),
        targets=targets,
        published=any(target.published for target in targets),
        atlas=None if inputs.atlas is None else embedding_plot(inputs.atlas, "all corpora"),
        corpora=corpus_rows(inputs.corpora),
        labels=[(c.name, list(c.labels.items()), sum(c.labels.values())) for c in inputs.corpora if c.labels],
        failed=sum(len(c.failed) for c in inputs.corpora),
        coverage=coverage_plot([c for c in inputs.corpora if c.channels]),
        losses=loss_curves(inputs.history, inputs.contrast_chance),
        training=training_facts(inputs.history),
        config=flat_lines(without_subjects(inputs.config)),
        identities=list(inputs.identities.items()),
        versions=list(inputs.versions.items()),
    )


def target_view(target: TargetLike, number: int, sources: Sequence[str] | None = None) -> TargetView:
    """Everything the page shows of one target; `sources` are the corpora of the pre-training."""
    first_metrics = headlines(target.scores)
    metrics = [*first_metrics, *(one for one in metrics_of(target.scores) if one not in first_metrics)]
    tables = [] if target.scores is None else [result_table(target.scores, metric) for metric in metrics]
    plots = [] if target.scores is None else [score_plot(target.scores, target.subjects, metric) for metric in metrics]
    compared = [Comparisons(metric_name(one), test_rows(target.tests, one)) for one in first_metrics]
    pictures = [plot for plot in plots if plot is not None]
    first, others = confusions(target)
    embedding = None if target.embedding is None else embedding_plot(target.embedding, target.target)
    return TargetView(
        name=plain(target.target),
        anchor=f"target-{number}",
        tables=tables[: len(first_metrics)],
        others=tables[len(first_metrics) :],
        findings=findings(target),
        published=leaks_by_design(target),
        seen=target.target in (sources or ()),
        notes=[str(note) for note in target.notes],
        scores=pictures[0] if pictures else None,
        other_scores=pictures[1:],
        plane=plane_plot(target.affect),
        tests=[one for one in compared if one.rows],
        subjects=[table for metric in first_metrics for table in subject_tables(target, metric)],
        confusion=first,
        other_confusions=others,
        embedding=embedding,
    )


def subject_tables(target: TargetLike, metric: str) -> list[SubjectTable]:
    """Scores by subject of every read-out the summary speaks about."""
    assert target.scores is not None, "metrics come from the scores"
    found = []
    for readout, lds in headline_keys(target.scores, metric):
        methods, rows = subject_rows(target, metric, readout, lds)
        if rows:
            title = f"{metric_name(metric)}, {readout_name(readout)}, {lds_name(lds)}"
            found.append(SubjectTable(title, methods, rows))
    return found


def confusions(target: TargetLike) -> tuple[Picture | None, list[Picture]]:
    """The pre-trained encoder without smoothing first; then its smoothed ones; then the controls."""
    order = {name: place for place, name in enumerate(ordered([one["readout"] for one in target.confusion], READOUTS))}
    by_group: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in sorted(target.confusion, key=lambda one: order[str(one["readout"])]):
        by_group.setdefault((str(one["method"]), str(one["lds"])), []).append(one)
    methods = ordered([method for method, _ in by_group], METHODS)
    keys = [(m, kind) for m in methods for kind in ordered([k for _, k in by_group], LDS) if (m, kind) in by_group]
    keys = [key for key in keys if key[0] == MAIN or key[1] == "off"]
    drawn = [confusion_plot(by_group[m, k], f"Confusion of {method_name(m)}, {lds_name(k)}", "") for m, k in keys]
    pictures = [one for one in drawn if one is not None]
    return (pictures[0], pictures[1:]) if pictures else (None, [])


def training_facts(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Steps, epochs, time and last losses of a training, as far as the log knows them."""
    table = pd.DataFrame(list(history))
    if table.empty or "step" not in table:
        return []
    facts = [("recorded steps", f"{len(table)}"), ("last step", f"{int(table['step'].max())}")]
    if "epoch" in table and table["epoch"].notna().any():
        facts.append(("epochs", f"{table['epoch'].nunique()}"))
    for column, name in (("time/step", "median time of a step"), ("seconds", "median time of an epoch")):
        if column in table and np.isfinite(table[column].astype(float)).any():
            facts.append((name, f"{table[column].astype(float).median():.3g} s"))
    last = table[table["epoch"] == table["epoch"].iloc[-1]] if "epoch" in table else table.iloc[-1:]
    for key in (name for name in table.columns if name.startswith("loss/")):
        words = plain(key.removeprefix("loss/").replace("contrast.", "contrast, "))
        facts.append((f"last epoch, {words}", f"{last[key].astype(float).mean():.4g}"))
    return facts


def flat_lines(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested configuration as (a.b, value) lines."""
    if isinstance(tree, Mapping) and tree:
        return [line for key, value in tree.items() for line in flat_lines(value, f"{prefix}{key}.")]
    if isinstance(tree, Mapping):
        return [(prefix[:-1], "–")] if prefix else []
    return [(prefix[:-1], ", ".join(map(str, tree)) if isinstance(tree, list | tuple) else str(tree))]
