"""What every channel looks like, on the scalp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mne
import numpy as np
from numpy.typing import NDArray

from mdjpt_model.montage import canonical
from mdjpt_platform.report.quality.inputs import Look, Quality
from mdjpt_platform.report.quality.signal import bad_shares
from mdjpt_platform.report.quality.spectrum import decibels
from mdjpt_platform.report.scalp import HEAD, flat_positions, outline
from mdjpt_platform.report.style import GREY, INK, Picture, picture, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

FEWEST = 16
"""Channels from which a map between them is drawn; fewer leave too much of it to the imagination and are dots."""


def scalp_plot(quality: Quality) -> Picture | None:
    """The channels by name with how often they were bad; their amplitude, alpha and fast activity as maps."""
    place = flat_positions()
    names = [name for name in quality.manifest.channels if canonical(name) in place]
    if not names:
        return None
    spots = np.array([place[canonical(name)] for name in names])
    bad = 100 * bad_shares(quality).mean(axis=0)[[quality.manifest.channels.index(name) for name in names]]
    maps = _maps([one.after for one in quality.recordings if one.after], names)

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(2, 4)
        _channels(figure, figure.add_subplot(grid[:, :2] if maps else grid[:, 1:3]), spots, names, bad)
        for number, (title, values) in enumerate(maps):
            _field(figure, figure.add_subplot(grid[number // 2, 2 + number % 2]), spots, values, title)

    unplaced = len(quality.manifest.channels) - len(names)
    caption = (
        "Seen from above, nose up. Left: share of the trials in which a channel was bad and replaced. Right: medians "
        "over the recordings after the recipe." + (f" {unplaced} channels without a position." if unplaced else "")
    )
    alt = "Channels on the scalp: how often bad, amplitude, alpha, fast activity"
    return picture(draw, (10, 5.0), alt, caption, raster=True)


def _maps(looks: list[Look], names: list[str]) -> list[tuple[str, Array]]:
    """Title and a value by channel."""
    looks = [look for look in looks if set(names) <= set(look["channels"])]
    if not looks:
        return []
    rows = [[look["channels"].index(name) for name in names] for look in looks]

    def middle(of_look: list[Array]) -> Array:
        return np.asarray(np.median([values[row] for values, row in zip(of_look, rows, strict=True)], axis=0))

    maps = [("SD (µV)", middle([np.array(look["sd"]) for look in looks]))]
    for title, band in (("delta, 1–4 Hz", (1, 4)), ("alpha, 8–13 Hz", (8, 13)), ("fast, 25–40 Hz", (25, 40))):
        maps.append((f"{title} (% of 1–40)", middle([100 * _share(look, band) for look in looks])))
    return maps


def _share(look: Look, band: tuple[float, float]) -> Array:
    """Share of a band in the power of 1 to 40 Hz, by channel."""
    f = np.asarray(look["frequencies"], float)
    power = 10 ** (decibels(look) / 10) * f  # log-spaced bands are as wide as their frequency is high
    inside, whole = (f >= band[0]) & (f <= band[1]), (f >= 1) & (f <= 40)
    share: Array = power[:, inside].sum(axis=1) / power[:, whole].sum(axis=1)
    return share


def _channels(figure: Figure, axes: Axes, spots: Array, names: list[str], bad: Array) -> None:
    outline(axes)
    many = len(names) > 40
    most = max(10.0, float(bad.max()))
    dots = axes.scatter(
        spots[:, 0], spots[:, 1], c=bad, cmap="OrRd", vmin=0, vmax=most, s=300 if many else 480,
        edgecolors=GREY, linewidths=0.6, zorder=3,
    )  # fmt: skip
    for (x, y), name, value in zip(spots, names, bad, strict=True):
        ink = "white" if value > 0.6 * most else INK
        axes.text(x, y, short(name, 6), ha="center", va="center", fontsize=5.5 if many else 7, color=ink, zorder=4)
    axes.set_title("bad in % of the trials", loc="center", fontsize=9)
    figure.colorbar(dots, ax=axes, fraction=0.03, pad=0, aspect=30).outline.set_visible(False)


def _field(figure: Figure, axes: Axes, spots: Array, values: Array, title: str) -> None:
    if len(spots) >= FEWEST:
        low, high = float(values.min()), float(values.max())
        shown, _ = mne.viz.plot_topomap(
            values, spots, axes=axes, show=False, contours=0, cmap="viridis", vlim=(low, high),
            sphere=(0, 0, 0, HEAD), extrapolate="local",
        )  # fmt: skip
    else:
        outline(axes)
        shown = axes.scatter(
            spots[:, 0], spots[:, 1], c=values, cmap="viridis", s=70, edgecolors=GREY, linewidths=0.5, zorder=3
        )
    axes.set_title(title, loc="center", fontsize=8.5, fontweight="normal")
    figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02, aspect=16).outline.set_visible(False)
