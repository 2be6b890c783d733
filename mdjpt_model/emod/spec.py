"""What an EMOD model is: sizes and switches. Plain dataclasses, no torch, so that configuration loads fast.

Shapes and numbers: EMOD (AAAI 2026, arXiv 2511.05863) and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from mdjpt_model.spec import check_switches

POSITIONS = 50
"""Tokens that the released table of relative positions was made for: ten seconds."""


@dataclass(frozen=True)
class EmodSwitches:
    """Choices in which the released code departs from the paper or does harm; defaults are the sound ones."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    temporal_attention: Literal["time", "scrambled"] = "time"
    """`scrambled` reads tokens with their two axes swapped: each holds all times of a few features."""
    spectrum: Literal["magnitude", "real"] = "magnitude"
    """`real` drops the imaginary part of the spectrum, so that a shift in time changes the branch's input."""
    positions: Literal["by_length", "fifty"] = "by_length"
    """`fifty` refuses windows of more tokens; `by_length` gives offsets beyond the table its outermost rows."""
    head_norm: Literal["layer", "batch"] = "layer"
    """`batch` normalises the head by each forward batch alone (no running statistics, so that it does not matter
    which process computed which batch): an embedding then depends on its companions, a feature never does."""


RELEASED = EmodSwitches(temporal_attention="scrambled", spectrum="real", positions="fifty", head_norm="batch")
VARIANTS: dict[str, EmodSwitches] = {"corrected": EmodSwitches(), "released": RELEASED}
_SIZES = (
    "width", "heads", "depth", "feedforward", "kernel", "norm_groups", "tokens_per_second", "hidden", "embedding",
)  # fmt: skip


@dataclass(frozen=True)
class EmodSpec:
    """Architecture of one EMOD encoder; two specs that are equal build models with equal state dictionaries."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    family: Literal["emod"] = "emod"
    """Tells this spec from those of other encoders."""
    variant: Literal["corrected", "released"] = "corrected"
    """Which set of switches to start from."""
    switches: dict[str, Any] = field(default_factory=dict)
    """Single switches that differ from the variant's."""
    rate: float = 125.0
    """Samples per second of the windows; no weight depends on it."""
    width: int = 128
    """Features of a token, and of the frozen feature."""
    heads: int = 16
    """Attention heads; must divide `width`."""
    depth: int = 3
    """Layers of attention over channels, attention over time and feed-forward."""
    feedforward: int = 512
    """Width between the two maps of a feed-forward."""
    kernel: int = 25
    """Length of the convolution over samples and of the one over frequencies."""
    norm_groups: int = 4
    """Groups of features that a branch is normalised in; must divide `width`."""
    tokens_per_second: int = 5
    """Tokens per channel and second."""
    hidden: int = 512
    """Width between the two maps of the projection head."""
    embedding: int = 128
    """Width of the embedding."""
    dropout: float = 0.1
    """Share dropped after every attention and in every feed-forward while training."""

    def __post_init__(self) -> None:
        """Refuse unknown switches and values of them, sizes that do not divide, and numbers out of range."""
        check_switches(EmodSwitches, self.switches)
        for name in (*_SIZES, "rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name in ("heads", "norm_groups"):
            if self.width % getattr(self, name):
                raise ValueError(f"{name} must divide width: {getattr(self, name)} does not divide {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, found {self.dropout}")

    @property
    def chosen(self) -> EmodSwitches:
        """The variant's switches with this spec's own on top."""
        return replace(VARIANTS[self.variant], **self.switches)

    @property
    def features(self) -> int:
        """Width of the frozen feature."""
        return self.width

    def tokens(self, samples: int) -> int:
        """Tokens per channel in a window of `samples` points, rounded down; 0 if it is shorter than one token."""
        return int(samples * self.tokens_per_second / self.rate + 1e-9)

    def check_window(self, samples: int, rate: float) -> None:
        """Raises ValueError, saying what is expected: another rate, shorter than a token, longer than `fifty`."""
        if rate != self.rate:
            raise ValueError(f"the model's {self.rate:g} Hz (model.rate)")
        if self.tokens(samples) < 1:
            raise ValueError(f"at least {self.rate / self.tokens_per_second:g} samples, one token")
        if self.chosen.positions == "fifty" and self.tokens(samples) > POSITIONS:
            raise ValueError(f"at most {POSITIONS} tokens, or model.switches.positions: by_length")
