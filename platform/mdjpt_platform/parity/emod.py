"""EMOD's vectors: tokens and encodings of the first row, embeddings, loss and gradients of two batches of two caps.

All is computed in float64: batch norm over four windows magnifies rounding, so that two float32 computations of one
gradient differ by 1.4e-4 of its norm. What is left is the rounding of the vectors: 1.03e-4 of the norm of one bias.
Norms below a hundredth of the largest are therefore measured by that hundredth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mdjpt_model.affect import soft_affect_contrast
from mdjpt_model.emod.released import load_released, our_name
from mdjpt_platform.errors import BadInput
from mdjpt_platform.parity.vectors import gradient_error, load_vectors, off, present, relative, require

_DESCRIBED = ("variant", "batches", "temperature", "d_max", "loss", "parameters", "grad_norm")
_TENSORS = ("input", "channel_ids", "valence", "arousal", "tokens_first", "encoded_first", "embedding")
_SWITCHES: dict[str, dict[str, str]] = {"released": {}, "corrected": {"temporal_attention": "time"}}
"""Variant of the vectors -> in what it departs from what the published code computes."""


def compare(prefix: Path, described: dict[str, Any], neighbours: Path | None) -> tuple[dict[str, float], str]:
    """Relative errors by name, and that no ranking of channels is used. Raises BadInput."""
    if neighbours is not None:
        raise BadInput(neighbours, "neighbours", "a ranking", "none: EMOD reads a cap as it is")
    require(described, _DESCRIBED, prefix, "EMOD")
    batches, variant = described["batches"], described["variant"]
    rates = {batch.get("rate") for batch in batches.values()}
    if variant not in _SWITCHES or len(rates) != 1:
        found = f"variant {variant!r}, rates {rates}"
        raise BadInput(f"{prefix}.json", "kind", found, f"one of {', '.join(_SWITCHES)}, at one rate")
    vectors = load_vectors(prefix, (f"{batch}.{kind}" for batch in batches for kind in _TENSORS))
    try:
        path = present(prefix, ".ckpt")
        model = load_released(path, "released", rate=rates.pop(), dropout=0.0, **_SWITCHES[variant]).double()
    except ValueError as error:
        raise BadInput(f"{prefix}.ckpt", "weights", error, "a released checkpoint") from None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    errors = {"parameters": float(parameters != described["parameters"])}
    embeddings, affect = [], []
    for name in batches:
        out = model(vectors[f"{name}.input"].double(), vectors[f"{name}.channel_ids"])
        assert out.embedding is not None
        errors[f"{name}.tokens"] = relative(out.tokens[0], vectors[f"{name}.tokens_first"])
        errors[f"{name}.encoded"] = relative(out.encoded[0], vectors[f"{name}.encoded_first"])
        errors[f"{name}.embedding"] = relative(out.embedding, vectors[f"{name}.embedding"])
        embeddings.append(out.embedding)
        affect.append(torch.stack([vectors[f"{name}.valence"], vectors[f"{name}.arousal"]], 1))
    loss = soft_affect_contrast(
        torch.cat(embeddings), torch.cat(affect), described["temperature"], reach=described["d_max"]
    )
    errors["loss"] = off(loss, described["loss"])
    loss.backward()
    errors["gradient_norm"] = gradient_error(model, described["grad_norm"], our_name, least=0.01)
    return errors, "none: a cap is read as it is"
