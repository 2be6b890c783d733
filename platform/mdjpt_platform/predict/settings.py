"""What whoever predicts may choose. Flat, since it travels to other processes and into a fingerprint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mdjpt_model.layers import Mode


@dataclass(frozen=True)
class Settings:
    """Of one prediction."""

    step: float | None = None
    """Seconds from one window to the next; None: the model's own."""
    tmin: float = 0.0
    """Seconds into the file."""
    tmax: float | None = None
    """Seconds into the file; None: to its end."""
    rename: str | None = None
    """Table of channels with the columns name and rename."""
    least_channels: int = 4
    """How many of the model's sites a recording must have."""
    mode: Mode = "whole"
    """Whose statistics the layers use: `whole` of all windows, `causal` of those so far."""

    def tree(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)
