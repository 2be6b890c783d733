"""How a model is laid onto the device: what of an episode is stored for the backward pass, what is compiled.

Neither changes what is computed: stored or computed again gives the same gradients to the bit, compiled to rounding.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mdjpt_platform.errors import BadInput
from mdjpt_platform.train.step import EpisodeTerms

COMPILERS = ("c++", "g++", "clang++")


def keep_within(terms: EpisodeTerms, length: Mapping[str, int], gigabytes: float) -> float:
    """Let the model store as many of its pieces (mdjpt_model/pieces.py) as fit, compute the others again.

    Both are measured, on four windows of every corpus, so no formula has to follow the architecture. `length`: samples
    of a window by corpus. Returns the share that is stored; 1 too for a model that has no pieces.
    """
    part = _in_pieces(terms.model)
    if part is None:
        return 1.0
    pieces = always = 0.0
    with torch.random.fork_rng([] if _device(terms).type == "cpu" else [_device(terms)]):
        for name, windows in terms.windows.items():
            probe = torch.zeros(4, len(terms.channels[name]), length[name], device=_device(terms))
            part.stored = 1.0
            most = stored_bytes(terms, name, probe) / len(probe)
            part.stored = 0.0
            least = stored_bytes(terms, name, probe) / len(probe)
            pieces, always = pieces + windows * (most - least), always + windows * least
    share = min(1.0, max(0.0, (gigabytes * 1e9 - always) / pieces)) if pieces > 0 else 1.0
    part.stored = share
    return share


def stored_bytes(terms: EpisodeTerms, name: str, windows: Tensor) -> int:
    """Bytes that a forward pass of a corpus' windows [B, C, T] leaves for the backward pass, weights not counted."""
    own = {weight.untyped_storage().data_ptr() for weight in terms.model.parameters()}
    found: dict[int, Tensor] = {}  # held, so that no address is given anew and counts once for two

    def keep(x: Tensor) -> Tensor:
        # Without its graph: the graph holds what this returns and, by this function, `found`; an output that has its
        # own graph, here or there, would be a ring that no collector sees, and all of it would stay for ever.
        x = x.detach()
        if x.untyped_storage().data_ptr() not in own:
            found[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), torch.enable_grad():
        output = terms.encoded(name, windows)
        total = sum(x.untyped_storage().nbytes() for x in found.values())
        del output
    return total


def compile_layers(model: nn.Module) -> None:
    """Have torch compile each of the repeated layers, which is where the time goes; twenty seconds or so, once a shape.

    Raises BadInput: no C++ compiler here, or a model without layers of its own.
    """
    part = _in_pieces(model)
    if part is None:
        raise BadInput("configuration", "exec.compile", "a model of a library", "family mdjpt or emod")
    if not any(shutil.which(name) for name in COMPILERS):
        raise BadInput("configuration", "exec.compile", "no C++ compiler", f"one of {', '.join(COMPILERS)}, or false")
    for layer in next(child for child in part.children() if isinstance(child, nn.ModuleList)):
        layer.compile()


def _in_pieces(model: nn.Module) -> Any:
    """The part of the model that is taken in pieces; None for those of a library."""
    return next((part for part in model.modules() if hasattr(part, "stored")), None)


def _device(terms: EpisodeTerms) -> torch.device:
    return next(terms.model.parameters()).device
