"""What the vectors of every reference have in common: how they are read and how far off a number is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import json_of, read

TOLERANCE = 1e-4


def present(prefix: Path, suffix: str) -> Path:
    """PREFIX with a suffix. Raises BadInput: no such file."""
    path = prefix.with_name(prefix.name + suffix)
    if not path.is_file():
        raise BadInput(path, "file", "nothing", f"PREFIX{suffix}")
    return path


def description(path: Path) -> dict[str, Any]:
    """The JSON of a description. Raises BadInput: not JSON, not an object."""
    try:
        described = json_of(read(path))
    except (OSError, ValueError) as error:
        raise BadInput(path, "content", error, "JSON") from None
    if not isinstance(described, dict):
        raise BadInput(path, "kind", type(described).__name__, "the description of vectors, an object")
    return described


def require(described: dict[str, Any], keys: Iterable[str], prefix: Path, system: str) -> None:
    """Raises BadInput: the description lacks keys (`a.b` is b inside a)."""
    absent = []
    for key in keys:
        outer, _, inner = key.partition(".")
        if outer not in described or (inner and inner not in described[outer]):
            absent.append(key)
    if absent:
        raise BadInput(f"{prefix}.json", "kind", f"no {', '.join(absent)}", f"the description of {system} vectors")


def load_vectors(prefix: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of PREFIX.vectors.safetensors. Raises BadInput: no such file, of another kind, a tensor is absent."""
    path = present(prefix, ".vectors.safetensors")
    try:
        vectors = load_file(path)
    except SafetensorError as error:
        raise BadInput(path, "content", error, "a safetensors file") from None
    for name in names:
        if name not in vectors:
            raise BadInput(path, name, "nothing", "a tensor")
    return vectors


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value."""
    return float((found.detach() - expected).abs().max() / expected.abs().max())


def off(found: Tensor, expected: float) -> float:
    """Relative error of a scalar."""
    return abs(float(found.detach()) - expected) / abs(expected)


def gradient_error(
    model: nn.Module, norms: dict[str, float | None], our_name: Callable[[str], str | None], least: float = 0.0
) -> float:
    """Largest relative error of the gradients' norms, by the reference's names; null: none reaches the parameter.

    Norms below 1e-5 of the largest are rounding and count as equal; those below `least` of it are measured by that.
    Raises BadInput: the reference has no gradient where the model has a parameter.
    """
    own = dict(model.named_parameters())
    largest = max(norm for norm in norms.values() if norm is not None)
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
        if max(found, norm) > 1e-5 * largest:
            worst = max(worst, abs(found - norm) / max(norm, least * largest))
    return worst
