"""Weights of a library network from a local file. Nothing here reaches for a network, and nothing runs from a file."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import read

LARGEST = 2**36
"""Bytes of a file of weights."""
SHOWN = 3
"""Names of a kind that an error lists."""


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors by name. Raises BadInput: no file, other bytes than the digest's, or more in it than tensors."""
    try:
        content = read(path, LARGEST)
    except OSError as error:
        raise BadInput(path, "model.weights", error.strerror, "a local file of weights") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256.lower():
        raise BadInput(path, "model.sha256", digest, sha256)
    try:
        state: Any = (
            load(content)
            if path.suffix == ".safetensors"
            else torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, TypeError, LookupError):
        raise BadInput(path, "content", "no state dictionary", "tensors by name, .safetensors or torch") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(path, "content", "objects other than tensors", "a state dictionary: tensors by name")
    return dict(state)


def fill(net: nn.Module, state: Mapping[str, Tensor], heads: tuple[str, ...], where: object) -> None:
    """Copy `state` into the network; names that begin with one of `heads` belong to other tasks and are passed over.

    A table of positions in time that is longer than the window needs gives its first rows (LaBraM, as its authors do).
    Raises BadInput: names missing, left over or of another shape, with how many of each and the first of them.
    """
    own = {name: value for name, value in net.state_dict().items() if not name.startswith(heads)}
    given = {name: value for name, value in state.items() if not name.startswith(heads)}
    table = "temporal_embedding"
    if table in own and table in given and given[table].dim() == own[table].dim():
        given[table] = given[table][:, : own[table].shape[1]]
    wrong = {
        "missing": own.keys() - given.keys(),
        "unknown": given.keys() - own.keys(),
        "of another shape": {n for n in own.keys() & given.keys() if own[n].shape != given[n].shape},
    }
    if any(wrong.values()):
        found = "; ".join(f"{len(names)} {what} ({_some(names)})" for what, names in wrong.items() if names)
        raise BadInput(where, "weights of another model", found, f"the {len(own)} names of {type(net).__name__}")
    net.load_state_dict({**net.state_dict(), **given})


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
