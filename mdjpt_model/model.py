"""mdJPT: one encoder for every cap (mdJPT, NeurIPS 2025).

windows -> unified channels -> tokens -> latent -> maps -> embedding. Shapes: B windows, C channels of the cap,
T samples, N patches, F features, S virtual channels, M = F x kernels x dilations map features.
At the published sizes T = 625, N = 99, F = 32, S = 64, M = 512, embedding 1024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.encoders import ENCODERS
from mdjpt_model.montage import UNIFIED, projection
from mdjpt_model.normalisation import stratified
from mdjpt_model.spec import ModelSpec

Normalise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Output:
    """Everything a forward pass computes, outermost first."""

    projected: Tensor
    """[B, 60, T] unified channels."""
    tokens: Tensor
    """[B, 60, N, F] channel encoder's output, normalised inside the groups."""
    latent: Tensor
    """[B, F, S, N] after the spatial map: what the covariance alignment sees."""
    maps: Tensor
    """[B, M, N] attention-weighted maps: their mean over patches is the feature."""
    embedding: Tensor | None
    """[B, E] unit vectors for the contrast; None where it was not asked for."""


class Dynamics(nn.Module):
    """Multi-scale spatio-temporal convolution, weighted by attention over map features (DAEST; mdJPT appendix)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width, reach = spec.map_features, spec.attention_kernel
        # A (S, 3) kernel over one feature's plane is a grouped convolution over time of its S rows.
        self.scales = nn.ModuleList(
            nn.Conv1d(
                spec.features * spec.spatial,
                spec.features * spec.kernels,
                3,
                padding=dilation,
                dilation=dilation,
                groups=spec.features,
            )
            for dilation in spec.dilations
        )
        self.dilations, self.reach = spec.dilations, reach
        self.attend = nn.Conv1d(width, width, reach, groups=width)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, F, S, N] -> [B, M, N]. The attention looks back only: all its padding is on the left."""
        x = self.convolve(x)
        past = (self.reach - 1, 0)
        weight = functional.relu(self.attend(functional.pad(x, past)))
        weight = functional.avg_pool1d(functional.pad(weight, past), self.reach, stride=1)
        return functional.softmax(self.mix(weight), dim=1) * functional.relu(x)

    def convolve(self, x: Tensor) -> Tensor:
        """[B, F, S, N] -> [B, M, N]: all taps of all scales in one batched product, then shifted and added."""
        scales = [cast(nn.Conv1d, scale) for scale in self.scales]
        taps = [scale.weight.unflatten(0, (x.shape[1], -1)).permute(3, 0, 1, 2) for scale in scales]  # 3, F, k, S
        product = torch.cat([tap for each in taps for tap in each], dim=1) @ x
        parts = iter(product.unflatten(2, (3 * len(taps), -1)).unbind(2))
        found = []
        for dilation in self.dilations:
            reach = min(dilation, x.shape[-1])
            before, here, after = next(parts), next(parts), next(parts)
            found.append(here + functional.pad(before, (reach, -reach)) + functional.pad(after, (-reach, reach)))
        bias = torch.cat([cast(Tensor, scale.bias) for scale in scales])
        return torch.cat([one.flatten(1, 2) for one in found], dim=1) + bias[:, None]


class Projector(nn.Module):
    """Maps -> unit embedding. Needs enough patches for one pool and two convolutions of three."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width = spec.map_features
        self.pool = spec.attention_kernel
        self.first = nn.Conv1d(width, width, 3, groups=width)
        self.second = nn.Conv1d(width, width, 3, groups=width)

    def forward(self, maps: Tensor, normalise: Normalise) -> Tensor:
        """[B, M, N] -> [B, M x (N // pool - 4)].

        Raises ValueError: fewer than 5 pools of patches, so that nothing would be left.
        """
        if maps.shape[-1] // self.pool < 5:
            raise ValueError(f"projector needs {5 * self.pool} patches, found {maps.shape[-1]}: use a longer window")
        x = functional.avg_pool1d(maps, self.pool)
        x = normalise(x[:, :, None]).squeeze(2)
        x = functional.relu(self.second(functional.relu(self.first(x))))
        x = normalise(x[:, :, None]).squeeze(2)
        return functional.normalize(x.flatten(1), dim=1)


class MdJPT(nn.Module):
    """The encoder. `neighbours` [60, 60] overrides who fills in for absent channels (see montage.projection)."""

    def __init__(self, spec: ModelSpec | None = None, neighbours: NDArray[np.int64] | None = None) -> None:
        super().__init__()
        spec = ModelSpec() if spec is None else spec
        if spec.encoder not in ENCODERS:
            raise ValueError(f"unknown encoder {spec.encoder!r}; valid: {', '.join(ENCODERS)}")
        self.spec = spec
        self.neighbours = neighbours
        self.encoder = ENCODERS[spec.encoder](spec)
        self.spatial = nn.Linear(len(UNIFIED), spec.spatial)
        self.dynamics = Dynamics(spec)
        self.projector = Projector(spec)
        self._matrices: dict[tuple[str, ...], Tensor] = {}

    def project(self, windows: Tensor, channels: Sequence[str]) -> Tensor:
        """[B, C, T] of a cap -> [B, 60, T]. Raises ValueError: unknown, duplicate or miscounted channels."""
        if windows.dim() != 3 or windows.shape[1] != len(channels):
            raise ValueError(f"windows: found shape {tuple(windows.shape)}, expected [B, {len(channels)}, T]")
        key = tuple(channels)
        if key not in self._matrices:
            self._matrices[key] = torch.from_numpy(projection(key, self.neighbours, self.spec.neighbours))
        matrix = self._matrices[key] = self._matrices[key].to(windows)
        return torch.einsum("uc,bct->but", matrix, windows)

    def tokens(self, projected: Tensor) -> Tensor:
        """[B, 60, T] -> [B, 60, N, F]; every channel by itself. Raises ValueError: shorter than a patch."""
        if self.spec.patches(projected.shape[-1]) < 1:
            raise ValueError(f"window of {projected.shape[-1]} samples is shorter than a patch of {self.spec.patch}")
        out: Tensor = self.encoder(projected.flatten(0, 1))
        return out.unflatten(0, projected.shape[:2])

    def tokens_first(self, windows: Tensor, channels: Sequence[str]) -> Tensor:
        """[B, C, T] -> [B, F, 60, N]: tokens in the order in which they are normalised."""
        return self.tokens(self.project(windows, channels)).permute(0, 3, 1, 2)

    def latent(self, x: Tensor) -> Tensor:
        """Normalised tokens [B, F, 60, N] -> [B, F, S, N]: one linear map over channels, shared by all features."""
        mixed = torch.einsum("sc,bfcn->bfsn", self.spatial.weight, x) + self.spatial.bias[:, None]
        return functional.relu(mixed) if self.spec.chosen.spatial_relu else mixed

    def maps(self, x: Tensor) -> Tensor:
        """Normalised latent [B, F, S, N] -> [B, M, N]."""
        out: Tensor = self.dynamics(x)
        return out

    def forward(self, windows: Tensor, channels: Sequence[str], groups: Tensor, embed: bool = True) -> Output:
        """windows [B, C, T] of one cap; `groups` [B] names the normalisation group of each (see stratified)."""
        projected = self.project(windows, channels)
        tokens = stratified(self.tokens(projected).permute(0, 3, 1, 2), groups)
        latent = self.latent(tokens)
        maps = self.maps(stratified(latent, groups))
        embedding = self.projector(maps, lambda x: stratified(x, groups)) if embed else None
        return Output(projected, tokens.permute(0, 2, 3, 1), latent, maps, embedding)
