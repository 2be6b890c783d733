"""`mdjpt parity`: are the numbers of a checkpoint the reference's? (Format of the vectors: docs/parity.md.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mdjpt_model.losses import alignment, centroids, inter_subject_contrast
from mdjpt_model.model import MdJPT
from mdjpt_model.released import load_released, our_name
from mdjpt_platform.errors import BadInput

TOLERANCE = 1e-4
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


def parity(prefix: str | Path, neighbours: str | Path | None = None) -> dict[str, Any]:
    """Largest relative error of every tensor, loss and gradient norm of PREFIX.{ckpt,vectors.safetensors,json}.

    A tensor's error is the largest difference over the largest value. Two gradient norms that are both below 1e-5 of
    the largest count as equal: they are rounding (a bias in front of a normalisation has none in exact arithmetic).
    `neighbours` is a .npy ranking [60, 60]; `channel_neighbours_released.npy` beside PREFIX is found by itself.

    Raises BadInput: a file absent or of another kind.
    """
    prefix = Path(prefix)
    described = _description(_present(prefix, ".json"))
    vectors = _vectors(_present(prefix, ".vectors.safetensors"), described["datasets"])
    ranking, origin = _ranking(prefix, neighbours)
    switches = {name: described["switches"][name] for name in _SWITCHES}
    try:
        model = load_released(_present(prefix, ".ckpt"), "released", ranking, **switches)
    except ValueError as error:
        raise BadInput(f"{prefix}.ckpt", "weights", error, "a released checkpoint") from None
    errors, total = _forward(model, described, vectors)
    total.backward()
    errors["gradient_norm"] = _gradients(model, described["grad_norm"])
    worst = max(errors.values())
    return {
        "prefix": prefix.name, "variant": described["variant"], "neighbours": origin, "errors": errors,
        "worst": worst, "tolerance": TOLERANCE, "passed": bool(worst <= TOLERANCE),
    }  # fmt: skip


def _present(prefix: Path, suffix: str) -> Path:
    path = prefix.with_name(prefix.name + suffix)
    if not path.is_file():
        raise BadInput(path, "file", "nothing", f"PREFIX{suffix}")
    return path


def _description(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(path, "content", error, "JSON") from None
    absent = [key for key in _DESCRIBED if not isinstance(described, dict) or key not in described]
    absent += [f"switches.{name}" for name in _SWITCHES if not absent and name not in described["switches"]]
    if absent:
        raise BadInput(path, "kind", f"no {', '.join(absent)}", "the description of mdJPT vectors")
    return dict(described)


def _vectors(path: Path, datasets: list[str]) -> dict[str, Tensor]:
    try:
        vectors = load_file(path)
    except SafetensorError as error:
        raise BadInput(path, "content", error, "a safetensors file") from None
    for name in (f"{corpus}.{kind}" for corpus in datasets for kind in ("input", *_TENSORS)):
        if name not in vectors:
            raise BadInput(path, name, "nothing", "a tensor")
    return vectors


def _ranking(prefix: Path, given: str | Path | None) -> tuple[NDArray[np.int64] | None, str]:
    beside = prefix.parent / "channel_neighbours_released.npy"
    path = Path(given) if given is not None else beside
    if given is None and not beside.is_file():
        return None, "recomputed from electrode positions (97 % of the first three agree with the released ranking)"
    try:
        ranking = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(path, "neighbours", error, "a .npy ranking [60, 60]") from None
    if ranking.shape != (60, 60) or not np.array_equal(np.sort(ranking, axis=1), np.tile(np.arange(60), (60, 1))):
        raise BadInput(path, "neighbours", f"shape {ranking.shape}", "every row a permutation of 0..59")
    return ranking, path.name


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _forward(model: MdJPT, described: dict[str, Any], vectors: dict[str, Tensor]) -> tuple[dict[str, float], Tensor]:
    errors: dict[str, float] = {}
    chosen = model.spec.chosen
    contrast, gamma = [], []
    for name in described["datasets"]:
        windows = vectors[f"{name}.input"]
        side = torch.arange(len(windows)) // (len(windows) // 2)
        out = model(windows, described["channels"][name], side)
        for key, attribute in _TENSORS.items():
            found, expected = getattr(out, attribute).detach(), vectors[f"{name}.{key}"]
            if len(found) != len(expected):
                found = found[_KEPT_ROWS]
            errors[f"{name}.{attribute}"] = _relative(found, expected)
        loss = inter_subject_contrast(out.embedding, described["temperature"])
        errors[f"{name}.contrast"] = _off(loss, described["contrastive"][name])
        contrast.append(loss)
        gamma.append(centroids(out.latent, 2, chosen.covariance, chosen.covariance_diagonal))
    aligned = alignment(torch.cat(gamma))
    total = torch.stack(contrast).sum() + described["cda_weight"] * aligned
    errors["alignment"] = _off(aligned, described["alignment_unweighted"])
    errors["total"] = _off(total, described["total"])
    return errors, total


def _off(found: Tensor, expected: float) -> float:
    return abs(float(found.detach()) - expected) / abs(expected)


def _gradients(model: MdJPT, norms: dict[str, float | None]) -> float:
    own = dict(model.named_parameters())
    floor = 1e-5 * max(norm for norm in norms.values() if norm is not None)
    worst = 0.0
    for name, norm in norms.items():
        ours = our_name(name)
        if norm is None:
            if ours in own:
                raise BadInput(name, "gradient", "one", "none: the reference's switches differ from the json's")
            continue
        assert ours is not None
        gradient = own[ours].grad
        assert gradient is not None, ours
        found = float(gradient.norm())
        if max(found, norm) > floor:
            worst = max(worst, abs(found - norm) / norm)
    return worst
