"""Figures of comparisons: forest of differences, lines by subject, scores by target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdjpt_platform.report.study.contrasts import Contrast
from mdjpt_platform.report.style import GREY, INK, MARKERS, PALETTE, Picture, colours, picture, short, soft_grid
from mdjpt_platform.report.wording import capital, p_value
from mdjpt_platform.study.interval import Float, points
from mdjpt_platform.study.scores import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED = PALETTE[0], PALETTE[1]
PER_ROW = 4
MOST_PANELS = 24


def forest_plot(contrast: Contrast) -> Picture:
    """Differences to the base: combined, and by target beneath where there are several."""
    rows: list[tuple[str, float, float, float, str, bool]] = []
    for pairing in contrast.pairings:
        one = pairing.comparison
        d = one.difference
        p = f"{points(d.value)} [{points(d.low)}, {points(d.high)}]   p {_equals(one.p_holm)}"
        rows.append((short(one.arm, 34), d.value, d.low, d.high, p, True))
        if len(pairing.by_target) > 1:
            for target, e in pairing.by_target.items():
                rows.append((short(target, 30), e.value, e.low, e.high, "", False))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (_, value, low, high, text, whole) in enumerate(rows):
            colour = BLUE if whole else GREY
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2.4 if whole else 1.3,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot([100 * value], [place], "D" if whole else "o", color=colour, markersize=7 if whole else 4.5,
                      markeredgecolor="white", markeredgewidth=0.7, zorder=3)  # fmt: skip
            axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        for label, (*_, whole) in zip(axes.get_yticklabels(), rows, strict=True):
            label.set(color=INK if whole else GREY, fontsize=9 if whole else 8)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(f"difference to {short(contrast.base, 40)} (points)")
        axes.tick_params(axis="y", length=0)
        soft_grid(axes, "x")

    several = any(len(one.by_target) > 1 for one in contrast.pairings)
    caption = (
        f"Paired differences to {contrast.base} with 95 % intervals; p after Holm over the family."
        + (" Diamonds: all targets together; grey: single targets." if several else "")
    )  # fmt: skip
    alt = f"Differences of {len(contrast.pairings)} levels of {contrast.factor} to {contrast.base}"
    return picture(draw, (10, 0.8 + 0.3 * len(rows)), alt, caption)


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") or not math.isfinite(p) else f"= {text}"


def level_plot(contrast: Contrast, metric: str, chance: float) -> Picture:
    """Scores of all levels: a dot a target, faint dots single seeds."""
    levels = list(dict.fromkeys(contrast.means["level"]))
    targets = sorted(contrast.means["target"].unique())
    tint = colours(targets)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, target in enumerate(targets):
            own = contrast.means[contrast.means["target"] == target]
            shift = (number - (len(targets) - 1) / 2) * min(0.16, 0.6 / len(targets))
            at = own["level"].map({level: place + shift for place, level in enumerate(levels)})
            axes.plot(100 * own["score"], at, ".", color=tint[target], alpha=0.4, markersize=6, markeredgewidth=0)
            mean = own.groupby("level", sort=False)["score"].mean()
            axes.plot(100 * mean, [levels.index(one) + shift for one in mean.index], MARKERS[number % len(MARKERS)],
                      color=tint[target], markersize=6.5, markeredgecolor="white", markeredgewidth=0.7,
                      linestyle="none", label=short(target))  # fmt: skip
        if math.isfinite(chance):
            axes.axvline(100 * chance, color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance")
        axes.set_yticks(range(len(levels)), [short(named(level), 34) for level in levels])
        axes.set_ylim(len(levels) - 0.4, -0.6)
        axes.set_xlabel(f"{metric} (%)")
        axes.tick_params(axis="y", length=0)
        soft_grid(axes, "x")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)

    caption = "Large marks: mean over subjects and seeds on a target; faint dots: single seeds."
    return picture(draw, (8.5, 1.1 + 0.32 * len(levels)), f"{capital(metric)} by {contrast.factor}", caption)


@dataclass(frozen=True)
class Lines:
    """A panel: subjects of every target under two conditions."""

    title: str
    ends: tuple[str, str]
    subjects: Mapping[str, Float]
    """Target -> [subjects, 2]."""


def paired_plot(panels: Sequence[Lines], metric: str) -> Picture:
    """A line a subject, from the base to the arm."""
    shown = panels[:MOST_PANELS]
    columns = min(len(shown), PER_ROW)
    rows = math.ceil(len(shown) / columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, one in zip(grid.ravel(), shown, strict=False):
            _lines(axes, one)
        for axes in grid.ravel()[len(shown) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(f"{metric} (%)")

    caption = (
        "A line a subject, mean over seeds (and over combinations where there are several): blue rises, orange falls, "
        "grey stays. Black: mean of each target."
    )
    left = len(panels) - len(shown)
    caption += f" {left} more comparisons are in the table alone." if left else ""
    size = (max(4.0, 2.5 * columns), 0.3 + 2.8 * rows)
    return picture(draw, size, f"{capital(metric)} of single subjects in {len(shown)} paired comparisons", caption)


def _lines(axes: Axes, one: Lines) -> None:
    for target, values in one.subjects.items():
        for low, high in 100 * values:
            colour = BLUE if high > low else RED if high < low else GREY
            axes.plot([0, 1], [low, high], color=colour, alpha=0.45, linewidth=1, marker=".", markersize=4)
        axes.plot([0, 1], 100 * values.mean(0), color=INK, linewidth=2, marker="D", markersize=4, label=target)
    axes.set_xticks([0, 1], [short(end, 13) for end in one.ends])
    axes.set_xlim(-0.25, 1.25)
    axes.set_title(short(one.title, 26), fontsize=9)
    soft_grid(axes)
