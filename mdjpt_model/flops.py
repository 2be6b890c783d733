"""Parameters and floating-point operations by formula (1 FLOP = half a multiply-add), tested against counting."""

from __future__ import annotations

from mdjpt_model.montage import UNIFIED
from mdjpt_model.spec import ModelSpec


def parameters(spec: ModelSpec) -> int:
    """Trainable parameters of MdJPT(spec) with the MLLA encoder; 753,120 at the published sizes, corrected."""
    width, switches = spec.hidden, spec.chosen
    linear, depthwise, norm = width * width + width, 4 * width, 2 * width
    block = linear + 2 * depthwise + norm
    if switches.block_output == "full":
        feed = 2 * width * width + 2 * width + 2 * width * width + width
        block += 6 * linear + depthwise + feed + (norm if switches.ffn_prenorm else 0)
    encoder = (spec.patch * width + width) + spec.depth * block + (width * spec.features + spec.features)
    spatial = len(UNIFIED) * spec.spatial + spec.spatial
    maps = spec.map_features
    scales = maps * (3 * spec.spatial + 1)
    attention = maps * (spec.attention_kernel + 1) + maps * maps + maps
    return encoder + spatial + scales + attention + 2 * maps * 4


def forward_flops(spec: ModelSpec, samples: int, channels: int = len(UNIFIED), embed: bool = True) -> int:
    """FLOPs of products and convolutions for one window of `samples` points; elementwise work is not counted."""
    patches, width, sites = spec.patches(samples), spec.hidden, len(UNIFIED)
    tokens = sites * patches
    block = 2 * width * width + 2 * 2 * 3 * width
    if spec.chosen.block_output == "full":
        head = width // spec.heads
        attention = 4 * 2 * width * width + 2 * 2 * width * head + 2 * width
        block += 2 * 2 * width * width + 2 * 3 * width + attention + 2 * 2 * width * 2 * width
    encoder = tokens * (2 * spec.patch * width + spec.depth * block + 2 * width * spec.features)
    spatial = 2 * spec.features * patches * sites * spec.spatial
    maps = spec.map_features
    dynamics = patches * maps * (2 * 3 * spec.spatial + 2 * spec.attention_kernel + 2 * maps)
    pools = patches // spec.attention_kernel
    projector = 2 * 3 * maps * ((pools - 2) + (pools - 4)) if embed else 0
    return 2 * sites * channels * samples + encoder + spatial + dynamics + projector
