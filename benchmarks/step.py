"""Encoder step beside the matmul floor of the same run, and the alignment loss beside its double loop."""

from __future__ import annotations

import torch
from measure import compare

from mdjpt_model import MdJPT, ModelSpec, alignment, forward_flops
from mdjpt_model.montage import UNIFIED


def main() -> None:
    torch.manual_seed(0)
    windows = torch.randn(6, 60, 625)
    groups = torch.arange(6) // 3
    for variant in ("corrected", "released"):
        model = MdJPT(ModelSpec(variant=variant))

        def step(model: MdJPT = model) -> None:
            out = model(windows, UNIFIED, groups)
            assert out.embedding is not None
            (out.embedding.sum() + out.latent.square().mean()).backward()

        flops = 3 * len(windows) * forward_flops(model.spec, 625)
        rows = flops // (2 * 128 * 128)
        thin, square = torch.randn(rows // 64, 128), torch.randn(128, 128)

        def floor(thin: torch.Tensor = thin, square: torch.Tensor = square) -> None:
            for _ in range(64):
                thin @ square

        compare(f"step.{variant}", {"matmul_floor": floor, "step": step}, rounds=3, windows=6, gflop=flops / 1e9)
    gamma = torch.randn(10, 32, 64, 64)

    def loops() -> None:
        total = torch.zeros(())
        for d in range(gamma.shape[1]):
            for i in range(len(gamma)):
                for j in range(i + 1, len(gamma)):
                    total = total + torch.linalg.matrix_norm(gamma[i, d] - gamma[j, d])
        torch.log1p(total)

    compare("alignment", {"loops": loops, "ours": lambda: alignment(gamma)}, subjects=10)


if __name__ == "__main__":
    main()
