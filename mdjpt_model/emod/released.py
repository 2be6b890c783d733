"""Import of EMOD checkpoints in the released (Lightning) layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mdjpt_model.emod.model import Emod
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.released import checkpoint_weights, fill

_LAYER = {
    "height_attn.qkv": "space.enter",
    "height_attn.proj": "space.leave",
    "width_attn.qkv": "time.enter",
    "width_attn.proj": "time.leave",
    "width_attn.rel_pos_embed": "time",
    "norm_height": "space_norm",
    "norm_width": "time_norm",
    "norm_ffn": "feed_norm",
    "ffn.0": "feed.0",
    "ffn.3": "feed.3",
}
_WHOLE = {
    "embd.time_tokenConv.0": "branches.time.filters",
    "embd.time_tokenConv.1": "branches.time.norm",
    "embd.freq_tokenConv.0": "branches.frequency.filters",
    "embd.freq_tokenConv.1": "branches.frequency.norm",
    "embd.l.1": "branches.join",
    "pos_embeddings": "place",
    "projection_head.0.attn": "pool_channels",
    "projection_head.1.attn": "pool_time",
    "projection_head.3": "head.enter",
    "projection_head.4": "head.norm",
    "projection_head.6": "head.leave",
}
_KIND = {"rel_embed": "offsets"}
_UNUSED = re.compile(r"projection_head\.4\.(running_mean|running_var|num_batches_tracked)")
"""Statistics that the reference gathers in training and that no feature is read through."""


def our_name(name: str) -> str | None:
    """Our name of a released parameter; None for one that is not used. Raises KeyError: not a released name."""
    if _UNUSED.fullmatch(name):
        return None
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"axial_transformer\.layers\.(\d+)\.(.+)", stem)
    ours = _LAYER.get(layer[2]) if layer else _WHOLE.get(stem)
    if ours is None:
        raise KeyError(name)
    return f"{f'layers.{layer[1]}.' if layer else ''}{ours}.{_KIND.get(kind, kind)}"


def _spec(state: dict[str, Tensor], **chosen: Any) -> EmodSpec:
    width = state["embd.l.1.bias"].shape[0]
    layer = "axial_transformer.layers.0"
    return EmodSpec(
        width=width,
        heads=width // state[f"{layer}.width_attn.rel_pos_embed.rel_embed"].shape[1],
        depth=len({name.split(".")[2] for name in state if name.startswith("axial_transformer.layers.")}),
        feedforward=state[f"{layer}.ffn.0.weight"].shape[0],
        kernel=state["embd.time_tokenConv.0.weight"].shape[-1],
        hidden=state["projection_head.3.weight"].shape[0],
        embedding=state["projection_head.6.weight"].shape[0],
        **chosen,
    )


def load_released(
    path: str | Path,
    variant: Literal["corrected", "released"] = "released",
    electrodes: Sequence[str] = (),
    rate: float = 128.0,
    dropout: float = 0.1,
    **switches: Any,
) -> Emod:
    """A released Lightning `.ckpt` as one of our models; sizes are read off the weights, `rate` cannot be.

    `electrodes` names the rows of the checkpoint's electrode table, from row 0 on: the reference numbers its own union
    of names, not ours, so without them `forward` takes rows alone and refuses names. Extra keyword arguments are single
    `EmodSwitches`. The file is opened with `weights_only=True`.

    Raises ValueError: a file of another kind, a foreign or missing weight.
    """
    state = checkpoint_weights(Path(path))
    try:
        names = {name: our_name(name) for name in state}
        spec = _spec(state, variant=variant, rate=rate, dropout=dropout, switches=switches)
    except KeyError as error:
        raise ValueError(f"{path}: not a released EMOD checkpoint: foreign or missing weight {error}") from None
    model = Emod(spec, electrodes)
    fill(model, state, names, path)
    return model
