"""Kinds of models: how each is built and what the training loop and the evaluation may ask of it.

A model's forward takes windows [B, C, T] of one cap, its channel names and, `by_group`, the normalisation group of each
window, and returns an object with `embedding` [B, E] and, with `latent`, `latent` [B, F, S, N]. A model that is not
`by_group` has `features(windows, channels)` -> [B, M], in which no window depends on its companions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from mdjpt_model import flops
from mdjpt_model.emod import flops as emod_flops
from mdjpt_model.emod.channels import electrode_rows
from mdjpt_model.emod.model import Emod
from mdjpt_model.model import MdJPT
from mdjpt_model.montage import projection
from mdjpt_platform.config import Model, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.library import flops as library
from mdjpt_platform.library.model import LibraryModel
from mdjpt_platform.library.spec import LibrarySpec


@dataclass(frozen=True)
class Family:
    """A kind of model."""

    build: Callable[[Any], nn.Module]
    """Spec -> initial weights. Raises ValueError: a spec that cannot be built."""
    by_group: bool
    """Features are normalised by the subject-session of a window."""
    latent: bool
    """There is a latent that covariances can be aligned on."""
    place: Callable[[Sequence[str]], object]
    """Finds the channels of a cap. Raises ValueError: one that the model has no place for."""
    flops: Callable[[Any, int, int], float]
    """(spec, samples, channels) -> FLOPs of one window's forward pass."""


FAMILIES: dict[str, Family] = {
    "mdjpt": Family(MdJPT, by_group=True, latent=True, place=projection, flops=flops.forward_flops),
    "emod": Family(Emod, by_group=False, latent=False, place=electrode_rows, flops=emod_flops.forward_flops),
    "library": Family(LibraryModel, by_group=False, latent=False, place=projection, flops=library.forward_flops),
}


def refuse_corpus(spec: Model, name: str, channels: Sequence[str], samples: int, rate: float) -> None:
    """Raises BadInput: the model has no place for a channel of the corpus, or cannot take such windows."""
    try:
        FAMILIES[spec.family].place(channels)
    except ValueError as error:
        raise BadInput(
            f"store of {name}", "channels", error, f"electrodes that model.family {spec.family} knows"
        ) from None
    try:
        spec.check_window(samples, rate)
    except ValueError as error:
        raise BadInput(
            "configuration", "window.seconds", f"{samples} samples at {rate:g} Hz of {name}", error
        ) from None


def bare(spec: Model) -> Model:
    """The architecture alone, without a file of weights to start from."""
    return replace(spec, weights=None, sha256=None) if isinstance(spec, LibrarySpec) else spec


def untrained(run: RunConfig) -> nn.Module:
    """The control of a run: its architecture with random weights. Raises BadInput: a model that cannot be built."""
    return new_model(run.model_copy(update={"model": bare(run.model)})).eval()


def new_model(run: RunConfig) -> nn.Module:
    """Initial weights: a function of the run's seed alone, whatever was drawn before.

    Raises BadInput: a model that cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        try:
            return FAMILIES[run.model.family].build(run.model)
        except ValueError as error:
            found = f"family {run.model.family}: {error}"
            raise BadInput("configuration", "model", found, "one that can be built") from None
