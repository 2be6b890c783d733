"""EMOD: one encoder for any number of channels and any length, trained on valence and arousal (EMOD, AAAI 2026).

windows -> tokens -> encoded -> feature -> embedding. Shapes: B windows, C channels of the cap, T samples, N tokens a
channel, D width. At the published sizes N = 50 for ten seconds, D = 128, embedding 128; 977,866 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model.emod.attention import Layer
from mdjpt_model.emod.branches import Branches
from mdjpt_model.emod.channels import ELECTRODES, ROWS, electrode_rows
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.pieces import count, in_pieces


@dataclass(frozen=True)
class EmodOutput:
    """Everything a forward pass computes, outermost first."""

    tokens: Tensor
    """[B, C, N, D] time and spectrum of each channel, before the electrode is added."""
    encoded: Tensor
    """[B, C, N, D] after the last layer."""
    feature: Tensor
    """[B, D] encoded tokens pooled over channels, then over time: what is frozen and read out."""
    embedding: Tensor | None
    """[B, E] unit vectors for the contrast; None where it was not asked for."""


class Pool(nn.Linear):
    """Weighted mean over the second axis; a token's weight is the softmax of one linear score."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, A, ..., D] -> [B, ..., D]."""
        return (functional.softmax(super().forward(x), dim=1) * x).sum(1)


class Head(nn.Module):
    """Feature -> unit embedding."""

    def __init__(self, spec: EmodSpec) -> None:
        super().__init__()
        self.enter = nn.Linear(spec.width, spec.hidden, bias=False)
        self.batch = spec.chosen.head_norm == "batch"
        self.norm = nn.BatchNorm1d(spec.hidden, track_running_stats=False) if self.batch else nn.LayerNorm(spec.hidden)
        self.leave = nn.Linear(spec.hidden, spec.embedding)

    def forward(self, feature: Tensor) -> Tensor:
        """[B, D] -> [B, E]. Raises ValueError: batch norm of a single window."""
        if self.batch and len(feature) < 2:
            raise ValueError(f"head with batch norm needs at least 2 windows, found {len(feature)}")
        return functional.normalize(self.leave(functional.gelu(self.norm(self.enter(feature)))), dim=-1)


class Emod(nn.Module):
    """The encoder. `electrodes` names the rows of the learned table, where they are not this project's."""

    def __init__(self, spec: EmodSpec | None = None, electrodes: Sequence[str] = ELECTRODES) -> None:
        super().__init__()
        spec = EmodSpec() if spec is None else spec
        self.spec = spec
        self.electrodes = tuple(electrodes)
        self.branches = Branches(spec)
        self.place = nn.Embedding(ROWS, spec.width)
        self.layers = nn.ModuleList(Layer(spec) for _ in range(spec.depth))
        self.pool_channels, self.pool_time = Pool(spec.width), Pool(spec.width)
        self.head = Head(spec)
        self.stored = 1.0
        """Share of the windows whose activations are stored for the backward pass (mdjpt_model/pieces.py)."""

    def rows(self, windows: Tensor, channels: Sequence[str] | Tensor) -> Tensor:
        """Rows of the electrode table, [C] or [B, C], of names or of rows themselves.

        Raises ValueError: windows that are not [B, C, T] of these channels, names or numbers without a row.
        """
        shape = tuple(windows.shape)
        if not isinstance(channels, Tensor):
            channels = torch.tensor(electrode_rows(channels, self.electrodes), device=windows.device)
        elif channels.is_floating_point() or channels.numel() == 0 or not 0 <= channels.min() <= channels.max() < ROWS:
            raise ValueError(f"electrode rows: found {channels.dtype} {channels.tolist()}, expected 0..{ROWS - 1}")
        if len(shape) != 3 or not shape[1] or tuple(channels.shape) not in (shape[1:2], shape[:2]):
            raise ValueError(f"windows: found shape {shape}, expected [B, C, T] of {channels.shape[-1]} channels")
        return channels.to(windows.device)

    def tokens(self, windows: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, N, D]. Raises ValueError: shorter than a token, or longer than positions `fifty`."""
        samples, spec = windows.shape[-1], self.spec
        try:
            spec.check_window(samples, spec.rate)
        except ValueError as error:
            raise ValueError(f"window: found {samples} samples at {spec.rate:g} Hz, expected {error}") from None
        out: Tensor = self.branches(windows, spec.tokens(samples))
        return out

    def encode(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """Tokens [B, C, N, D] of electrodes [C] or [B, C] -> [B, C, N, D]."""
        x = tokens + self.place(rows)[..., None, :]
        for layer in self.layers:
            x = layer(x)
        return x

    def pool(self, encoded: Tensor) -> Tensor:
        """[B, C, N, D] -> [B, D]: over channels, then over time."""
        out: Tensor = self.pool_time(self.pool_channels(encoded))
        return out

    def features(self, windows: Tensor, channels: Sequence[str] | Tensor) -> Tensor:
        """[B, C, T] -> [B, D] frozen features; each window's own, whatever stands beside it (dropout off)."""
        return self(windows, channels, embed=False).feature

    def forward(self, windows: Tensor, channels: Sequence[str] | Tensor, embed: bool = True) -> EmodOutput:
        """windows [B, C, T] of one cap, at `spec.rate`; `channels` are C names, or rows of the table [C] or [B, C]."""
        rows = self.rows(windows, channels).expand(windows.shape[:2])
        pieces = count(windows.shape[0], windows[0].numel() * self.spec.width, windows.device)
        random = self.training and self.spec.dropout > 0
        tokens, encoded = in_pieces(self._window, (windows, rows), pieces, self.stored, random)
        feature = self.pool(encoded)
        return EmodOutput(tokens, encoded, feature, self.head(feature) if embed else None)

    def _window(self, windows: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.tokens(windows)
        return tokens, self.encode(tokens, rows)
