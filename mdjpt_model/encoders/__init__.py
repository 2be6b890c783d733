"""Channel encoders by name: [R, T] -> [R, N, F], built from a ModelSpec. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mdjpt_model.encoders.convolution import Convolution
from mdjpt_model.encoders.mlla import MLLA
from mdjpt_model.encoders.transformer import Transformer
from mdjpt_model.spec import ModelSpec

ENCODERS: dict[str, Callable[[ModelSpec], nn.Module]] = {
    "mlla": MLLA,
    "transformer": Transformer,
    "convolution": Convolution,
}
