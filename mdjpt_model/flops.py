"""Parameters, floating-point operations and bytes kept for the backward pass, by formula, tested against counting.

1 FLOP is half a multiply-add.
"""

from __future__ import annotations

from collections.abc import Callable

from mdjpt_model.montage import UNIFIED
from mdjpt_model.spec import ModelSpec


def _linear(wide: int, narrow: int) -> int:
    return wide * narrow + narrow


def _mlla(spec: ModelSpec, patches: int) -> tuple[int, int]:
    width, switches = spec.hidden, spec.chosen
    linear, depthwise, norm = _linear(width, width), 4 * width, 2 * width
    size, work = linear + 2 * depthwise + norm, 2 * width * width + 2 * 2 * 3 * width
    if switches.block_output == "full":
        attention = 4 * 2 * width * width + 2 * 2 * width * (width // spec.heads) + 2 * width
        size += 6 * linear + depthwise + _feed(width)[0] + (norm if switches.ffn_prenorm else 0)
        work += 2 * 2 * width * width + 2 * 3 * width + attention + _feed(width)[1]
    return size, work


def _transformer(spec: ModelSpec, patches: int) -> tuple[int, int]:
    width, (size, work) = spec.hidden, _feed(spec.hidden)
    attention = 4 * 2 * width * width + 2 * 2 * patches * width
    return 4 * _linear(width, width) + 2 * 2 * width + size, attention + work


def _convolution(spec: ModelSpec, patches: int) -> tuple[int, int]:
    width, (size, work) = spec.hidden, _feed(spec.hidden)
    return 4 * width + 2 * width + size, 2 * 3 * width + work


def _feed(width: int) -> tuple[int, int]:
    return _linear(width, 2 * width) + _linear(2 * width, width), 2 * 2 * width * 2 * width


BLOCKS: dict[str, Callable[[ModelSpec, int], tuple[int, int]]] = {
    "mlla": _mlla,
    "transformer": _transformer,
    "convolution": _convolution,
}
"""By key of `encoders.ENCODERS`: (spec, patches) -> parameters of one block, FLOPs of it for one patch."""


def _block(spec: ModelSpec, patches: int = 0) -> tuple[int, int]:
    if spec.encoder not in BLOCKS:
        raise ValueError(f"no formula for encoder {spec.encoder!r}; known: {', '.join(BLOCKS)}")
    return BLOCKS[spec.encoder](spec, patches)


def parameters(spec: ModelSpec) -> int:
    """Trainable parameters of MdJPT(spec); 753,120 at the published sizes, corrected.

    Raises ValueError: an encoder without a formula.
    """
    width = spec.hidden
    encoder = _linear(spec.patch, width) + spec.depth * _block(spec)[0] + _linear(width, spec.features)
    maps = spec.map_features
    scales = maps * (3 * spec.spatial + 1)
    attention = maps * (spec.attention_kernel + 1) + _linear(maps, maps)
    return encoder + _linear(len(UNIFIED), spec.spatial) + scales + attention + 2 * maps * 4


def forward_flops(spec: ModelSpec, samples: int, channels: int = len(UNIFIED), embed: bool = True) -> int:
    """FLOPs of products and convolutions for one window of `samples` points; elementwise work is not counted.

    Raises ValueError: an encoder without a formula.
    """
    patches, width, sites = spec.patches(samples), spec.hidden, len(UNIFIED)
    block = _block(spec, patches)[1]
    encoder = sites * patches * (2 * spec.patch * width + spec.depth * block + 2 * width * spec.features)
    spatial = 2 * spec.features * patches * sites * spec.spatial
    maps = spec.map_features
    dynamics = patches * maps * (2 * 3 * spec.spatial + 2 * spec.attention_kernel + 2 * maps)
    pools = patches // spec.attention_kernel
    projector = 2 * 3 * maps * ((pools - 2) + (pools - 4)) if embed else 0
    return 2 * sites * channels * samples + encoder + spatial + dynamics + projector


def _mlla_stored(spec: ModelSpec, patches: int) -> float:
    if spec.chosen.block_output != "full":
        return 5 * spec.hidden + 2
    # into and out of each of: two convolutions, norm, four maps around the attention, q, k, v and their product with
    # its divisor, gate, convolution, norm; then twice the width before and after the GELU
    width, heads = (19 if spec.chosen.ffn_prenorm else 18) * spec.hidden + 4 * spec.hidden, spec.heads
    norms = 4 if spec.chosen.ffn_prenorm else 2
    memory = spec.hidden * (spec.hidden // heads + 1) / patches  # keys with values, sum of keys: once a row
    return width + norms + heads + memory


def _transformer_stored(spec: ModelSpec, patches: int) -> float:
    return 12 * spec.hidden + 4 + spec.heads * patches


def _convolution_stored(spec: ModelSpec, patches: int) -> float:
    return 7 * spec.hidden + 2


STORED: dict[str, Callable[[ModelSpec, int], float]] = {
    "mlla": _mlla_stored,
    "transformer": _transformer_stored,
    "convolution": _convolution_stored,
}
"""By key of `encoders.ENCODERS`: (spec, patches) -> values that a block keeps for one patch."""


def activation_bytes(spec: ModelSpec, samples: int, itemsize: int = 4) -> int:
    """Bytes that the forward pass of one window of `samples` points keeps for its backward pass, weights not counted.

    Everything is stored, nothing computed again, and every value takes `itemsize` bytes: autocast keeps some of them in
    float32, so for it this is a lower bound. Raises ValueError: an encoder without a formula.
    """
    if spec.encoder not in STORED:
        raise ValueError(f"no formula for encoder {spec.encoder!r}; known: {', '.join(STORED)}")
    patches, sites, maps = spec.patches(samples), len(UNIFIED), spec.map_features
    token = spec.patch + spec.depth * STORED[spec.encoder](spec, patches) + spec.hidden
    normalised = 2 * spec.features * patches * sites
    latent = (3 if spec.chosen.spatial_relu else 2) * spec.features * patches * spec.spatial
    kernels = 3 * maps * spec.spatial  # the batched product takes a copy of them for every window
    attention = maps * (5 * patches + 2 * (patches + spec.attention_kernel - 1))
    pools = patches // spec.attention_kernel
    projector = maps * (2 * pools + 3 * (pools - 2) + 3 * (pools - 4))
    return round(itemsize * (sites * patches * token + normalised + latent + kernels + attention + projector))
