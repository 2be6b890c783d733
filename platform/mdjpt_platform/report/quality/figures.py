"""Trials by recording, bad channels and components by recording, amplitudes by recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.preprocess.ica import LABELS
from mdjpt_platform.report.quality.inputs import Heard, Quality
from mdjpt_platform.report.quality.signal import MANY, ica
from mdjpt_platform.report.style import GREY, INK, PALE, PALETTE, Picture, picture, short, soft_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED, ORANGE = PALETTE[0], PALETTE[1], PALETTE[4]
WIDE = 40
"""Trials up to which the two grids stand side by side."""
PER_ROW = 64
"""Recordings in a row of a bar chart: more would leave no room for their names."""
LOWEST_UV = 0.01


def trial_grid(quality: Quality) -> Picture:
    """A cell a trial: how long it is, how many of its channels were replaced, whether it was left out or is absent."""
    numbers = sorted(quality.trials["trial"].unique())
    shape = (len(quality.recordings), len(numbers))
    seconds, bad = np.full(shape, np.nan), np.full(shape, np.nan)
    row = {one.id: place for place, one in enumerate(quality.recordings)}
    column = {number: place for place, number in enumerate(numbers)}
    lost = []
    for one in quality.trials.itertuples():
        place = row[one.recording], column[one.trial]
        if one.dropped:
            lost.append(place)
        else:
            seconds[place], bad[place] = one.seconds, len(one.bad) / len(quality.manifest.channels)
    many = list(zip(*np.nonzero(np.nan_to_num(bad) > MANY), strict=True))
    beside = len(numbers) <= WIDE
    tall = min(16.0, max(1.2, (0.14 if shape[0] > 40 else 0.22) * shape[0])) + 0.7
    longest = float(np.nanmax(seconds))

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1 if beside else 2, 2 if beside else 1, squeeze=False).ravel()
        _cells(figure, axes[0], seconds, (0.0, longest * 1.8), "GnBu", "seconds of the trial", quality, numbers)
        _cells(figure, axes[1], 100 * bad, (0.0, max(20.0, 100 * float(np.nanmax(bad)))), "OrRd",
               "channels replaced (%)", quality, numbers)  # fmt: skip
        size = min(7.0, 300 / shape[1] / (2 if beside else 1), 60 * tall / shape[0])
        for place in axes:
            for marks, sign in ((lost, "x"), (many, ".")):
                if marks:
                    y, x = np.array(marks).T
                    place.plot(x, y, sign, color=RED if sign == "x" else INK, markersize=size, linestyle="none")

    caption = (
        "A row a recording, a column a trial by its position in the file. Hatched: absent. Red cross: left out of the "
        f"store. Dark dot: more than {100 * MANY:.0f} % of the channels replaced."
    )
    alt = f"Seconds and replaced channels of {shape[1]} trials in {shape[0]} recordings"
    return picture(draw, (10, tall if beside else 2 * tall), alt, caption, raster=True)


def _cells(
    figure: Figure, axes: Axes, values: NDArray[np.float64], limits: tuple[float, float], cmap: str, title: str,
    quality: Quality, numbers: Sequence[int],
) -> None:  # fmt: skip
    axes.patch.set(facecolor="#f4f5f7", hatch="//////", edgecolor=PALE, linewidth=0)
    shown = axes.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest")
    edges = np.arange(-0.5, max(values.shape) + 0.5)
    if values.shape[1] <= WIDE and values.shape[0] <= WIDE:
        axes.vlines(edges[: values.shape[1] + 1], -0.5, values.shape[0] - 0.5, color="white", linewidth=0.8)
        axes.hlines(edges[: values.shape[0] + 1], -0.5, values.shape[1] - 0.5, color="white", linewidth=0.8)
    every = math.ceil(len(numbers) / (14 if len(numbers) <= WIDE else 32))
    axes.set_xticks(range(0, len(numbers), every), [f"{n}" for n in numbers[::every]])
    small = len(quality.recordings) > 40
    names = [short(quality.name(one.id), 18) for one in quality.recordings]
    axes.set_yticks(range(len(names)), names, fontsize=6 if small else 8)
    axes.tick_params(length=0)
    axes.set_title(title[0].upper() + title[1:])
    axes.set_xlabel("trial")
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02, aspect=24, anchor=(0, 1)).outline.set_visible(False)


def counts_plot(quality: Quality) -> Picture:
    """Channels replaced in the mean trial, and components of the ICA by label, a bar a recording."""
    groups = dict(list(quality.trials.groupby("recording")["bad"]))
    bad = {one.id: float(np.mean([len(names) for names in groups[one.id]])) for one in quality.recordings}
    parts = {one.id: ica(one) for one in quality.recordings}
    found = {str(part.get("label", "other")) for own in parts.values() for part in own}
    labels = [label for label in LABELS if label in found] + sorted(found - set(LABELS))
    tint = {label: PALETTE[place % len(PALETTE)] for place, label in enumerate((*LABELS, *sorted(found - set(LABELS))))}
    most = max((len(own) for own in parts.values()), default=0)

    def bars(axes: Axes, shown: Sequence[Heard]) -> None:
        axes.bar(range(len(shown)), [bad[one.id] for one in shown], color=BLUE, width=0.75)
        axes.axhline(MANY * len(quality.manifest.channels), color=RED, linestyle=(0, (4, 3)), linewidth=1)
        axes.set_ylim(0, max(1.1 * max(bad.values()), 1.1 * MANY * len(quality.manifest.channels), 1))
        axes.set_ylabel("channels\nreplaced")

    def stacks(axes: Axes, shown: Sequence[Heard]) -> None:
        base = np.zeros(len(shown))
        for removed in (True, False):
            for label in labels:
                own = [parts[one.id] for one in shown]
                height = [sum(p.get("label") == label and bool(p.get("removed")) == removed for p in o) for o in own]
                name = f"{label}, {'removed' if removed else 'kept'}"
                axes.bar(range(len(shown)), height, bottom=base, color=tint[label], width=0.75,
                         alpha=1.0 if removed else 0.28, label=name)  # fmt: skip
                base += np.array(height)
        axes.set_ylim(0, most * 1.05)
        axes.set_ylabel("components")

    chunks = _chunks(quality)
    kinds = (bars, stacks) if most else (bars,)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(chunks) * len(kinds), 1, squeeze=False)[:, 0]
        for place, axes in enumerate(panels):
            shown = chunks[place // len(kinds)]
            kinds[place % len(kinds)](axes, shown)
            _by_recording(axes, quality, shown)
        if most:
            handles, names = panels[1].get_legend_handles_labels()
            kept = [(h, n) for h, n in zip(handles, names, strict=True) if any(bar.get_height() for bar in h)]
            figure.legend([h for h, _ in kept], [n for _, n in kept], loc="outside upper center", ncols=5)

    caption = (
        "Blue: channels replaced in the mean trial (dashed: a fifth of them)."
        + (" Below: components by label, the removed ones in full colour." if most else "")
    )  # fmt: skip
    alt = "Replaced channels and removed components by recording"
    return picture(draw, (10, 0.6 + 2.3 * len(chunks) * len(kinds)), alt, caption)


def amplitude_plot(quality: Quality) -> Picture | None:
    """Range of |x| of every recording, before and after the recipe."""
    if not any(one.before or one.after for one in quality.recordings):
        return None
    chunks = _chunks(quality)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(chunks), 1, squeeze=False, sharey=True)[:, 0]
        thick = min(3.2, 110 / len(chunks[0]))
        for axes, shown in zip(panels, chunks, strict=True):
            for stage, colour, shift in (("before", GREY, -0.2), ("after", BLUE, 0.2)):
                for x, one in enumerate(shown):
                    found = getattr(one, stage)
                    if found is None:
                        continue
                    q = {share: max(value, LOWEST_UV) for share, value in found["quantiles"].items()}
                    axes.plot([x + shift] * 2, [q["1"], q["99"]], color=colour, linewidth=thick / 3)
                    axes.plot([x + shift] * 2, [q["25"], q["75"]], color=colour, linewidth=thick, solid_capstyle="butt")
                    axes.plot([x + shift], [q["50"]], "o", color="white", markersize=0.6 * thick, zorder=3)
                    axes.plot([x + shift], [q["99.9"]], "_", color=colour, markersize=1.25 * thick)
                axes.plot([], [], color=colour, linewidth=3.2, label=f"{stage} the recipe")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_ylabel("|x| (µV)")
            axes.axhline(100, color=RED, linestyle=(0, (4, 3)), linewidth=1)
            _by_recording(axes, quality, shown)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)

    caption = (
        "Distance of the samples from the mean of their four seconds, all channels: median (white), middle half (thick)"
        ", 98 % (thin), 99.9 % (tick). Dashed: 100 µV. Before the subject's scaling."
    )
    return picture(draw, (10, 0.6 + 2.8 * len(chunks)), "Amplitudes by recording, before and after", caption)


def _chunks(quality: Quality) -> list[Sequence[Heard]]:
    count = math.ceil(len(quality.recordings) / PER_ROW)
    size = math.ceil(len(quality.recordings) / count)
    return [quality.recordings[start : start + size] for start in range(0, len(quality.recordings), size)]


def _by_recording(axes: Axes, quality: Quality, shown: Sequence[Heard]) -> None:
    names = [short(quality.name(one.id), 18) for one in shown]
    upright = len(names) > 24 or max(map(len, names)) > 4
    axes.set_xticks(
        range(len(names)), names, rotation=90 if upright else 0, fontsize=6.5 if len(names) > 40 else 8
    )  # fmt: skip
    axes.set_xlim(-0.7, max(len(names), 8) - 0.3)
    soft_grid(axes)
