"""Where trials lie in the plane of valence and arousal, and where a read-out puts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mdjpt_platform.report.style import INK, RULE, Picture, colours, picture, short
from mdjpt_platform.report.wording import LDS, MAIN, READOUTS, capital, lds_name, method_name, ordered, readout_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUE, ANSWERED = ["valence", "arousal"], ["answered_valence", "answered_arousal"]


def plane_plot(answers: pd.DataFrame | None) -> Picture | None:
    """Where the pre-trained encoder puts trials, a panel a read-out; arrows lead from a class to its answers.

    `answers`: columns method, readout, lds, label and the coordinates of TRUE and ANSWERED.
    """
    if answers is None:
        return None
    main = answers[answers["method"] == MAIN]
    if main.empty:
        return None
    lds = ordered(main["lds"], LDS)[0]
    main = main[main["lds"].astype(str) == lds]
    readouts = ordered(main["readout"], READOUTS)
    labels = main["label"].fillna("no label").astype(str)
    tint = colours(sorted(labels.unique()))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(readouts), squeeze=False, sharex=True, sharey=True)[0]
        for axes, readout in zip(panels, readouts, strict=True):
            here = main["readout"] == readout
            for label, colour in tint.items():
                _class(axes, main[here & (labels == label)], colour, short(label))
            for line in (axes.axhline, axes.axvline):
                line(0, color=RULE, linewidth=0.8, zorder=0)
            axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xlabel="valence")
            axes.set_title(capital(readout_name(readout)), fontsize=9)
        panels[0].set_ylabel("arousal")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)

    caption = (
        f"{method_name(MAIN)}, {lds_name(lds)}: faint dots are trials where they were put; an arrow leads from the "
        "mean place of a class to the mean of its answers, which lie the nearer to the middle the less is known."
    )
    size = (min(10, 1 + 4.5 * len(readouts)), 4.6)
    return picture(draw, size, "Answers in the plane of valence and arousal", caption, raster=len(main) > 1500)


def _class(axes: Axes, trials: pd.DataFrame, colour: str, name: str) -> None:
    if trials.empty:
        return
    axes.plot(*trials[ANSWERED].to_numpy(float).T, ".", color=colour, alpha=0.28, markersize=4.5, markeredgewidth=0)
    begin, end = (trials[columns].to_numpy(float).mean(0) for columns in (TRUE, ANSWERED))
    axes.annotate("", end, begin, arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.4})
    axes.plot(*begin, "o", color=colour, markersize=8, markeredgecolor=INK, markeredgewidth=0.6, label=name, zorder=3)
