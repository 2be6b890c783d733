"""What an mdJPT model is: sizes and switches. Plain dataclasses, no torch, so that configuration loads fast.

Shapes and numbers: mdJPT (NeurIPS 2025), section "Method", and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, get_args, get_type_hints


@dataclass(frozen=True)
class Switches:
    """Choices in which the released code and the paper differ; defaults are what the paper describes.

    Each names the defect of the released code (file:line there) that the non-default value reproduces.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    block_output: Literal["full", "before_attention"] = "full"
    """`before_attention` drops attention, gate, residual and FFN (MLLA_new.py:369-389)."""
    ffn_prenorm: bool = True
    """`False` leaves the second layer norm of a block unused (MLLA_new.py:362)."""
    covariance: Literal["channel", "scrambled"] = "channel"
    """`scrambled` reshapes time into channels before the product (CDA_loss.py:24-28)."""
    covariance_diagonal: Literal["keep", "zero"] = "keep"
    """`zero` removes the variances (CDA_loss.py:31)."""
    spatial_relu: bool = False
    """`True` puts a ReLU after the spatial map, which the paper calls linear (Channel_MLP.py:16)."""
    feature_groups: Literal["subject_session", "batch_halves"] = "subject_session"
    """`batch_halves` normalises halves of whatever 64 windows follow each other (CNN_Attention.py:256)."""


def check_switches(declared: type, given: dict[str, Any]) -> None:
    """Raises ValueError: a switch that the dataclass `declared` does not have, or a value that it does not take."""
    known = [switch.name for switch in fields(declared)]
    for name, value in given.items():
        if name not in known:
            near = [f"did you mean {other!r}? " for other in get_close_matches(name, known, n=1)]
            raise ValueError(f"unknown switch {name!r}; {''.join(near)}valid: {', '.join(known)}")
        valid = get_args(get_type_hints(declared)[name]) or (True, False)
        if not any(type(value) is type(one) and value == one for one in valid):
            raise ValueError(f"switch {name} must be one of {', '.join(map(str, valid))}, found {value!r}")


RELEASED = Switches(
    block_output="before_attention",
    ffn_prenorm=False,
    covariance="scrambled",
    covariance_diagonal="zero",
    spatial_relu=True,
    feature_groups="batch_halves",
)
VARIANTS: dict[str, Switches] = {"corrected": Switches(), "released": RELEASED}
_SIZES = (
    "patch", "stride", "hidden", "features", "depth", "heads", "spatial", "kernels", "attention_kernel", "neighbours",
)  # fmt: skip


@dataclass(frozen=True)
class ModelSpec:
    """Architecture of one encoder; two specs that are equal build models with equal state dictionaries."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    family: Literal["mdjpt"] = "mdjpt"
    """The kind of model, of those that the platform knows."""
    variant: Literal["corrected", "released"] = "corrected"
    """Which set of switches to start from."""
    switches: dict[str, Any] = field(default_factory=dict)
    """Single switches that differ from the variant's."""
    encoder: str = "mlla"
    """Key of `mdjpt_model.encoders.ENCODERS`."""
    patch: int = 32
    """Samples in a patch."""
    stride: int = 6
    """Samples between patch starts."""
    hidden: int = 128
    """Width of the channel encoder."""
    features: int = 32
    """Features per channel and patch that the channel encoder gives out."""
    depth: int = 2
    """Blocks in the channel encoder."""
    heads: int = 8
    """Attention heads; must divide `hidden`."""
    spatial: int = 64
    """Virtual channels after the spatial map."""
    kernels: int = 4
    """Spatio-temporal kernels per feature and dilation."""
    dilations: tuple[int, ...] = (1, 3, 6, 12)
    """Time dilations of the multi-scale convolution."""
    attention_kernel: int = 15
    """Length of the temporal attention convolution and of every average pool."""
    neighbours: int = 3
    """Present channels averaged to fill in an absent one."""

    def __post_init__(self) -> None:
        """Refuse unknown switches and values of them, heads that do not divide and non-positive sizes."""
        check_switches(Switches, self.switches)
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"dilations must be one or more positive numbers, found {self.dilations}")
        if self.hidden % self.heads:
            raise ValueError(f"heads must divide hidden: {self.heads} does not divide {self.hidden}")

    @property
    def chosen(self) -> Switches:
        """The variant's switches with this spec's own on top."""
        return replace(VARIANTS[self.variant], **self.switches)

    @property
    def map_features(self) -> int:
        """Rows of the attention-weighted map (512 at the published sizes)."""
        return self.features * self.kernels * len(self.dilations)

    def check_window(self, samples: int, rate: float) -> None:
        """Raises ValueError: a window of `samples` points is too short for the projector. Any rate will do."""
        if self.patches(samples) // self.attention_kernel < 5:
            need = (5 * self.attention_kernel - 1) * self.stride + self.patch
            raise ValueError(f"at least {need} samples for the model's projector")

    def patches(self, samples: int) -> int:
        """Number of patches in a window of `samples` points; 0 if the window is shorter than a patch."""
        return max(0, (samples - self.patch) // self.stride + 1)
