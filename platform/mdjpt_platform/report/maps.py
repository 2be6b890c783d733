"""Confusion matrices and feature maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mdjpt_platform.report.style import GREY, INK, MARKERS, PALETTE, Picture, colours, picture, short
from mdjpt_platform.report.wording import METHODS, lds_name, method_name, ordered, pseudonyms, readout_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_plot(entries: Sequence[Mapping[str, Any]], alt: str, caption: str) -> Picture | None:
    """Matrices side by side: share of a true class in percent, windows below."""
    shown = [one for one in entries if len(one["labels"])]
    if not shown:
        return None
    darkest = max(0.5, *(float(_share(one).max()) for one in shown))
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, one in zip(panels, shown, strict=False):
            _matrix(axes, one, darkest)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)

    most = max(len(one["labels"]) for one in shown)
    side = min(4.6, 2.2 + 0.42 * most)
    return picture(draw, (5.0 * columns, side * rows), alt, caption)


def _share(one: Mapping[str, Any]) -> NDArray[np.float64]:
    counts = np.asarray(one["counts"], float)
    totals = counts.sum(1, keepdims=True)
    share: NDArray[np.float64] = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return share


def _matrix(axes: Axes, one: Mapping[str, Any], most: float) -> None:
    counts, share = np.asarray(one["counts"], float), _share(one)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=most)
    names = [short(label, 14) for label in one["labels"]]
    size = 8.5 if len(names) <= 5 else 7.5 if len(names) <= 7 else 6.5
    for (i, j), value in np.ndenumerate(share):
        text = (
            f"{100 * value:.0f}%\n{counts[i, j]:.0f}" if len(names) <= 5 else f"{100 * value:.0f}\n{counts[i, j]:.0f}"
        )
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=size,
            color="white" if value > 0.55 * most else INK,
            linespacing=1.1,
        )
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=0 if len(names) <= 4 else 45,
        ha="center" if len(names) <= 4 else "right",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.tick_params(length=0)
    axes.set_title(
        f"{method_name(str(one['method']))}, {readout_name(str(one['readout']))}, {lds_name(str(one['lds']))}",
        fontsize=9,
    )
    for spine in axes.spines.values():
        spine.set_visible(False)


def embedding_plot(embedding: pd.DataFrame, target: str) -> Picture | None:
    """Trials as points: a row a method, coloured by corpus (by subject where there is one corpus) and by emotion."""
    known = embedding[np.isfinite(embedding[["x", "y"]].astype(float)).all(axis=1)]
    if known.empty:
        return None
    corpus = known["corpus"] if "corpus" in known else pd.Series(target, index=known.index)
    several = corpus.nunique() > 1
    names = known["subject"].astype(str).map(pseudonyms(known["subject"])) if "subject" in known else corpus
    groupings = [("corpus", corpus) if several else ("subject", names), ("emotion", known["label"].fillna("no label"))]
    methods = ordered(known["method"], METHODS) if "method" in known else [""]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(methods), 2, squeeze=False)
        for row, method in zip(panels, methods, strict=True):
            here = known["method"] == method if method else pd.Series(True, index=known.index)
            for axes, (title, groups) in zip(row, groupings, strict=True):
                every = sorted(groups.astype(str).unique())
                _cloud(axes, known[here], groups[here].astype(str), every)
                axes.set_title(f"{method_name(method)}, by {title}" if method else f"By {title}")

    caption = "One point a trial (mean of its windows): first two principal components. A description, not a test."
    return picture(draw, (10, 3.5 * len(methods)), "Map of the features", caption, raster=len(known) > 400)


def _cloud(axes: Axes, points: pd.DataFrame, groups: pd.Series, every: Sequence[str]) -> None:
    tint = colours(every)
    for place, name in enumerate(every):
        own = points[groups == name]
        axes.scatter(
            own["x"], own["y"], s=16, alpha=0.75, linewidths=0.3, edgecolors="white", color=tint[name],
            marker=MARKERS[(place + place // len(PALETTE)) % len(MARKERS)], label=short(name),
        )  # fmt: skip
    if len(every) <= 14:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2, markerscale=1.3)
    else:
        axes.text(1.0, 1.02, f"{len(every)} groups", transform=axes.transAxes, ha="right", color=GREY, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("component 1")
    axes.set_ylabel("component 2")
