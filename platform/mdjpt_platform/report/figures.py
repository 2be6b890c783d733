"""Loss curves and scores with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mdjpt_platform.report.style import (
    INK,
    MARKERS,
    METHOD_COLOURS,
    PALE,
    PALETTE,
    Picture,
    colours,
    picture,
    short,
    soft_grid,
)
from mdjpt_platform.report.wording import (
    AGREEMENT,
    LDS,
    METHODS,
    READOUTS,
    capital,
    lds_name,
    method_name,
    metric_name,
    ordered,
    readout_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONTRAST, CHANCE = "loss/contrast.", "chance/contrast."
JOINT = {
    "loss/alignment": "Alignment loss",
    "loss/adversary": "Loss of the adversary",
    "loss/affect": "Valence-arousal contrast",
    "loss/total": "Total loss",
}
BINS = 100
"""Points a loss curve is reduced to."""


def loss_curves(history: Sequence[Mapping[str, Any]], chance: Mapping[str, float]) -> Picture | None:
    """Contrastive loss by corpus with its chance level, and the losses over all corpora, over optimiser steps."""
    table = pd.DataFrame(list(history))
    if table.empty or "step" not in table:
        return None
    corpora = [name.removeprefix(CONTRAST) for name in table.columns if name.startswith(CONTRAST)]
    others = [name for name in JOINT if name in table and table[name].notna().any()]
    if not corpora and not others:
        return None
    levels = {name: float(table[CHANCE + name].dropna().iloc[-1]) for name in corpora if CHANCE + name in table}
    levels |= {name: float(level) for name, level in chance.items() if name in corpora}
    colour = colours(corpora)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(
            1, bool(corpora) + len(others), squeeze=False, width_ratios=[1.6] * bool(corpora) + [1] * len(others)
        )[0]
        for name in corpora:
            _curve(panels[0], table, CONTRAST + name, colour[name], short(name))
        for level in sorted(set(levels.values())):
            whose = [name for name in corpora if levels.get(name) == level]
            panels[0].axhline(
                level, color=colour[whose[0]] if len(whose) == 1 else INK, linestyle=(0, (4, 3)), linewidth=1
            )
        if corpora:
            panels[0].set_title("Contrastive loss by corpus")
            panels[0].set_ylabel("loss (nats)")
            if levels:
                panels[0].plot([], [], color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance, ln(windows − 1)")
            figure.legend(
                *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(6, len(corpora) + 1)
            )
        for axes, name in zip(panels[bool(corpora) :], others, strict=True):
            _curve(axes, table, name, INK, "")
            axes.set_title(JOINT[name])
        for axes in panels:
            axes.set_xlabel("optimiser step")
            soft_grid(axes)
            axes.margins(x=0.02)

    steps = len(table)
    caption = (
        f"{steps} recorded step{'' if steps == 1 else 's'}: line = mean of neighbouring steps, band = their range. "
        "Dashed = what guessing among the 2V windows of a pair gives; a useful encoder falls clearly below it."
    )
    return picture(draw, (10, 3.4), "Loss curves by corpus", caption)


def _curve(axes: Axes, table: pd.DataFrame, column: str, colour: str, label: str) -> None:
    known = table[["step", column]].astype(float)
    known = known[np.isfinite(known[column])]
    if known.empty:
        axes.plot([], [], color=colour, label=label or None)
        return
    parts = np.array_split(known.to_numpy(), min(BINS, len(known)))
    x, y = np.array([part.mean(0) for part in parts]).T
    low, high = np.array([(part[:, 1].min(), part[:, 1].max()) for part in parts]).T
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, y, color=colour, linewidth=1.5, label=label or None, marker="o" if len(x) < 3 else None, markersize=4)


def score_plot(scores: pd.DataFrame, subjects: pd.DataFrame | None, metric: str) -> Picture | None:
    """Dot and interval a method, read-out and smoothing; faint dots are subjects; dashes are chance."""
    part = scores[scores["metric"] == metric]
    if part.empty:
        return None
    readouts, methods = ordered(part["readout"], READOUTS), ordered(part["method"], METHODS)
    tint = {**{m: PALETTE[(3 + k) % len(PALETTE)] for k, m in enumerate(methods)}, **METHOD_COLOURS}
    people = None if subjects is None or subjects.empty else subjects[subjects["metric"] == metric]
    columns = min(len(readouts), 3)
    rows = math.ceil(len(readouts) / columns)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes, readout in zip(panels, readouts, strict=False):
            here = part[part["readout"] == readout]
            kinds = ordered(here["lds"].astype(str), LDS)
            for place, lds in enumerate(kinds):
                for number, method in enumerate(methods):
                    x = place + (number - (len(methods) - 1) / 2) * 0.8 / max(3, len(methods))
                    _subject_dots(axes, people, (method, readout, lds), x, tint[method])
                    for _, row in here[(here["method"] == method) & (here["lds"].astype(str) == lds)].iterrows():
                        _dot(axes, row, x, tint[method], MARKERS[number % len(MARKERS)])
            _chance(axes, here)
            axes.set_xticks(range(len(kinds)), [lds_name(kind) for kind in kinds])
            axes.set_xlim(-0.55, len(kinds) - 0.45)
            axes.set_title(capital(readout_name(readout)))
            if metric not in AGREEMENT:
                axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
            soft_grid(axes)
        for axes in panels[len(readouts) :]:
            axes.set_visible(False)
        for axes in panels[::columns]:
            axes.set_ylabel(metric_name(metric) + ("" if metric in AGREEMENT else " (%)"))
        for number, method in enumerate(methods):
            panels[0].plot([], [], MARKERS[number % len(MARKERS)], color=tint[method], label=method_name(method))
        panels[0].plot([], [], color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(methods) + 1)

    caption = (
        f"{capital(metric_name(metric))}: large marks are means over subjects with 95 % bootstrap intervals, faint "
        "dots are single subjects, the dashed line is chance (grey band: where 95 % of guessers end up)."
    )
    size, alt = (10, 0.6 + 3.1 * rows), f"{metric_name(metric)} by read-out and method"
    return picture(draw, size, alt, caption, raster=people is not None and len(people) > 1500)


def _dot(axes: Axes, row: pd.Series, x: float, colour: str, marker: str) -> None:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([x, x], [low, high], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    axes.plot(
        [x], [value], marker, color=colour, markersize=6.5, markeredgecolor="white", markeredgewidth=0.8, zorder=4
    )


def _subject_dots(axes: Axes, people: pd.DataFrame | None, key: tuple[str, str, str], x: float, colour: str) -> None:
    if people is None:
        return
    method, readout, lds = key
    own = people[(people["method"] == method) & (people["readout"] == readout) & (people["lds"].astype(str) == lds)]
    shift = 0.06 * np.sin(np.arange(len(own)) * 2.4)
    axes.plot(x + shift, own["value"], ".", color=colour, alpha=0.28, markersize=4.5, markeredgewidth=0, zorder=2)


def _chance(axes: Axes, here: pd.DataFrame) -> None:
    level = float(here["chance"].iloc[0])
    if math.isfinite(level):
        axes.axhline(level, color=INK, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    if {"chance_low", "chance_high"} <= set(here.columns):
        low, high = float(here["chance_low"].min()), float(here["chance_high"].max())
        if math.isfinite(low) and math.isfinite(high):
            axes.axhspan(low, high, color=PALE, alpha=0.45, linewidth=0, zorder=0)
