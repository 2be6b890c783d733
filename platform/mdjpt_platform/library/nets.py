"""The networks: how braindecode builds each, and where its feature is read, its classifier left out.

Shapes: B windows, K rows of the network's own montage, L samples at its rate, M width of the feature.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.library.load import networks
from mdjpt_platform.library.spec import LibrarySpec
from mdjpt_platform.library.weights import fill, read_weights

TCP = """FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2""".split()  # noqa: SIM905
"""The bipolar derivations that BIOT was trained on; the unified channels have all their ends."""


@dataclass(frozen=True)
class Net:
    """One network of the library."""

    build: Callable[[Any, int], tuple[nn.Module, int]]
    """(braindecode.models, L) -> network without a classifier, M."""
    read: Callable[[Any, Tensor], Tensor]
    """(network, [B, K, L]) -> [B, M]: tokens are averaged, as SYSTEMS 4.3 has it for a fair comparison."""
    heads: tuple[str, ...] = ("final_layer.",)
    """How names begin in weight files that belong to other tasks or to another montage."""


def _eegnet(models: Any, length: int) -> tuple[nn.Module, int]:
    net = models.EEGNet(n_chans=len(UNIFIED), n_outputs=1, n_times=length, final_layer_with_constraint=True)
    net.final_layer = nn.Flatten()
    return net, net.F2 * net.final_conv_length


def _eegconformer(models: Any, length: int) -> tuple[nn.Module, int]:
    net = models.EEGConformer(n_chans=len(UNIFIED), n_outputs=1, n_times=length)
    net.final_layer = nn.Identity()
    return net, net.fc.hidden_channels


def _labram(models: Any, length: int) -> tuple[nn.Module, int]:
    return models.Labram(n_chans=len(UNIFIED), n_outputs=0, n_times=length), 200


def _biot(models: Any, length: int) -> tuple[nn.Module, int]:
    net = models.BIOT(n_chans=len(TCP), n_outputs=1, n_times=length, sfreq=200)
    net.final_layer = nn.Identity()
    return net, net.embed_dim


def _cbramod(models: Any, length: int) -> tuple[nn.Module, int]:
    return models.CBraMod(n_chans=len(UNIFIED), n_times=length, return_encoder_output=True), 200


def _eegpt(models: Any, length: int) -> tuple[nn.Module, int]:
    names = [{"ch_name": name} for name in UNIFIED]
    net = models.EEGPT(chs_info=names, n_times=length, chan_proj_type="none", return_encoder_output=True)
    return net, net.embed_num * net.embed_dim


def _read_biot(net: Any, x: Tensor) -> Tensor:
    size = x.abs().quantile(0.95, dim=-1, keepdim=True) + 1e-8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A window was not provided")  # BIOT's spectra have a rectangular one
        feature: Tensor = net.encoder(x / size)
    return feature


NETS: dict[str, Net] = {
    "eegnet": Net(_eegnet, lambda net, x: net(x)),
    "eegconformer": Net(_eegconformer, lambda net, x: net(x)),
    "labram": Net(_labram, lambda net, x: net(x, ch_names=list(UNIFIED), return_patch_tokens=True).mean(1)),
    "biot": Net(_biot, _read_biot),
    "cbramod": Net(_cbramod, lambda net, x: net(x).mean((1, 2))),
    "eegpt": Net(
        _eegpt,
        lambda net, x: net(x).flatten(2).mean(1),
        heads=("final_layer.", "chan_proj.", "chans_id", "predictor.", "reconstructor."),
    ),
}
"""By `LibrarySpec.name`."""


def montage(name: str) -> NDArray[np.float32]:
    """Rows of the network's montage from the unified channels, [K, 60]."""
    matrix = np.eye(len(UNIFIED), dtype=np.float32)
    if name != "biot":
        return matrix
    ends = [[UNIFIED.index(site) for site in pair.split("-")] for pair in TCP]
    return np.stack([matrix[one] - matrix[other] for one, other in ends])


def new_net(spec: LibrarySpec) -> tuple[nn.Module, int]:
    """The network of a spec, with its weights where it names some, and the width M of its feature.

    Raises BadInput: braindecode cannot be imported, weights that are not this network's.
    """
    chosen = NETS[spec.name]
    net, width = chosen.build(networks(), spec.length)
    for module in net.modules():  # some rates are fixed in the library, so all are set alike
        if isinstance(module, _DropoutNd):
            module.p = spec.dropout
        for name in ("dropout", "att_drop"):  # torch's attention and the library's keep a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, spec.dropout)
    if spec.weights is not None and spec.sha256 is not None:
        fill(net, read_weights(Path(spec.weights), spec.sha256), chosen.heads, spec.weights)
    return net, width
