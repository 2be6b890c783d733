"""The science of mdJPT: torch and NumPy alone, one device, no cluster.

>>> from mdjpt_model import MdJPT, load_released, inter_subject_contrast, alignment, centroids
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdjpt_model.flops import forward_flops, parameters
    from mdjpt_model.losses import (
        alignment,
        centroids,
        chance_contrast,
        covariance,
        inter_subject_contrast,
        supervised_contrast,
    )
    from mdjpt_model.model import MdJPT, Output
    from mdjpt_model.montage import UNIFIED, projection
    from mdjpt_model.normalisation import Moments, Statistics, standardise, stratified
    from mdjpt_model.pretrained import Pretrained, from_pretrained
    from mdjpt_model.readout import Prediction
    from mdjpt_model.released import load_released
    from mdjpt_model.spec import RELEASED, VARIANTS, ModelSpec, Switches

_HOME = {
    "flops": ("forward_flops", "parameters"),
    "losses": (
        "alignment",
        "centroids",
        "chance_contrast",
        "covariance",
        "inter_subject_contrast",
        "supervised_contrast",
    ),
    "model": ("MdJPT", "Output"),
    "montage": ("UNIFIED", "projection"),
    "normalisation": ("Moments", "Statistics", "standardise", "stratified"),
    "pretrained": ("Pretrained", "from_pretrained"),
    "readout": ("Prediction",),
    "released": ("load_released",),
    "spec": ("RELEASED", "VARIANTS", "ModelSpec", "Switches"),
}
__all__ = [
    "RELEASED", "UNIFIED", "VARIANTS", "MdJPT", "ModelSpec", "Moments", "Output", "Prediction", "Pretrained",
    "Statistics", "Switches", "alignment", "centroids", "chance_contrast", "covariance", "forward_flops",
    "from_pretrained", "inter_subject_contrast", "load_released", "parameters", "projection", "standardise",
    "stratified", "supervised_contrast",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: reading a configuration needs `mdjpt_model.spec` and must not wait for torch."""
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"mdjpt_model.{module}"), name)
    raise AttributeError(f"module 'mdjpt_model' has no attribute {name!r}")
