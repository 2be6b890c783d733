"""Import of checkpoints in the released (Lightning) layout."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mdjpt_model.model import MdJPT
from mdjpt_model.spec import ModelSpec

_BLOCK = {
    "self_attn.W_Q": "attention.query",
    "self_attn.W_K": "attention.key",
    "self_attn.W_V": "attention.value",
    "self_attn.to_out.0": "attention.join",
    "ff.0": "feed.0",
    "ff.3": "feed.2",
    "cpe1": "position_in",
    "cpe2": "position_out",
    "dwc": "local",
    "norm1": "norm_in",
    "norm2": "norm_out",
    "act_proj": "gate",
    "in_proj": "enter",
    "out_proj": "leave",
}
_WHOLE = {
    "uni_mlp.fc": "spatial",
    "MLLA.encoder.read_in": "encoder.read_in",
    "MLLA.encoder.read_out": "encoder.read_out",
    "cnn_encoder.msConv1": "dynamics.scales.0",
    "cnn_encoder.msConv2": "dynamics.scales.1",
    "cnn_encoder.msConv3": "dynamics.scales.2",
    "cnn_encoder.msConv4": "dynamics.scales.3",
    "cnn_encoder.att_conv": "dynamics.attend",
    "cnn_encoder.att_pointConv": "dynamics.mix",
    "cnn_encoder.timeConv1": "projector.first",
    "cnn_encoder.timeConv2": "projector.second",
}
_UNUSED = re.compile(r"cnn_encoder\.timeConv\.(weight|bias)|.*\.lnr_attn\.scale")
"""Weights that no variant of the released code uses."""


def our_name(name: str) -> str | None:
    """Our name of a released parameter; None for one that is never used. Raises KeyError: not a released name."""
    if _UNUSED.fullmatch(name):
        return None
    stem, _, kind = name.rpartition(".")
    block = re.fullmatch(r"MLLA\.encoder\.blocks\.(\d+)\.(.+)", stem)
    ours = _BLOCK.get(block[2]) if block else _WHOLE.get(stem)
    if ours is None:
        raise KeyError(name)
    return f"encoder.blocks.{block[1]}.{ours}.{kind}" if block else f"{ours}.{kind}"


def _spec(state: dict[str, Tensor], variant: Literal["corrected", "released"], switches: dict[str, Any]) -> ModelSpec:
    hidden, patch = state["MLLA.encoder.read_in.weight"].shape
    features = state["MLLA.encoder.read_out.weight"].shape[0]
    depth = len({name.split(".")[3] for name in state if name.startswith("MLLA.encoder.blocks.")})
    return ModelSpec(
        variant=variant,
        switches=switches,
        patch=patch,
        hidden=hidden,
        features=features,
        depth=depth,
        spatial=state["uni_mlp.fc.weight"].shape[0],
        kernels=state["cnn_encoder.msConv1.weight"].shape[0] // features,
        attention_kernel=state["cnn_encoder.att_conv.weight"].shape[-1],
    )


def checkpoint_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a Lightning file. Raises ValueError: a file of another kind, or one that would run code."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        complete = bool(state) and all(isinstance(value, Tensor) for value in state.values())
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).splitlines()[0] if str(error) else "it is empty"
        raise ValueError(f"{path}: not a released checkpoint: {first}") from None
    except (KeyError, TypeError, IndexError, AttributeError):
        complete = False
    if not complete:
        raise ValueError(f"{path}: not a released checkpoint: no state_dict of tensors")
    return dict(state)


def fill(model: nn.Module, state: dict[str, Tensor], names: dict[str, str | None], path: str | Path) -> None:
    """Take every weight of `state` under our name; names that `model` does not have (a dead branch) are left out.

    Raises ValueError: a weight of another size, a weight of the model that is missing; `path` is for these messages.
    """
    own = model.state_dict()
    loaded: dict[str, Tensor] = {}
    for name, ours in names.items():
        if ours in own:
            if state[name].numel() != own[ours].numel():
                raise ValueError(f"{path}: {name}: found {tuple(state[name].shape)}, expected {tuple(own[ours].shape)}")
            loaded[ours] = state[name].reshape(own[ours].shape)
    missing = sorted(set(own) - set(loaded))
    if missing:
        raise ValueError(f"{path}: weights missing for {', '.join(missing)}")
    model.load_state_dict(loaded)


def load_released(
    path: str | Path,
    variant: Literal["corrected", "released"] = "released",
    neighbours: NDArray[np.int64] | None = None,
    **switches: Any,
) -> MdJPT:
    """A released Lightning `.ckpt` as one of our models; sizes are read off the weights.

    `neighbours` [60, 60] is the released ranking of channels; without it the ranking follows electrode positions.
    Extra keyword arguments are single `Switches`. The file is opened with `weights_only=True`.

    Raises ValueError: a file of another kind, a foreign or missing weight (the released loader passes over both:
    ext_fea.py:65-67).
    """
    state = checkpoint_weights(Path(path))
    try:
        names = {name: our_name(name) for name in state}
        model = MdJPT(_spec(state, variant, switches), neighbours)
    except KeyError as error:
        raise ValueError(f"{path}: not a released mdJPT checkpoint: foreign or missing weight {error}") from None
    fill(model, state, names, path)
    return model
