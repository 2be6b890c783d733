"""From features to answers: what an exported model adds to its encoder, for one way of reading features.

A feature is normalised (by the prior of the training subjects, and along a recording by what was seen of it), then read
by a classifier (linear, or linear maps with ReLU between) and by a linear map to valence and arousal.
Shapes: n windows, M features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mdjpt_model.layers import LayerStatistics, Mode
from mdjpt_model.normalisation import Statistics
from mdjpt_model.trajectory import FLOOR, RunningNormalise, running_normalise


@dataclass(frozen=True)
class Prediction:
    """Answers for n windows."""

    features: Tensor
    """[n, M] of the encoder, before any normalisation along the recording."""
    probabilities: Tensor | None
    """[n, K], calibrated; None where no classifier was fitted."""
    affect: Tensor | None
    """[n, 2] valence and arousal in units of the ratings, about [-1, 1]; None where nothing was fitted to them."""
    low: Tensor | None
    """[n, 2] lower end of the interval of `affect` that held the truth of people left out as often as stated."""
    high: Tensor | None
    """[n, 2] upper end."""


@dataclass(frozen=True)
class Readout:
    """What one way of reading features (`mode`) is read out by."""

    prior_mean: Tensor
    """[M] float64, mean over the training subjects' means."""
    prior_var: Tensor
    """[M] float64, mean over their variances."""
    layers: tuple[tuple[Tensor, Tensor], ...] = ()
    """(weight, bias) of each linear map to class scores, ReLU between; empty: no classifier."""
    temperature: float = 1.0
    """Divides class scores: fitted on people left out."""
    affect: tuple[Tensor, Tensor] | None = None
    """(weight [2, M], bias [2])."""
    halfwidth: Tensor | None = None
    """[2] of the interval of valence and of arousal."""
    frozen: LayerStatistics | None = None
    """Layer statistics of the training subjects; only in mode `frozen` of a model that normalises by group."""

    def normalise(self, features: Tensor, mode: Mode, decay: float) -> Tensor:
        """[n, M] of one recording in order of time -> float32; in mode `frozen` every window by itself."""
        if mode == "frozen":
            return ((features.double() - self.prior_mean) / torch.sqrt(self.prior_var + FLOOR)).float()
        prior = self.prior_mean.numpy(), self.prior_var.numpy()
        return torch.from_numpy(running_normalise(features.float().cpu().numpy(), *prior, decay)).float()

    def running(self, decay: float) -> RunningNormalise:
        """The same one window at a time."""
        return RunningNormalise(self.prior_mean.numpy(), self.prior_var.numpy(), decay)

    def scores(self, x: Tensor) -> Tensor | None:
        """Normalised features [n, M] -> class scores [n, K] before the softmax, divided by the temperature."""
        for number, (weight, bias) in enumerate(self.layers):
            x = functional.linear(functional.relu(x) if number else x, weight, bias)
        return x / self.temperature if self.layers else None

    def answer(self, features: Tensor, x: Tensor) -> Prediction:
        """Of features [n, M] and the same normalised."""
        scores = self.scores(x)
        affect = None if self.affect is None else functional.linear(x, *self.affect)
        low = high = None
        if affect is not None and self.halfwidth is not None:
            low, high = affect - self.halfwidth, affect + self.halfwidth
        return Prediction(features, None if scores is None else scores.softmax(1), affect, low, high)

    def tensors(self) -> dict[str, Tensor]:
        """Everything but the temperature, by name: what is kept in a file."""
        found = {"prior.mean": self.prior_mean, "prior.var": self.prior_var}
        for number, (weight, bias) in enumerate(self.layers):
            found |= {f"classes.{number}.weight": weight, f"classes.{number}.bias": bias}
        if self.affect is not None:
            found |= {"affect.weight": self.affect[0], "affect.bias": self.affect[1]}
        if self.halfwidth is not None:
            found["affect.halfwidth"] = self.halfwidth
        if self.frozen is not None:
            for name, one in (("tokens", self.frozen.tokens), ("latent", self.frozen.latent)):
                found |= {f"layers.{name}.mean": one.mean, f"layers.{name}.std": one.std}
        return found

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], temperature: float) -> Readout:
        """The inverse of `tensors`. Raises KeyError: one is absent."""
        depth = sum(name.startswith("classes.") for name in tensors) // 2
        layers = tuple((tensors[f"classes.{n}.weight"], tensors[f"classes.{n}.bias"]) for n in range(depth))
        affect = (tensors["affect.weight"], tensors["affect.bias"]) if "affect.weight" in tensors else None
        frozen = None
        if "layers.tokens.mean" in tensors:
            of = {n: Statistics(tensors[f"layers.{n}.mean"], tensors[f"layers.{n}.std"]) for n in ("tokens", "latent")}
            frozen = LayerStatistics(of["tokens"], of["latent"])
        mean, var = tensors["prior.mean"], tensors["prior.var"]
        return cls(mean, var, layers, temperature, affect, tensors.get("affect.halfwidth"), frozen)


def finite(values: Any) -> bool:
    """Whether all of an array or tensor is finite."""
    return bool(torch.isfinite(values).all() if isinstance(values, Tensor) else np.isfinite(values).all())
