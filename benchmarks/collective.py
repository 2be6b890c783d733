"""The exchange of a step between two processes, beside a bare all-reduce of the same bytes, and its share of a step.

`slots, whole matrices` is how it was done before: S x S matrices, and a second all-reduce for the slopes.

    python benchmarks/collective.py [--rounds 15] [--corpora 5] [--windows 4]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from measure import emit, summary
from processes import alternate, made_up_run, made_up_step, together
from torch import Tensor, distributed

from mdjpt_model import ModelSpec
from mdjpt_model.losses import FORMS, Slots
from mdjpt_platform.train.context import Context

FULL = "slots, whole matrices"


class _SumTwice(torch.autograd.Function):
    """All-reduce forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


def whole(gamma: Tensor, slots: Slots) -> Tensor:
    table = gamma.new_zeros((slots.total, *gamma.shape[1:])).index_copy(0, slots.index, gamma)
    x = _SumTwice.apply(table.flatten()).view(slots.total, gamma.shape[1], -1).transpose(0, 1)
    return torch.log1p(torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sum() / 2)


def body(rank: int, world: int, rounds: int, corpora: int, windows: int) -> None:
    spec, context = ModelSpec(), Context(rank, world)
    each = 2 * corpora
    owner = torch.arange(each) // 2
    slots = Slots(torch.arange(each) + each * rank, owner, each * world, corpora, spec.spatial)
    torch.manual_seed(rank)
    root = torch.randn(each, spec.features, spec.spatial, 2 * spec.spatial)
    gamma = (root @ root.mT / root.shape[-1]).requires_grad_()

    def ours(form: str) -> Callable[[], object]:
        packed = FORMS[form]
        return lambda: torch.autograd.grad(
            packed.loss(context.all_reduce(packed.pack(gamma, slots)), slots, spec.features), gamma
        )

    def bare(flat: Tensor) -> Callable[[], object]:
        return lambda: distributed.all_reduce(flat)

    sizes = {form: FORMS[form].pack(gamma.detach(), slots) for form in FORMS}
    sizes[FULL] = torch.zeros(slots.total * gamma[0].numel())
    exchanges = {form: ours(form) for form in FORMS} | {FULL: lambda: torch.autograd.grad(whole(gamma, slots), gamma)}
    found = {
        form: alternate({"bare all-reduce": bare(torch.zeros_like(flat)), "ours": exchanges[form]}, rounds)
        for form, flat in sizes.items()
    }
    step = alternate({"step": made_up_step(made_up_run(corpora, world), context, windows)}, 1)["step"][0]
    if rank > 0:
        return
    for form, seconds in found.items():
        bare_s = {"bare": seconds["bare all-reduce"]}
        emit(
            "collective",
            form=form,
            workers=world,
            corpora=corpora,
            bytes=sizes[form].nbytes,
            rounds=rounds,
            figures={name: summary(values, bare_s) for name, values in seconds.items()},
            step_s=step,
            windows=corpora * windows,
            bare_share_of_step=statistics.median(seconds["bare all-reduce"]) / step,
            ours_share_of_step=statistics.median(seconds["ours"]) / step,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--corpora", type=int, default=5)
    parser.add_argument("--windows", type=int, default=4, help="of each corpus in the step that the share is of")
    chosen = parser.parse_args()
    together(2, body, chosen.rounds, chosen.corpora, chosen.windows)
