"""What a library baseline is: which network, on which windows. Plain dataclasses, no torch, no braindecode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath
from typing import ClassVar, Literal

ARCHITECTURE_ONLY = "architecture only"
"""What a result says whose network was never given public weights."""


@dataclass(frozen=True)
class Facts:
    """What the authors of a network trained it on."""

    rate: int
    """Samples per second."""
    least: int
    """Samples at that rate below which nothing is left after its pooling."""
    patch: int = 1
    """Samples that a window must be a multiple of."""
    microvolts: float | None = None
    """What a 1 in its input stands for; None where it normalises, or is normalised, by itself."""


NETS: dict[str, Facts] = {
    "eegnet": Facts(128, 32),  # Lawhern 2018; batch norm follows its first two convolutions, so no unit matters
    "eegconformer": Facts(250, 99),  # Song 2023; batch norm, as above
    "labram": Facts(200, 200, patch=200, microvolts=100.0),  # Jiang 2024: units of 0.1 mV
    "biot": Facts(200, 200),  # Yang 2023: each channel over the 95th percentile of its size in the window
    "cbramod": Facts(200, 200, patch=200, microvolts=100.0),  # Wang 2025: units of 100 uV
    "eegpt": Facts(256, 64, microvolts=1000.0),  # Wang 2024: millivolts
}
"""By name. Sources: the papers named, and the preparation scripts of their released code."""


@dataclass(frozen=True)
class LibrarySpec:
    """One network for windows of one length; two specs that are equal build models with equal state dictionaries."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: Literal["eegnet", "eegconformer", "labram", "biot", "cbramod", "eegpt"]
    """Which network, at the sizes braindecode gives it."""
    family: Literal["library"] = "library"
    """Tells this spec from those of other encoders."""
    rate: float = 125.0
    """Samples per second of the windows that arrive; they are resampled to the network's own."""
    samples: int = 625
    """Samples of the windows that arrive, all of one length."""
    microvolts: float = 20.0
    """What a 1 in the windows stands for: 1 where the store holds microvolts; a subject's SD after the step `scale`."""
    weights: str | None = None
    """Local file of weights under braindecode's names, .safetensors or torch; from scratch if absent."""
    sha256: str | None = None
    """Of that file, so that a run says which weights it began with."""
    embedding: int = 128
    """Width of the embedding."""
    dropout: float = 0.1
    """Share dropped while training, wherever the network drops anything."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, windows that the network cannot take, and weights without a digest."""
        if self.name not in NETS:
            raise ValueError(f"name must be one of {', '.join(NETS)}, found {self.name!r}")
        for name in ("rate", "samples", "microvolts", "embedding"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, found {self.dropout}")
        if (self.weights is None) != (self.sha256 is None):
            raise ValueError("weights and sha256 go together: the file, and the SHA-256 of its bytes")
        facts, length = self.facts, self.length
        if length < facts.least or length % facts.patch:
            need = f"a multiple of {facts.patch}" if facts.patch > 1 else f"at least {facts.least}"
            found = f"{self.samples} at {self.rate:g} Hz, which are {length} at {facts.rate} Hz"
            raise ValueError(f"samples: found {found}, expected {need} for {self.name}")

    @property
    def facts(self) -> Facts:
        """Of the network."""
        return NETS[self.name]

    @property
    def ratio(self) -> Fraction:
        """The network's rate over that of the windows."""
        return self.facts.rate / Fraction(self.rate).limit_denominator(1000)

    @property
    def length(self) -> int:
        """Samples of a window at the network's rate, rounded up."""
        return math.ceil(self.samples * self.ratio)

    @property
    def provenance(self) -> str:
        """What a table says of the weights that the run began with."""
        if self.weights is None or self.sha256 is None:
            return ARCHITECTURE_ONLY
        return f"weights {PurePath(self.weights).name}, sha256 {self.sha256[:12]}"

    def check_window(self, samples: int, rate: float) -> None:
        """Raises ValueError, saying what is expected: another rate, another length."""
        if rate != self.rate:
            raise ValueError(f"the model's {self.rate:g} Hz (model.rate)")
        if samples != self.samples:
            raise ValueError(f"the model's {self.samples} samples (model.samples)")
