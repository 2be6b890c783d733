"""EMOD's formulas of size and work against counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mdjpt_model.emod import Emod, EmodSpec
from mdjpt_model.emod.channels import ELECTRODES
from mdjpt_model.emod.flops import forward_flops, parameters
from mdjpt_model.emod.spec import VARIANTS

SPECS = [
    EmodSpec(),
    EmodSpec(width=32, heads=4, depth=2, feedforward=50, kernel=9, norm_groups=2, hidden=70, embedding=12),
    EmodSpec(width=16, heads=2, depth=1, tokens_per_second=4, rate=64),
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_parameters_by_formula_are_those_counted(spec: EmodSpec, variant: Any) -> None:
    model = Emod(replace(spec, variant=variant))
    heads = ("head.", "pool_channels.", "pool_time.")
    counted = {name: p.numel() for name, p in model.named_parameters()}
    assert parameters(spec) == sum(counted.values())
    backbone = sum(size for name, size in counted.items() if not name.startswith(heads))
    assert parameters(spec, head=False) == backbone


def test_parameters_at_published_sizes() -> None:
    assert parameters(EmodSpec(), head=False) == 845_384
    assert parameters(EmodSpec()) == 977_866 == 845_384 + 132_482


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("samples", "channels", "embed"), [(625, 7, True), (333, 3, False), (128, 1, True)])
def test_flops_by_formula_are_those_counted(spec: EmodSpec, samples: int, channels: int, embed: bool) -> None:
    model = Emod(spec)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.randn(2, channels, samples), ELECTRODES[:channels], embed)
    assert forward_flops(spec, samples, channels, embed) == counter.get_total_flops() / 2


def test_flops_at_published_sizes() -> None:
    assert forward_flops(EmodSpec(), 1250, 62) == pytest.approx(7.1e9, rel=0.05)
