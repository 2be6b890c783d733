"""Which of the unified channels a corpus really has, on a scalp seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mdjpt_model.montage import UNIFIED, canonical, electrodes
from mdjpt_platform.report.inputs import CorpusInfo
from mdjpt_platform.report.style import GREY, INK, PALE, Picture, colours, picture, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAD = 0.5
"""Radius of the head's outline, which runs through FPZ, T7, OZ and T8."""


@lru_cache(maxsize=1)
def flat_positions() -> dict[str, tuple[float, float]]:
    """Every 10-05 site by its upper-case name on the plane, seen from above; x right, y front, CZ near the origin.

    The distance from the middle is the angle from the top of a sphere fitted to the 60 sites (azimuthal equidistant).
    """
    names = list(electrodes())
    points = np.array([electrodes()[name] for name in names])
    sites = np.array([electrodes()[name] for name in UNIFIED])
    system = np.column_stack([2 * sites, np.ones(len(sites))])
    centre = np.linalg.lstsq(system, (sites**2).sum(1), rcond=None)[0][:3]
    arms = points - centre
    angle = np.arccos(arms[:, 2] / np.linalg.norm(arms, axis=1))
    flat = arms[:, :2] * (angle / np.maximum(np.hypot(arms[:, 0], arms[:, 1]), 1e-9))[:, None]
    place = dict(zip(names, flat, strict=True))
    x = place["T8"][0] - place["T7"][0]
    front, back = place["FPZ"][1], -place["OZ"][1]
    return {n: (2 * HEAD * p[0] / x, HEAD * p[1] / (front if p[1] > 0 else back)) for n, p in place.items()}


def coverage_plot(corpora: Sequence[CorpusInfo]) -> Picture | None:
    """A scalp a corpus: the 60 unified positions in grey, recorded ones filled, channels beside the 60 as rings."""
    if not corpora:
        return None
    columns = min(4, max(3, len(corpora)))
    rows = math.ceil(len(corpora) / columns)
    tint = colours([corpus.name for corpus in corpora])

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, corpus in zip(panels, corpora, strict=False):
            _scalp(axes, corpus, tint[corpus.name])
        for axes in panels[len(corpora) :]:
            axes.set_visible(False)

    caption = (
        "Channels seen from above, nose up. Filled = recorded, grey = one of the 60 unified positions, filled in "
        "from its nearest recorded neighbours, ring = recorded at a position that is not among the 60."
    )
    return picture(draw, (10, 10 / columns * 1.12 * rows), "Channel coverage by corpus", caption)


def _scalp(axes: Axes, corpus: CorpusInfo, colour: str) -> None:
    place = flat_positions()
    names = {canonical(name) for name in corpus.channels}
    outline(axes)
    absent = np.array([place[name] for name in UNIFIED if name not in names]).reshape(-1, 2)
    present = np.array([place[name] for name in UNIFIED if name in names]).reshape(-1, 2)
    beside = np.array([place[name] for name in sorted(names) if name in place and name not in UNIFIED]).reshape(-1, 2)
    axes.scatter(absent[:, 0], absent[:, 1], s=22, color=PALE, linewidths=0, zorder=2)
    axes.scatter(present[:, 0], present[:, 1], s=30, color=colour, linewidths=0.5, edgecolors="white", zorder=3)
    axes.scatter(beside[:, 0], beside[:, 1], s=24, facecolors="none", edgecolors=colour, linewidths=1.1, zorder=3)
    axes.set_title(short(corpus.name), loc="center", fontsize=9.5, color=INK)
    unplaced = len(names) - len(present) - len(beside)
    text = f"{len(present)} of {len(UNIFIED)}" + (f" + {len(beside)} beside" if len(beside) else "")
    axes.text(
        0,
        -0.63,
        text + (f", {unplaced} unplaced" if unplaced else ""),
        ha="center",
        va="center",
        fontsize=8.5,
        color=GREY,
    )


def outline(axes: Axes) -> None:
    """A head seen from above, nose up, on bare axes of its size."""
    circle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(HEAD * np.cos(circle), HEAD * np.sin(circle), color=GREY, linewidth=1.2, zorder=1)
    axes.plot([-0.07, 0, 0.07], [0.494, 0.57, 0.494], color=GREY, linewidth=1.2, zorder=1)
    for side in (-1, 1):
        ear = side * (HEAD + np.array([0, 0.03, 0.035, 0.03, 0]))
        axes.plot(ear, [0.09, 0.07, 0, -0.07, -0.09], color=GREY, linewidth=1.2)
    axes.set_xlim(-0.62, 0.62)
    axes.set_ylim(-0.7, 0.66)
    axes.set_aspect("equal")
    axes.axis("off")
