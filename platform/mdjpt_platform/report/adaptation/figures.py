"""The learning curve, and every person at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.report.adaptation.wording import NAMES, SPOKEN, Told, counted, main_of, methods_of, sizes_of
from mdjpt_platform.report.style import GREY, INK, MARKERS, METHOD_COLOURS, PALE, PALETTE, Picture, picture, soft_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TINT = {
    "frozen": METHOD_COLOURS["trained"], "fine_tuned": PALETTE[3], "given": PALETTE[2],
    "untrained": METHOD_COLOURS["random"], "de": METHOD_COLOURS["de"],
}  # fmt: skip
UNITS = {"window": "Single windows", "trial": "Whole trials"}
DASHES = (0, (4, 3))


def curve_plot(told: Told) -> Picture:
    """Score over the size of the calibration, by window and by trial."""
    methods, sizes = methods_of(told.curve), sizes_of(told.curve)
    chance, by = float(told.curve["chance"].iloc[0]), told.result["settings"]["by"]
    places = {0: 0.0} | {size: 1.0 + np.log2(size) for size in sizes}
    if "given" not in methods:
        places.pop(0)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(UNITS), sharey=True, squeeze=False)[0]
        for axes, (unit, title) in zip(panels, UNITS.items(), strict=True):
            for number, method in enumerate(methods):
                _line(axes, told, method, unit, places, (number - (len(methods) - 1) / 2) * 0.05)
            axes.axhline(chance, color=INK, linestyle=DASHES, linewidth=1, zorder=1)
            axes.set_title(title)
            axes.set_xticks(list(places.values()), [str(size) for size in places])
            axes.set_xlim(min(places.values()) - 0.3, max(places.values()) + 0.3)
            axes.set_xlabel("labelled subjects" if by == "corpus" else "labelled trials a class")
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
            soft_grid(axes)
        panels[0].set_ylabel("balanced accuracy (%)")
        panels[0].plot([], [], color=INK, linestyle=DASHES, linewidth=1, label="chance")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(methods) + 1)

    draws = told.result["settings"]["draws"] if told.result["settings"]["order"] == "random" else 1
    many = f", each the mean of {draws} draws" if draws > 1 else ""
    caption = (
        f"Means over {told.result['people']} people{many}; bars are 95 % bootstrap intervals over people, set a little "
        "apart to be seen. All sizes are tested on the same trials, none of which calibrated. Dashed: chance."
    )
    return picture(draw, (9.6, 3.7), "Score over the number of labelled trials, by method", caption)


def _line(axes: Axes, told: Told, method: str, unit: str, places: dict[int, float], shift: float) -> None:
    curve = told.curve
    part = curve[(curve["method"] == method) & (curve["unit"] == unit)].sort_values("n")
    x = np.array([places[int(n)] for n in part["n"]]) + shift
    y, low, high = (part[name].to_numpy(float) for name in ("value", "low", "high"))
    colour, marker = TINT[method], MARKERS[list(NAMES).index(method)]
    if method == "given":
        axes.plot([x[0], max(places.values())], [y[0]] * 2, color=colour, linewidth=1, linestyle=":", zorder=2)
    axes.vlines(x, low, high, color=colour, linewidth=1.8, alpha=0.75, zorder=2)
    axes.plot(x, y, marker=marker, color=colour, linewidth=1.6, markersize=6, markeredgecolor="white",
              markeredgewidth=0.8, label=NAMES[method], zorder=4 if method == main_of(curve) else 3)  # fmt: skip


def people_plot(told: Told) -> Picture | None:
    """Every person at the largest calibration: the adapted encoder against each other method."""
    main, size = main_of(told.curve), max(sizes_of(told.curve))
    wide = told.subjects[(told.subjects["unit"] == "window") & told.subjects["n"].isin((size, 0))]
    wide = wide.pivot_table(index="subject", columns="method", values="value")
    others = [name for name in methods_of(told.curve) if name != main and name in wide]
    if main not in wide or not others or len(wide) < 2:
        return None
    chance = float(told.curve["chance"].iloc[0])
    points = wide[[main, *others]].to_numpy(float)
    low, high = min(np.nanmin(points), chance) - 0.04, max(np.nanmax(points), chance) + 0.04

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(others), squeeze=False, sharex=True, sharey=True)[0]
        for axes, other in zip(panels, others, strict=True):
            axes.plot([low, high], [low, high], color=PALE, linewidth=1, zorder=0)
            for line in (axes.axhline, axes.axvline):
                line(chance, color=GREY, linestyle=DASHES, linewidth=0.8, zorder=0)
            axes.plot(wide[other], wide[main], "o", color=TINT[main], alpha=0.8, markeredgecolor="white")
            axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel=NAMES[other] + " (%)")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
            soft_grid(axes, "both")
        panels[0].set_ylabel(NAMES[main] + " (%)")

    caption = (
        f"A dot a person, single windows, with {counted(size, told.result['settings']['by'])}. Above the line: "
        f"{SPOKEN[main]} does better. Dashed: chance."
    )
    return picture(draw, (3.2 * len(others) + 0.4, 3.4), "Every person by two methods", caption)
