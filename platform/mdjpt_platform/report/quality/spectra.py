"""Power spectra of all recordings, before and after the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_platform.report.quality.inputs import Look, Quality
from mdjpt_platform.report.quality.spectrum import ALPHA, MAINS, on_grid
from mdjpt_platform.report.style import GREY, PALETTE, Picture, picture, soft_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAR_DB, NAMED = 8.0, 3
"""Mean distance from the median spectrum at which a recording is named, and how many are."""
DEPTH_DB = 70.0
"""How far below its highest point a panel reaches: a filter's stop band would flatten all else."""
TICKS = (1, 2, 5, 10, 20, 50, 100)


def spectra_plot(quality: Quality) -> Picture | None:
    """Spectra of all recordings, their median and spread, before and after."""
    stages = [(stage, [(one.id, getattr(one, stage)) for one in quality.recordings]) for stage in ("before", "after")]
    found = [(stage, [(name, look) for name, look in looks if look]) for stage, looks in stages]
    if not any(looks for _, looks in found):
        return None

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (stage, looks) in zip(panels, found, strict=True):
            axes.set_title(f"{stage[0].upper()}{stage[1:]} the recipe")
            if looks:
                _spectra(axes, [quality.name(name) for name, _ in looks], [look for _, look in looks])
        top = max(float(on_grid([look for _, look in looks])[1].max()) for _, looks in found if looks)
        panels[0].set_ylim(top - DEPTH_DB, top + 4)
        panels[0].set_ylabel("power (dB of 1 µV²/Hz)")

    caption = (
        "Grey: one recording (median over its channels). Blue: median of all recordings and the middle 80 % of them. "
        "Green: alpha. Dotted: 50 and 60 Hz. Coloured: recordings far from the median."
    )
    many = sum(len(looks) for _, looks in found) > 100
    return picture(draw, (10, 4.2), "Power spectra before and after the recipe", caption, raster=many)


def _spectra(axes: Axes, names: Sequence[str], looks: Sequence[Look]) -> None:
    grid, rows = on_grid(looks)
    centre = np.median(rows, axis=0)
    axes.axvspan(*ALPHA, color=PALETTE[2], alpha=0.1, linewidth=0)
    for line in MAINS:
        axes.axvline(line, color=GREY, linestyle=":", linewidth=1)
    axes.plot(grid, rows.T, color=GREY, alpha=0.35 if len(rows) < 40 else 0.15, linewidth=0.7)
    axes.fill_between(grid, *np.percentile(rows, (10, 90), axis=0), color=PALETTE[0], alpha=0.2, linewidth=0)
    axes.plot(grid, centre, color=PALETTE[0], linewidth=2)
    far = np.abs(rows - centre).mean(axis=1)
    odd = [int(place) for place in np.argsort(-far, kind="stable")[:NAMED] if far[place] > FAR_DB and len(rows) > 2]
    for colour, place in zip(PALETTE[1:2] + PALETTE[3:], odd, strict=False):
        axes.plot(grid, rows[place], color=colour, linewidth=1.1, label=names[place])
    if odd:
        axes.legend(loc="lower left")
    axes.set_xscale("log")
    axes.set_xticks([tick for tick in TICKS if grid[0] <= tick <= grid[-1]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlim(grid[0], grid[-1])
    axes.set_xlabel("Hz")
    soft_grid(axes)
