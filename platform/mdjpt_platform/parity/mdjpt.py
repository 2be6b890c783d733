"""mdJPT's vectors: tensors of two rows, both losses, gradients of their sum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdjpt_model.losses import alignment, centroids, inter_subject_contrast
from mdjpt_model.model import MdJPT
from mdjpt_model.released import load_released, our_name
from mdjpt_platform.corpora.npy import open_array
from mdjpt_platform.errors import BadInput
from mdjpt_platform.parity.vectors import gradient_error, load_vectors, off, present, relative, require

_SWITCHES = ("block_output", "ffn_prenorm", "covariance", "covariance_diagonal", "spatial_relu")
_DESCRIBED = (
    "variant", "datasets", "channels", "temperature", "cda_weight", "contrastive", "alignment_unweighted", "total",
    "grad_norm", "switches",
)  # fmt: skip
_KEPT_ROWS = [0, 5]
"""Rows of the full result that the vectors hold."""
_TENSORS = {
    "projected": "projected",
    "mlla": "tokens",
    "cov_features": "latent",
    "features": "maps",
    "embedding": "embedding",
}
"""Name of a tensor in the vectors -> field of Output."""


def compare(prefix: Path, described: dict[str, Any], neighbours: Path | None) -> tuple[dict[str, float], str]:
    """Relative errors by name, and which ranking of channels was used. Raises BadInput."""
    require(described, (*_DESCRIBED, *(f"switches.{name}" for name in _SWITCHES)), prefix, "mdJPT")
    kinds = ("input", *_TENSORS)
    vectors = load_vectors(prefix, (f"{corpus}.{kind}" for corpus in described["datasets"] for kind in kinds))
    ranking, origin = _ranking(prefix, neighbours)
    switches = {name: described["switches"][name] for name in _SWITCHES}
    try:
        model = load_released(present(prefix, ".ckpt"), "released", ranking, **switches)
    except ValueError as error:
        raise BadInput(f"{prefix}.ckpt", "weights", error, "a released checkpoint") from None
    errors, total = _forward(model, described, vectors)
    total.backward()
    errors["gradient_norm"] = gradient_error(model, described["grad_norm"], our_name)
    return errors, origin


def _ranking(prefix: Path, given: Path | None) -> tuple[NDArray[np.int64] | None, str]:
    beside = prefix.parent / "channel_neighbours_released.npy"
    path = given if given is not None else beside
    if given is None and not beside.is_file():
        return None, "recomputed from electrode positions (97 % of the first three agree with the released ranking)"
    try:
        ranking = open_array(path)
    except BadInput as error:
        raise BadInput(path, "neighbours", error.found, "a .npy ranking [60, 60]") from None
    if ranking.shape != (60, 60) or not np.array_equal(np.sort(ranking, axis=1), np.tile(np.arange(60), (60, 1))):
        raise BadInput(path, "neighbours", f"shape {ranking.shape}", "every row a permutation of 0..59")
    return ranking, path.name


def _forward(model: MdJPT, described: dict[str, Any], vectors: dict[str, Tensor]) -> tuple[dict[str, float], Tensor]:
    errors: dict[str, float] = {}
    chosen = model.spec.chosen
    contrast, gamma = [], []
    for name in described["datasets"]:
        windows = vectors[f"{name}.input"]
        side = torch.arange(len(windows)) // (len(windows) // 2)
        out = model(windows, described["channels"][name], side)
        for key, attribute in _TENSORS.items():
            found, expected = getattr(out, attribute), vectors[f"{name}.{key}"]
            if len(found) != len(expected):
                found = found[_KEPT_ROWS]
            errors[f"{name}.{attribute}"] = relative(found, expected)
        loss = inter_subject_contrast(out.embedding, described["temperature"])
        errors[f"{name}.contrast"] = off(loss, described["contrastive"][name])
        contrast.append(loss)
        gamma.append(centroids(out.latent, 2, chosen.covariance, chosen.covariance_diagonal))
    aligned = alignment(torch.cat(gamma))
    total = torch.stack(contrast).sum() + described["cda_weight"] * aligned
    errors["alignment"] = off(aligned, described["alignment_unweighted"])
    errors["total"] = off(total, described["total"])
    return errors, total
