"""How every picture looks, and how it becomes part of a page. No global state of matplotlib is touched."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdjpt_platform.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, PALE, RULE = "#1f2733", "#6b7480", "#c9d0d8", "#e4e8ed"
METHOD_COLOURS = {"trained": "#0072B2", "random": "#7a828c", "de": "#D55E00"}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#332288", "#6b7480")
"""Okabe and Ito's colours, then dark ones of Tol's: told apart with every common colour blindness."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "mdjpt",
}


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    uri: str
    """`data:` address."""
    alt: str
    """What it shows, for people who cannot see it."""
    caption: str
    width: int
    """Pixels at which its letters are as large as the page's."""


def picture(
    draw: Callable[[Figure], None], size: tuple[float, float], alt: str, caption: str, *, raster: bool = False
) -> Picture:
    """Draw a figure of `size` inches as SVG, or as PNG where it has many points. Equal data, equal bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks shows as boxes
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        data = io.BytesIO()
        if raster:
            figure.savefig(data, format="png", dpi=200, metadata={"Software": None})
        else:
            figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    kind = "png" if raster else "svg+xml"
    content = data.getvalue() if raster else _numbered(data.getvalue())
    uri = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return Picture(uri, alt, caption, round(size[0] * 100))


def _numbered(svg: bytes) -> bytes:
    """Clip paths by number: matplotlib names them by a hash of positions whose last bits its layout does not repeat."""
    for number, name in enumerate(dict.fromkeys(re.findall(rb'<clipPath id="(p[0-9a-f]{10})"', svg))):
        svg = svg.replace(name, b"clip%d" % number)
    return svg


def short(text: object, longest: int = 22) -> str:
    """A name as it fits into a picture."""
    return plain(text, longest)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour a name, in order; they repeat after ten, markers then differ."""
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def soft_grid(axes: Axes, axis: str = "y") -> None:
    """Thin lines behind the data."""
    axes.set_axisbelow(True)
    axes.grid(True, axis=axis, color=RULE, linewidth=0.8)  # type: ignore[arg-type]
