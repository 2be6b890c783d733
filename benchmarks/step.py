"""Forward and backward of one corpus' windows: ours, a textbook implementation, and the bare products (floors.py).

Loss and all gradients, without the optimiser; the candidates alternate. `floor_whole` multiplies over the whole batch
into fresh memory, `floor_pieces` window by window into memory that is used again.

    python benchmarks/step.py [--smoke] [--windows 30] [--rounds 7] [--variants corrected,released] [--compiled]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import floors
import naive
import torch
from measure import compare
from torch import Tensor, nn

from mdjpt_model import MdJPT, ModelSpec, alignment, forward_flops
from mdjpt_model.losses import centroids, inter_subject_contrast
from mdjpt_model.montage import UNIFIED

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SAMPLES = 625
PARTLY = {"ours_eighth": 0.125, "ours_recomputed": 0.0}
"""Share of the activations that is stored."""


def build(spec: ModelSpec, stored: float = 1.0) -> MdJPT:
    """The model with the same weights every time; `stored`: share of its activations kept for the backward pass."""
    torch.manual_seed(0)
    model = MdJPT(spec)
    model.encoder.stored = stored  # type: ignore[assignment]
    return model


def loss(model: MdJPT, corpora: Sequence[Tensor], precision: str = "float32") -> Tensor:
    """What `naive.loss` computes, by `mdjpt_model`: [2V, 60, T] of every corpus -> scalar."""
    total, gamma, chosen = torch.zeros(()), [], model.spec.chosen
    for windows in corpora:
        groups = torch.arange(len(windows)) // (len(windows) // 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            out = model(windows, UNIFIED, groups)
        assert out.embedding is not None
        total = total + inter_subject_contrast(out.embedding, naive.TEMPERATURE)
        gamma.append(centroids(out.latent, 2, chosen.covariance, chosen.covariance_diagonal))
    return total + naive.ALIGNMENT * alignment(torch.cat(gamma))


def training_step(model: nn.Module, value: Callable[..., Tensor], *given: object) -> Callable[[], None]:
    """Gradients of `value(model, *given)` afresh, as they are left to the optimiser."""

    def run() -> None:
        model.zero_grad(set_to_none=True)
        value(model, *given).backward()

    return run


def compared(variant: str, precision: str, windows: int, rounds: int, compiled: bool) -> None:
    spec = ModelSpec(variant=variant)  # type: ignore[arg-type]
    model = build(spec)
    textbook, _ = naive.load(model)
    corpora = [torch.randn(windows, len(UNIFIED), SAMPLES)]
    dtype = PRECISIONS[precision]
    candidates = {
        "floor_whole": floors.whole(spec, windows, dtype),
        "floor_pieces": floors.pieces(spec, windows, dtype),
        "ours": training_step(model, loss, corpora, precision),
        **{name: training_step(build(spec, share), loss, corpora, precision) for name, share in PARTLY.items()},
        "naive": training_step(textbook, naive.loss, corpora, precision),
    }
    if compiled:
        layered = build(spec)
        for block in layered.encoder.blocks:  # type: ignore[union-attr]
            block.compile()
        candidates["ours_compiled"] = training_step(layered, loss, corpora, precision)
    compare(
        f"step.{variant}.{precision}",
        candidates,
        rounds=rounds,
        against=("floor_pieces", "naive"),
        gflop=windows * sum(product.flops for product in floors.products(spec)) / 1e9,
        windows=windows,
        forward_gflop_per_window=forward_flops(spec, SAMPLES) / 1e9,
        threads=torch.get_num_threads(),
    )


def aligned(rounds: int) -> None:
    """The alignment of five corpora beside its double loop."""
    gamma = torch.randn(10, 32, 64, 64)

    def loops() -> None:
        total = torch.zeros(())
        for d in range(gamma.shape[1]):
            for i in range(len(gamma)):
                for j in range(i + 1, len(gamma)):
                    total = total + torch.linalg.matrix_norm(gamma[i, d] - gamma[j, d])
        torch.log1p(total)

    compare("alignment", {"loops": loops, "ours": lambda: alignment(gamma)}, rounds=rounds, subjects=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="four windows, one round: the times mean nothing")
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--variants", default="corrected,released")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--compiled", action="store_true", help="with layers compiled by torch too (a C++ compiler)")
    arguments = parser.parse_args()
    windows, rounds = (4, 1) if arguments.smoke else (arguments.windows, arguments.rounds)
    for variant in arguments.variants.split(","):
        for precision in arguments.precisions.split(","):
            compared(variant, precision, windows, rounds, arguments.compiled)
    aligned(rounds)


if __name__ == "__main__":
    main()
