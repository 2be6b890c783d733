"""The whole way from windows to answers as one program of `torch.export`, for runtimes without this project's code.

It takes windows of the 60 unified channels (`mdjpt_model.projection` brings any cap there) and reads every window by
itself (mode `frozen`), since a program has no memory of the recording.
"""

from __future__ import annotations

import copy
import io
import warnings
from typing import cast

import torch
from torch import Tensor, nn

from mdjpt_model.layers import LayerStatistics, by, pool
from mdjpt_model.model import MdJPT
from mdjpt_model.montage import UNIFIED
from mdjpt_model.pretrained import Pretrained

PROGRAM = "program.pt2"


class Deployed(nn.Module):
    """windows [n, 60, samples] -> features [n, M], probabilities [n, K], valence and arousal [n, 2].

    What the model has no read-out for has no columns.
    """

    def __init__(self, model: Pretrained) -> None:
        super().__init__()
        self.encoder, self.readout = model.encoder, model.readouts["frozen"]
        self.feature, self.decay = model.feature, model.decay

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Every window by itself."""
        if isinstance(self.encoder, MdJPT):
            frozen = cast(LayerStatistics, self.readout.frozen)
            tokens = by(frozen.tokens)(self.encoder.tokens(windows).permute(0, 3, 1, 2))
            features = pool(self.encoder.maps(by(frozen.latent)(self.encoder.latent(tokens))), self.feature).float()
        else:
            features = self.encoder.features(windows, UNIFIED)
        found = self.readout.answer(features, self.readout.normalise(features, "frozen", self.decay))
        none = features[:, :0]
        return (
            features,
            none if found.probabilities is None else found.probabilities,
            none if found.affect is None else found.affect,
        )


def exported(model: Pretrained) -> bytes:
    """The content of a `.pt2` file, for any number of windows. Raises ValueError: no read-out for mode `frozen`."""
    if "frozen" not in model.modes:
        raise ValueError("a program reads every window by itself: it needs a read-out for mode frozen")
    example = torch.zeros(3, len(UNIFIED), model.samples) + torch.linspace(-1, 1, model.samples)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own future
        sizes = {"windows": {0: torch.export.Dim("n", min=1, max=65536)}}
        deployed = copy.deepcopy(Deployed(model)).eval().requires_grad_(False)
        program = torch.export.export(deployed, (example,), dynamic_shapes=sizes)
        content = io.BytesIO()
        torch.export.save(program, content)
    return content.getvalue()
