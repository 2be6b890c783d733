"""The registry of preparation steps: each a function of one recording, with keyword parameters that a recipe may set.

A step and everything of its own that decides numbers live in one module, whose source is part of the key of what the
step leaves on disk; what steps share is in `montage`, `signals` and `statistics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mdjpt_platform.preprocess.bad import bad_channels
from mdjpt_platform.preprocess.channels import channels, unit
from mdjpt_platform.preprocess.filters import band_pass, notch, resample
from mdjpt_platform.preprocess.ica import ica
from mdjpt_platform.preprocess.line import line
from mdjpt_platform.preprocess.recentre import euclidean_alignment, riemannian_recentring
from mdjpt_platform.preprocess.reference import average_reference, scale

__all__ = [
    "STEPS",
    "Step",
    "average_reference",
    "bad_channels",
    "band_pass",
    "channels",
    "euclidean_alignment",
    "ica",
    "line",
    "notch",
    "resample",
    "riemannian_recentring",
    "scale",
    "unit",
]


@dataclass(frozen=True)
class Step:
    """A registered step."""

    work: Callable[..., Any]
    stage: Literal["recording", "subject"] = "recording"
    """`recording`: Signals -> Signals. `subject`: trials of all its recordings -> (shift, divisor); must come last."""
    unit: str = ""
    """What the numbers are in afterwards, where that is not microvolts."""
    keep: bool = False
    """Its result is worth keeping on disk, since doing it again is dearer than reading it."""


STEPS: dict[str, Step] = {
    "channels": Step(channels),
    "unit": Step(unit),
    "line": Step(line, keep=True),
    "resample": Step(resample, keep=True),
    "band_pass": Step(band_pass, keep=True),
    "notch": Step(notch, keep=True),
    "bad_channels": Step(bad_channels, keep=True),
    "ica": Step(ica, keep=True),
    "average_reference": Step(average_reference),
    "euclidean_alignment": Step(euclidean_alignment),
    "riemannian_recentring": Step(riemannian_recentring),
    "scale": Step(scale, "subject", "SD of the subject"),
}
