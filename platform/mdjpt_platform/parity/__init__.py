"""`mdjpt parity`: are the numbers of a checkpoint the reference's? (Format of the vectors: docs/parity.md.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdjpt_platform.errors import BadInput
from mdjpt_platform.parity import emod, mdjpt
from mdjpt_platform.parity.vectors import TOLERANCE, description, present

__all__ = ["SYSTEMS", "TOLERANCE", "parity"]

SYSTEMS: dict[str, Callable[[Path, dict[str, Any], Path | None], tuple[dict[str, float], str]]] = {
    "mdJPT": mdjpt.compare,
    "EMOD": emod.compare,
}
"""`system` of the description -> (prefix, description, ranking) -> relative errors, where the ranking came from."""


def parity(prefix: str | Path, neighbours: str | Path | None = None) -> dict[str, Any]:
    """Largest relative error of every tensor, loss and gradient norm of PREFIX.{ckpt,vectors.safetensors,json}.

    A tensor's error is the largest difference over the largest value. Two gradient norms that are both below 1e-5 of
    the largest count as equal: they are rounding (a bias in front of a normalisation has none in exact arithmetic).
    `system` in the .json tells whose vectors they are; mdJPT's say nothing. `neighbours` is a .npy ranking [60, 60]
    for mdJPT; `channel_neighbours_released.npy` beside PREFIX is found by itself.

    Raises BadInput: a file absent or of another kind.
    """
    prefix = Path(prefix)
    path = present(prefix, ".json")
    described = description(path)
    system = described.get("system", "mdJPT")
    if system not in SYSTEMS:
        raise BadInput(path, "system", repr(system), f"one of: {', '.join(SYSTEMS)}")
    errors, origin = SYSTEMS[system](prefix, described, Path(neighbours) if neighbours is not None else None)
    worst = max(errors.values())
    return {
        "prefix": prefix.name, "variant": described["variant"], "neighbours": origin, "errors": errors,
        "worst": worst, "tolerance": TOLERANCE, "passed": bool(worst <= TOLERANCE),
    }  # fmt: skip
