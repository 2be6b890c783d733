"""The course of a prediction, its place in the plane of valence and arousal, and what the recording itself is like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdjpt_model.emod.channels import ELECTRODES
from mdjpt_model.montage import UNIFIED
from mdjpt_platform.report.prediction.inputs import Told
from mdjpt_platform.report.scalp import flat_positions, outline
from mdjpt_platform.report.style import GREY, INK, PALE, PALETTE, RULE, Picture, colours, picture, short, soft_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AFFECT = ("valence", "arousal")
MANY = 1500
"""Windows from which a picture is one of points rather than of lines: it would have megabytes."""
MINUTES = 300.0
"""Seconds from which time is told in minutes."""
Array = NDArray[np.float64]


def course_plot(told: Told) -> Picture:
    """Probabilities of the classes, valence and arousal with their intervals, amplitude, over the time of the file."""
    table = told.windows
    scale, unit = _time(told)
    starts, stops = table["start"].to_numpy(float) / scale, table["stop"].to_numpy(float) / scale
    middles = (starts + stops) / 2
    classes = [name for name in told.labels if f"p_{name}" in table]
    affect = [name for name in AFFECT if name in table]
    tint = colours(told.labels)
    heights = [*([0.3, 1.7] if classes else []), *([1.5] * len(affect)), 0.9]

    def draw(figure: Figure) -> None:
        panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
        panels[-1].set_xlabel(f"time ({unit})")
        for axes in panels:
            for begin, end in told.summary["recording"]["artefacts"]:
                axes.axvspan(begin / scale, end / scale, color=PALE, alpha=0.6, linewidth=0)
        if classes:
            _ribbon(panels.pop(0), told, starts, stops, tint)
            axes = panels.pop(0)
            for name in classes:
                _line(axes, middles, table[f"p_{name}"].to_numpy(float), tint[name], short(name))
            axes.set(ylim=(0, 1), ylabel="probability")
            soft_grid(axes)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=min(6, len(classes)))
        for name, colour in zip(affect, (PALETTE[3], PALETTE[2]), strict=False):
            _affect(panels.pop(0), told, name, middles, colour)
        axes = panels.pop(0)
        _line(axes, middles, table["amplitude_uv"].to_numpy(float), GREY, "")
        axes.set(ylabel="SD (µV)", ylim=(0, None))
        soft_grid(axes)
        axes.set_xlim(float(starts[0]), float(stops[-1]))

    parts = ["Top: the likeliest class. Below it the calibrated probability of each."] if classes else []
    if affect:
        band = " with the interval that the model states" if f"{AFFECT[0]}_low" in table else ""
        parts.append(f"{' and '.join(affect).capitalize()}{band}; −1 and 1 are the ends of the rating scales.")
    parts.append("Bottom: standard deviation of the window after the recipe.")
    if told.summary["recording"]["artefacts"]:
        parts.append("Grey: marked bad in the file, not predicted.")
    size = (10.0, 0.9 + 1.0 * sum(heights))
    return picture(draw, size, "Course of the prediction over the recording", " ".join(parts), raster=len(table) > MANY)


def plane_plot(told: Told) -> Picture | None:
    """The path of the windows through the plane of valence and arousal, early to late."""
    table = told.windows
    if any(name not in table for name in AFFECT):
        return None
    points = table[list(AFFECT)].to_numpy(float)
    scale, unit = _time(told)
    middles = (table["start"].to_numpy(float) + table["stop"].to_numpy(float)) / 2 / scale
    reach = max(1.05, 1.08 * float(np.abs(points).max()))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for line in (axes.axhline, axes.axvline):
            line(0, color=RULE, linewidth=0.8, zorder=0)
        axes.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], color=PALE, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        axes.plot(*points.T, color=PALE, linewidth=0.8, zorder=1)
        shown = axes.scatter(points[:, 0], points[:, 1], c=middles, cmap="viridis", s=14, linewidths=0, zorder=2)
        axes.plot(*points.mean(0), "o", color="white", markeredgecolor=INK, markeredgewidth=1.6, markersize=9, zorder=3)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="valence", ylabel="arousal")
        figure.colorbar(shown, ax=axes, label=f"time ({unit})", fraction=0.045, pad=0.03).outline.set_visible(False)

    caption = "A dot a window, by time; ring: their mean; dashed: the ends of the rating scales."
    return picture(draw, (5.2, 4.4), "Path through the plane of valence and arousal", caption, raster=len(table) > MANY)


def spectrum_plot(told: Told) -> Picture | None:
    """The shape of the spectrum beside those the model was shown."""
    own, shown = told.summary["spectrum"], told.spectrum
    if own is None:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if shown is not None:
            at, mean, sd = (np.asarray(shown[name], float) for name in ("frequencies", "mean", "sd"))
            for times, alpha in ((2, 0.14), (1, 0.22)):
                axes.fill_between(at, mean - times * sd, mean + times * sd, color=PALETTE[0], alpha=alpha, linewidth=0)
            axes.plot(at, mean, color=PALETTE[0], linewidth=1.2, label="recordings it was trained on")
        axes.plot(own["frequencies"], own["power"], color=PALETTE[1], linewidth=1.6, label="this recording")
        axes.set(xlabel="Hz", ylabel="share of the power (dB)")
        axes.legend(loc="upper right")
        soft_grid(axes)

    bands = "; bands: one and two standard deviations between them" if shown is not None else ""
    caption = f"Median over channels after the recipe, as a share of 1 to 45 Hz{bands}."
    return picture(draw, (5.6, 3.6), "Spectrum of the recording", caption)


def sites_plot(told: Told) -> Picture:
    """Which of the model's sites the recording has, and which were replaced."""
    recording = told.summary["recording"]
    wanted = ELECTRODES if told.summary["model"]["family"] == "emod" else UNIFIED
    replaced = {name for trial in recording["quality"]["trials"] for name in trial["bad"]}
    place, names = flat_positions(), set(recording["channels"])
    groups = (
        ([n for n in wanted if n not in names], PALE, PALE, "filled in"),
        ([n for n in wanted if n in names and n not in replaced], PALETTE[0], "white", "recorded"),
        ([n for n in sorted(names) if n in replaced], PALETTE[1], "white", "replaced"),
        ([n for n in sorted(names - set(wanted)) if n not in replaced], "none", PALETTE[0], "recorded beside them"),
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        outline(axes)
        for members, face, edge, label in groups:
            if members:
                x, y = np.array([place[name] for name in members]).T
                axes.scatter(x, y, s=42, facecolors=face, edgecolors=edge, linewidths=0.9, label=label, zorder=3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)

    caption = "Electrodes from above, nose up. Filled in and replaced: made of their neighbours."
    return picture(draw, (3.8, 4.2), "Electrodes of the recording", caption)


def _time(told: Told) -> tuple[float, str]:
    long = float(told.windows["stop"].iloc[-1] - told.windows["start"].iloc[0]) > MINUTES
    return (60.0, "min") if long else (1.0, "s")


def _line(axes: Axes, x: Array, y: Array, colour: str, label: str) -> None:
    """A line that stops where windows are left out; a lone window is a dot."""
    if len(x) == 1:
        axes.plot(x, y, "o", color=colour, label=label)
        return
    axes.plot(*_torn(x, y), color=colour, linewidth=1.4, label=label)


def _torn(x: Array, *columns: Array) -> list[Array]:
    """The columns with NaN where a step is longer than the others."""
    gaps = np.flatnonzero(np.diff(x) > 1.5 * np.diff(x).min()) + 1
    return [np.insert(column, gaps, np.nan) for column in (x, *columns)]


def _affect(axes: Axes, told: Told, name: str, middles: Array, colour: str) -> None:
    table = told.windows
    if f"{name}_low" in table:
        ends = [table[f"{name}_{end}"].to_numpy(float) for end in ("low", "high")]
        if len(middles) == 1:
            axes.vlines(middles, *ends, color=colour, alpha=0.4, linewidth=3)
        else:
            x, low, high = _torn(middles, *ends)
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    _line(axes, middles, table[name].to_numpy(float), colour, "")
    axes.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    axes.set_ylabel(name)
    bottom, top = axes.get_ylim()
    axes.set_ylim(min(-1.05, bottom), max(1.05, top))
    soft_grid(axes)


def _ribbon(axes: Axes, told: Told, starts: Array, stops: Array, tint: dict[str, str]) -> None:
    """A colour for the likeliest class, from the middle between a window and the one before to that after it."""
    labels = list(told.windows["label"])
    middles = (starts + stops) / 2
    step = float(np.diff(starts).min()) if len(starts) > 1 else float(stops[0] - starts[0])
    for label in dict.fromkeys(labels):
        spans = [(middles[k] - step / 2, step) for k, one in enumerate(labels) if one == label]
        axes.broken_barh(spans, (0, 1), facecolors=tint[label], linewidth=0)
    axes.set(ylim=(0, 1), yticks=[], ylabel="class")
    axes.yaxis.label.set(rotation=0, ha="right", va="center")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
