"""Figures of scaling: score by number of corpora, gain of one corpus more, value of each corpus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.report.study.growth import Growth
from mdjpt_platform.report.style import GREY, INK, MARKERS, PALE, PALETTE, Picture, colours, picture, short, soft_grid
from mdjpt_platform.report.wording import capital
from mdjpt_platform.study.interval import Estimate, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED = PALETTE[0], PALETTE[1]
FITTED = ("linear", "saturating")
MANY_TARGETS = 6


def scaling_plot(growth: Growth, metric: str, chance: float) -> Picture:
    """Every combination as a point, seeds faint; means by number with intervals; the curve where it is known."""
    found = growth.scaling
    steps = [] if found is None else list(found.steps)
    gains = [(f"{one.before} → {(one.before or 0) + 1}", one.gain) for one in steps]
    if found is not None and found.overall is not None:
        gains.append(("mean", found.overall.gain))
    fitted = found is not None and found.curve.shape in FITTED

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 1 + bool(gains), squeeze=False, width_ratios=[1.9, 1][: 1 + bool(gains)])[0]
        _points(panels[0], growth)
        if found is not None:
            for one in found.means:
                _interval(panels[0], one.count + 0.23, one.mean, INK, "D" if one.count else "s", 100)
            panels[0].plot([], [], "D", color=INK, markersize=5, label="mean, 95 % interval")
            if fitted:
                curve = found.curve
                x, y = np.array(curve.counts) + 0.23, 100 * np.array(curve.fitted[curve.shape])
                panels[0].plot(x, y, color=RED, linewidth=1.5, label=f"fitted, {curve.shape}")
        if math.isfinite(chance):
            panels[0].axhline(100 * chance, color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance")
        counts = sorted({*growth.points["count"], *([one.count for one in found.means] if found else [])})
        panels[0].set_xticks(counts, ["0\nuntrained" if count == 0 else f"{count}" for count in counts])
        panels[0].set_xlim(counts[0] - 0.5, counts[-1] + 0.6)
        panels[0].set_xlabel("corpora in the pre-training")
        panels[0].set_ylabel(f"{metric} (%)")
        panels[0].set_title("Score by number of corpora")
        soft_grid(panels[0])
        if gains:
            _gains(panels[1], gains)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)

    targets = growth.points["target"].nunique()
    counted_in = "subjects and seeds" if growth.points["seed"].nunique() > 1 else "subjects"
    caption = (
        "Large dots: combinations of corpora, mean over subjects and seeds; faint dots: single seeds. Black: mean of "
        f"all combinations of a number; its interval over {counted_in} holds the differences between subjects, so read "
        "changes from the gains (right), which are paired by subject and seed (mean: all steps from one corpus up). "
    )
    if fitted:
        caption += "Line: fitted curve."
    else:
        unknown = found is None or found.curve.shape == "not identifiable"
        caption += f"No curve is drawn: {'none can be identified' if unknown else 'no trend is shown'}."
    rests = f"{counted(len(growth.points), 'training')} on {counted(targets, 'target')}"
    alt = f"{capital(metric)} by number of corpora: {rests}"
    return picture(draw, (10, 4), alt, caption)


def _points(axes: Axes, growth: Growth) -> None:
    targets = sorted(growth.points["target"].unique())
    tint = colours(targets)
    several = 1 < len(targets) <= MANY_TARGETS
    for number, target in enumerate(targets):
        own = growth.points[growth.points["target"] == target]
        order = {one: place for place, one in enumerate(sorted(set(own["sources"]), key=lambda s: (len(s), sorted(s))))}
        spread = {one: _shift(one, list(order)) for one in order}
        colour = tint[target] if several else BLUE
        x = own["count"] + own["sources"].map(spread)
        axes.plot(x, 100 * own["score"], ".", color=colour, alpha=0.35, markersize=5, markeredgewidth=0)
        mean = own.groupby("sources")["score"].mean()
        at = [len(one) + spread[one] for one in mean.index]
        label = short(target) if several else ("combination of corpora" if number == 0 else None)
        axes.plot(
            at, 100 * mean.to_numpy(), MARKERS[number % len(MARKERS)] if several else "o", color=colour, markersize=6,
            markeredgecolor="white", markeredgewidth=0.7, linestyle="none", label=label,
        )  # fmt: skip


def _shift(one: frozenset[str], every: list[frozenset[str]]) -> float:
    """Combinations of one size side by side, left of the mean's place."""
    same = [other for other in every if len(other) == len(one)]
    return (same.index(one) - (len(same) - 1) / 2) * min(0.06, 0.36 / len(same)) - 0.06


def _gains(axes: Axes, gains: list[tuple[str, Estimate]]) -> None:
    for place, (_, one) in enumerate(gains):
        _interval(axes, place, one, RED if place == len(gains) - 1 and "mean" in gains[-1][0] else BLUE, "o", 100)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_xticks(range(len(gains)), [name for name, _ in gains])
    axes.set_xlim(-0.6, len(gains) - 0.4)
    axes.set_ylabel("points")
    axes.set_title("Gain of one corpus more")
    soft_grid(axes)


def value_plot(growth: Growth) -> Picture:
    """A bar a corpus with its interval."""
    values = growth.values
    relative = values[0].relative

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(values))
        axes.barh(places, [100 * one.value.value for one in values], color=BLUE, alpha=0.75, height=0.6)
        for place, one in zip(places, values, strict=True):
            axes.plot([100 * one.value.low, 100 * one.value.high], [place, place], color=INK, linewidth=1.6)
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(places, [short(one.corpus, 30) for one in values])
        axes.invert_yaxis()
        axes.set_xlabel("points against the mean corpus" if relative else "points")
        axes.tick_params(axis="y", length=0)
        soft_grid(axes, "x")

    caption = "Shapley value: what a corpus adds, mean over all orders of adding the corpora, with its 95 % interval."
    caption += (
        " Without an untrained encoder only differences between corpora are known." if relative
        else " The values sum to the score with all corpora less that of the untrained encoder."
    )  # fmt: skip
    return picture(draw, (8, 0.8 + 0.36 * len(values)), f"Shapley values of {len(values)} corpora", caption)


def combination_plot(growth: Growth, metric: str, chance: float) -> Picture:
    """Which corpora a combination holds, and its score."""
    rows, corpora = growth.combinations, growth.corpora
    per_seed = growth.points.groupby(["sources", "seed"])["score"].mean()

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[0.3 + 0.13 * len(corpora), 2])
        for place, one in enumerate(rows):
            held = [at for at, name in enumerate(corpora) if name in one.sources]
            left.plot(range(len(corpora)), [place] * len(corpora), "o", color=PALE, markersize=5)
            left.plot(held, [place] * len(held), "o-", color=INK, markersize=6, linewidth=1.4)
            if one.sources:
                seeds = 100 * per_seed[one.sources].to_numpy()
                right.plot(
                    seeds, [place + 0.24] * len(seeds), ".", color=BLUE, alpha=0.45, markersize=5, markeredgewidth=0
                )
            _interval(right, place - 0.06, one.mean, BLUE if one.sources else GREY, "o", 100, flat=True)
        sizes = [len(one.sources) for one in rows]
        for place in range(1, len(rows)):
            if sizes[place] != sizes[place - 1]:
                for axes in (left, right):
                    axes.axhline(place - 0.5, color=PALE, linewidth=0.8)
        if math.isfinite(chance):
            right.axvline(100 * chance, color=INK, linestyle=(0, (4, 3)), linewidth=1)
        left.set_xticks(range(len(corpora)), [short(name) for name in corpora], rotation=60, ha="left")
        left.xaxis.tick_top()
        left.set_yticks([])
        left.set_xlim(-0.6, len(corpora) - 0.4)
        left.set_ylim(len(rows) - 0.4, -0.6)
        for side in ("left", "bottom", "top"):
            left.spines[side].set_visible(False)
        left.tick_params(length=0)
        right.tick_params(axis="y", length=0)
        right.set_xlabel(f"{metric} (%)")
        soft_grid(right, "x")

    caption = (
        "Left: corpora that a combination holds (none: the untrained encoder). Right: mean with its 95 % interval, "
        "faint dots beneath it single seeds" + (", dashed chance." if math.isfinite(chance) else ".")
    )
    tall = 1.2 + max(0.2, min(0.28, 8.6 / len(rows))) * len(rows)
    return picture(draw, (8.5, tall), f"{capital(metric)} of {len(rows)} combinations of corpora", caption)


def _interval(
    axes: Axes, place: float, one: Estimate, colour: str, marker: str, scale: float, flat: bool = False
) -> None:
    ends, places = [scale * one.low, scale * one.high], [place, place]
    axes.plot(*((ends, places) if flat else (places, ends)), color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    at = (scale * one.value, place) if flat else (place, scale * one.value)
    axes.plot(*at, marker, color=colour, markersize=6, markeredgecolor="white", markeredgewidth=0.8, zorder=4)
