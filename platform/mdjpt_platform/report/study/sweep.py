"""Scores by target and condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mdjpt_platform.report.study.headline import Headline, rows_of
from mdjpt_platform.report.style import INK, PALE, Picture, picture, short
from mdjpt_platform.report.wording import MAIN, METHODS, capital, method_name, ordered
from mdjpt_platform.study.scores import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 48
"""Columns that fit on a page."""
BESIDE = 8
"""Conditions up to which they are columns, else rows."""
LEAST = 5.0
"""Points above chance that take the full colour at least, so that noise looks like noise."""


def sweep_means(table: pd.DataFrame, head: Headline, varied: Sequence[str]) -> pd.DataFrame:
    """Columns target, condition, score: every combination of the columns `varied`, then the controls.

    Where nothing varies but the target the only condition is the pre-trained encoder.
    """
    parts = []
    for method in ordered(table["method"], METHODS):
        rows = rows_of(table, head, method)
        if method == MAIN and varied:
            conditions = rows[list(varied)].drop_duplicates()
            conditions = conditions.assign(condition=[_said(one) for one in conditions.itertuples(index=False)])
            if "sources" in varied:
                conditions = conditions.sort_values("sources", key=lambda c: c.str.count(" "), kind="stable")
            order = {name: place for place, name in enumerate(conditions["condition"])}
            rows = rows.merge(conditions, on=list(varied))
            rows = rows.iloc[rows["condition"].map(order).argsort(kind="stable")]
        else:
            rows = rows.assign(condition=method_name(method))
        parts.append(rows.groupby(["target", "condition"], as_index=False, sort=False)["score"].mean())
    return pd.concat(parts, ignore_index=True)


def _said(values: tuple[Any, ...]) -> str:
    return ", ".join(str(named(one)).replace(" ", " + ") for one in values)


def heat_map(means: pd.DataFrame, metric: str, chance: Mapping[str, float]) -> Picture:
    """Targets by conditions; `means`: target, condition, score, in the order of the columns."""
    targets, names = sorted(means["target"].unique()), list(dict.fromkeys(means["condition"]))
    grid = means.pivot_table(index="target", columns="condition", values="score").reindex(index=targets, columns=names)
    values = 100 * grid.to_numpy(np.float64)
    known = all(math.isfinite(chance.get(target, math.nan)) for target in targets)
    shown = values - np.array([[100 * chance[target]] for target in targets]) if known else values
    most = max(float(np.nanmax(np.abs(shown))), LEAST)
    upright = len(names) > BESIDE
    rows, columns = (names, targets) if upright else (targets, names)
    cells, colour = (values.T, shown.T) if upright else (values, shown)
    wide = min(1.5, 7 / len(columns))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.patch.set(facecolor="#f4f5f7", hatch="//////", edgecolor=PALE, linewidth=0)
        image = axes.imshow(
            colour, aspect="auto", cmap="PuOr_r" if known else "GnBu",
            vmin=-most if known else None, vmax=most if known else None,
        )  # fmt: skip
        for (row, column), value in np.ndenumerate(cells):
            if math.isfinite(value) and wide > 0.4:
                dark = known and abs(colour[row, column]) > 0.7 * most
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8.5,
                          color="white" if dark else INK)  # fmt: skip
        turned = 0.08 * max(map(len, columns)) > wide
        axes.set_xticks(range(len(columns)), [short(name, 40) for name in columns], rotation=40 if turned else 0,
                        ha="right" if turned else "center")  # fmt: skip
        axes.set_yticks(range(len(rows)), [short(name, 44) for name in rows])
        axes.set_xlabel("target" if upright else "")
        axes.set_ylabel("" if upright else "target")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, aspect=24, anchor=(0, 1))
        bar.outline.set_visible(False)
        bar.set_label("points above chance" if known else f"{metric} (%)")

    caption = (
        f"{capital(metric)} in %, mean over subjects and seeds"
        + ("; colour: points above the chance of the target." if known else ".")
        + (" Hatched: not run, or not finished." if np.isnan(values).any() else "")
    )
    names_wide = 0.075 * min(44, max(map(len, rows)))
    size = (
        min(10.0, 1.8 + names_wide + wide * len(columns)),
        1.2 + (min(0.27, 8 / len(rows)) if upright else 0.42) * len(rows),
    )
    return picture(draw, size, f"{capital(metric)} of {len(targets)} targets under {len(names)} conditions", caption)
