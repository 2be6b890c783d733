"""A network of the library as an encoder of this project: any cap in, one feature and one unit embedding out.

windows -> unified channels -> the network's montage, rate and unit -> feature -> embedding. Shapes: B windows, C
channels of the cap, T samples; K, L, M as in nets.py. Same windows, subjects and read-outs as the project's own
encoders have. EEGNet and EEGConformer keep running statistics of batch norm: while training, an embedding depends on
its companions (the windows of one corpus in one episode, whatever the number of processes), a feature never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.montage import projection
from mdjpt_platform.library.nets import NETS, montage, new_net
from mdjpt_platform.library.resampling import resampling
from mdjpt_platform.library.spec import LibrarySpec


@dataclass(frozen=True)
class LibraryOutput:
    """What a forward pass computes."""

    feature: Tensor
    """[B, M] what is frozen and read out."""
    embedding: Tensor | None
    """[B, E] unit vectors for the contrast; None where it was not asked for."""


class LibraryModel(nn.Module):
    """A network by `spec.name`; raises BadInput where braindecode or the weights cannot be had."""

    def __init__(self, spec: LibrarySpec) -> None:
        super().__init__()
        self.spec = spec
        self.net, width = new_net(spec)
        self.head = nn.Linear(width, spec.embedding)
        # no buffers: they follow from the spec, so they are no weights, and DDP need not send them round
        self._matrices: dict[tuple[str, ...], Tensor] = {}
        self._resampling = torch.from_numpy(resampling(spec.samples, spec.ratio))

    def prepared(self, windows: Tensor, channels: Sequence[str]) -> Tensor:
        """[B, C, T] of a cap -> [B, K, L] in the network's montage, rate and unit, in full precision.

        Raises ValueError: unknown, duplicate or miscounted channels, windows of another length than `spec.samples`.
        """
        expected = (len(channels), self.spec.samples)
        if windows.dim() != 3 or tuple(windows.shape[1:]) != expected:
            found = f"windows: found shape {tuple(windows.shape)}"
            raise ValueError(f"{found}, expected [B, {expected[0]}, {expected[1]}]")
        key, unit = tuple(channels), self.spec.facts.microvolts
        if key not in self._matrices:
            mixing = montage(self.spec.name) @ projection(key)
            scale = self.spec.microvolts / unit if unit else 1.0
            self._matrices[key] = torch.from_numpy((scale * mixing).astype(np.float32))
        matrix = self._matrices[key] = self._matrices[key].to(windows)
        self._resampling = self._resampling.to(windows)
        with torch.autocast(windows.device.type, enabled=False):  # quantiles and spectra have no low precision
            return matrix @ windows @ self._resampling

    def features(self, windows: Tensor, channels: Sequence[str]) -> Tensor:
        """[B, C, T] -> [B, M] frozen features; in evaluation mode each window's own, whatever stands beside it."""
        return self(windows, channels, embed=False).feature

    def forward(self, windows: Tensor, channels: Sequence[str], embed: bool = True) -> LibraryOutput:
        """windows [B, C, T] of one cap, at `spec.rate`; `channels` are its C names."""
        feature = NETS[self.spec.name].read(self.net, self.prepared(windows, channels))
        return LibraryOutput(feature, functional.normalize(self.head(feature), dim=-1) if embed else None)
