"""mdJPT as a textbook would write it: what the speed and the numbers of `mdjpt_model` are compared with.

Written from the formulas (mdJPT, NeurIPS 2025) and nothing else: one operation after the other over the whole batch,
convolutions over channels-first copies, a projection for each of query, key and value, everything stored for the
backward pass. `released` computes attention, gate, residual path and feed-forward of a block and gives out what went
into them, as the published block does. Parameters are called as those of `MdJPT`, so `load` takes its weights.
Shapes: B windows (first half one subject, second half the other), C = 60 channels, R = B x C rows, N patches,
D hidden, H heads, F features, S virtual channels, M map features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdjpt_model import MdJPT, ModelSpec
from mdjpt_model.montage import UNIFIED, projection

TEMPERATURE, ALIGNMENT = 0.07, 0.01


def wide(x: Tensor) -> Tensor:
    """Out of autocast's half precision, for sums over thousands of values."""
    return x if x.dtype == torch.float64 else x.float()


def along(convolution: nn.Conv1d, u: Tensor) -> Tensor:
    """[R, N, D] -> [R, N, D]: a depthwise convolution over N."""
    return convolution(u.transpose(1, 2)).transpose(1, 2)


class Attention(nn.Module):
    """phi(q)^T S / (phi(q)^T kappa), S = sum phi(k) v^T, kappa = sum phi(k), phi = ELU + 1, by head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.join = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, patches, width = x.shape
        shape = (rows, patches, self.heads, width // self.heads)
        q = self.query(x).reshape(shape).transpose(1, 2)
        k = self.key(x).reshape(shape).transpose(1, 2)
        v = self.value(x).reshape(shape).transpose(1, 2)
        q = functional.elu(q) + 1
        k = functional.elu(k) + 1
        memory = torch.matmul(k.transpose(2, 3), v)
        kappa = k.sum(2).unsqueeze(3)
        above = torch.matmul(q, memory)
        below = torch.matmul(q, kappa) + 1e-5
        a = above / below
        return self.join(a.transpose(1, 2).reshape(rows, patches, width))


class Block(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width, self.switches = spec.hidden, spec.chosen
        self.position_in = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.local = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.position_out = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.enter, self.gate, self.leave = (nn.Linear(width, width) for _ in range(3))
        self.attention = Attention(width, spec.heads)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, u: Tensor) -> Tensor:
        u = u + along(self.position_in, u)
        shortcut = u
        normed = self.norm_in(u)
        gate = functional.silu(self.gate(normed))
        inner = functional.silu(along(self.local, self.enter(normed)))
        u = shortcut + self.leave(self.attention(inner) * gate)
        u = u + along(self.position_out, u)
        u = u + self.feed(self.norm_out(u) if self.switches.ffn_prenorm else u)
        return u if self.switches.block_output == "full" else inner


class Encoder(nn.Module):
    """[R, T] -> [R, N, F]."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.read_in, self.read_out = nn.Linear(spec.patch, spec.hidden), nn.Linear(spec.hidden, spec.features)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))

    def forward(self, x: Tensor) -> Tensor:
        u = self.read_in(x.unfold(1, self.spec.patch, self.spec.stride))
        for block in self.blocks:
            u = block(u)
        return self.read_out(u)


def normalised(x: Tensor) -> Tensor:
    """[B, F, C, N]: every (feature, channel) z-scored over the windows and patches of each half."""
    halves = []
    for half in wide(x).chunk(2):
        mean, std = half.mean((0, 3), keepdim=True), half.std((0, 3), keepdim=True)
        halves.append((half - mean) / (std + 1e-3))
    return torch.cat(halves)


class Dynamics(nn.Module):
    """[B, F, S, N] -> [B, M, 1, N]: (S, 3) kernels at several dilations, weighted by attention over M."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width, self.reach = spec.map_features, spec.attention_kernel
        self.scales = nn.ModuleList(
            nn.Conv2d(
                spec.features, spec.features * spec.kernels, (spec.spatial, 3), groups=spec.features, dilation=(1, d)
            )
            for d in spec.dilations
        )
        self.attend = nn.Conv2d(width, width, (1, self.reach), groups=width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        scales = []
        for scale in self.scales:
            reach = scale.dilation[1]
            scales.append(scale(functional.pad(x, (reach, reach))))
        x = torch.cat(scales, 1)
        weight = functional.relu(self.attend(functional.pad(x, (self.reach - 1, 0))))
        weight = functional.avg_pool2d(functional.pad(weight, (self.reach - 1, 0)), (1, self.reach), stride=1)
        weight = functional.softmax(self.mix(weight), 1)
        return weight * functional.relu(x)


class Projector(nn.Module):
    """[B, M, 1, N] -> [B, E] of unit length."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width, self.pool = spec.map_features, spec.attention_kernel
        self.first = nn.Conv2d(width, width, (1, 3), groups=width)
        self.second = nn.Conv2d(width, width, (1, 3), groups=width)

    def forward(self, x: Tensor) -> Tensor:
        x = normalised(functional.avg_pool2d(x, (1, self.pool)))
        x = functional.relu(self.first(x))
        x = functional.relu(self.second(x))
        x = normalised(x).flatten(1)
        return x / x.norm(dim=1, keepdim=True)


class Naive(nn.Module):
    """[B, 60, T] -> latent [B, F, S, N] for the alignment, embedding [B, E] for the contrast."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder, self.spatial = Encoder(spec), nn.Linear(len(UNIFIED), spec.spatial)
        self.dynamics, self.projector = Dynamics(spec), Projector(spec)
        self.matrix = torch.from_numpy(projection(UNIFIED, None, spec.neighbours))

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.matmul(self.matrix.to(windows), windows)
        tokens = self.encoder(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        x = normalised(tokens.permute(0, 3, 1, 2))
        latent = self.spatial(x.transpose(2, 3)).transpose(2, 3)
        if self.spec.chosen.spatial_relu:
            latent = functional.relu(latent)
        return latent, self.projector(self.dynamics(normalised(latent)))


def contrast(z: Tensor) -> Tensor:
    """[2V, E] -> mean of -log softmax of the partner's similarity."""
    z = wide(z)
    similarity = z @ z.T / TEMPERATURE
    similarity = similarity - torch.diag(torch.full((len(z),), torch.inf))
    half = len(z) // 2
    partner = torch.cat([torch.arange(half, len(z)), torch.arange(half)])
    return -torch.log_softmax(similarity, 1)[torch.arange(len(z)), partner].mean()


def covariances(latent: Tensor, spec: ModelSpec) -> Tensor:
    """[2V, F, S, N] -> [2, F, S, S]: mean covariance over time of each half."""
    x = wide(latent)
    x = x - x.mean(3, keepdim=True)
    if spec.chosen.covariance == "scrambled":  # time-major memory read as if it were channel-major
        x = x.permute(0, 1, 3, 2).reshape(x.shape)
    found = torch.einsum("bfin,bfjn->bfij", x, x) / (x.shape[3] - 1)
    if spec.chosen.covariance_diagonal == "zero":
        found = found - torch.diag_embed(torch.diagonal(found, dim1=2, dim2=3))
    return torch.stack([half.mean(0) for half in found.chunk(2)])


def loss(model: Naive, corpora: Sequence[Tensor], precision: str = "float32") -> Tensor:
    """Contrasts + 0.01 log(1 + distances between the subjects' covariances), from [B, 60, T] of every corpus.

    precision: `bfloat16` runs the model under autocast, the loss in float32 all the same.
    """
    total, subjects = torch.zeros(()), []
    for windows in corpora:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            latent, embedding = model(windows)
        total = total + contrast(embedding)
        subjects.extend(covariances(latent, model.spec))
    apart = torch.zeros(())
    for i in range(len(subjects)):
        for j in range(i + 1, len(subjects)):
            apart = apart + torch.linalg.matrix_norm(subjects[i] - subjects[j]).sum()
    return total + ALIGNMENT * torch.log(apart + 1)


def load(model: MdJPT) -> tuple[Naive, set[str]]:
    """The same model with copies of its weights, and the names of those that `model` does not have: dead ones.

    Raises RuntimeError: a weight of `model` that has no place here.
    """
    made = Naive(model.spec)
    shapes = {name: parameter.shape for name, parameter in made.named_parameters()}
    weights = {name: w.reshape(shapes[name]) if name in shapes else w for name, w in model.state_dict().items()}
    result = made.load_state_dict(weights, strict=False)
    if result.unexpected_keys:
        raise RuntimeError(f"no place for {', '.join(result.unexpected_keys)}")
    return made, set(result.missing_keys)
