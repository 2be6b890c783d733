"""What the loop needs to know about where it runs. The same loop runs alone, in bare processes and under Ray Train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


class _Sum(torch.autograd.Function):
    """Sum over processes whose gradient is that of the sum over processes of what each computes from it.

    Condition: every process computes the same scalar from the sum, by the same operations. Then the slope with respect
    to the sum is the same everywhere, and adding it up over processes is multiplying it by W: no second collective.
    DDP averages over W afterwards, and the result is that of one process. Without the factor it would be 1/W of it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """All-reduce a copy."""
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The slope of all processes together."""
        return distributed.get_world_size() * gradients[0]


Notice = Literal["", "keep", "stop"]
"""That a machine will be taken away: nothing, write a checkpoint, or write one and end."""


def _ignore(epoch: int, metrics: dict[str, float]) -> None:
    return None


def _nothing(model: nn.Module) -> dict[str, float]:
    return {}


def _undisturbed() -> Notice:
    return ""


@dataclass(frozen=True)
class Context:
    """Rank, world and device of this process; `report` is called once an epoch by every rank.

    `measure` is asked about the model after the last step of every epoch; what it says is logged with that step. It
    must leave weights and random numbers alone.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    report: Callable[[int, dict[str, float]], None] = _ignore
    measure: Callable[[Any], dict[str, float]] = _nothing
    notice: Callable[[], Notice] = _undisturbed
    """Asked in every step by every rank; what any of them answers counts for all, after that step."""
    patience: float = 600.0
    """Seconds that an exchange between processes may take (exec.collective_timeout)."""
    stop_above: float | None = None
    """A loss above it ends the training as one that is not finite does (exec.stop_above)."""
    activations: float = 4.0
    """Gigabytes of activations to store for the backward pass (train/device.py)."""
    compiled: bool = False
    """Have torch compile the model's layers."""

    def all_reduce(self, x: Tensor) -> Tensor:
        """Sum of x over all processes.

        Differentiable if all processes compute the same loss from it (see _Sum): nothing of a process' own (its rank,
        its data) may enter between the sum and the loss, or gradients are wrong without an error.
        """
        return x if self.world == 1 else torch.as_tensor(_Sum.apply(x))

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over processes."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, device_ids=[self.device] if self.device.type == "cuda" else None)
