"""Formulas of size and work against counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mdjpt_model.encoders import ENCODERS
from mdjpt_model.flops import BLOCKS, forward_flops, parameters
from mdjpt_model.model import MdJPT
from mdjpt_model.montage import UNIFIED
from mdjpt_model.spec import VARIANTS, ModelSpec

PUBLISHED = ModelSpec()
WITHOUT_FEED_NORM = ModelSpec(switches={"ffn_prenorm": False})
SPECS = [
    PUBLISHED,
    WITHOUT_FEED_NORM,
    ModelSpec(variant="released"),
    ModelSpec(hidden=24, features=6, depth=3, heads=3, spatial=10, kernels=2, dilations=(1, 2), attention_kernel=7),
    ModelSpec(patch=20, stride=10, attention_kernel=5, neighbours=1),
    *(ModelSpec(encoder=name) for name in ENCODERS if name != PUBLISHED.encoder),
    *(ModelSpec(encoder=name, hidden=24, features=6, depth=3, heads=3) for name in ENCODERS if name != "mlla"),
]


def counted(spec: ModelSpec) -> int:
    return sum(parameter.numel() for parameter in MdJPT(spec).parameters())


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_parameters_by_formula_are_those_counted(spec: ModelSpec, variant: Any) -> None:
    spec = replace(spec, variant=variant)
    assert parameters(spec) == counted(spec)


def test_every_encoder_has_a_formula_and_another_is_named() -> None:
    assert BLOCKS.keys() == ENCODERS.keys()
    with pytest.raises(ValueError, match="no formula for encoder 'mamba'; known: mlla, transformer"):
        parameters(ModelSpec(encoder="mamba"))


def test_parameters_at_published_sizes() -> None:
    assert counted(WITHOUT_FEED_NORM) == 752_608
    assert counted(PUBLISHED) == 752_608 + 512 == 753_120
    assert 754_114 - counted(PUBLISHED) == 992 + 2, "the released layout less what never has a gradient"
    released = 754_114 - 332_514
    assert counted(ModelSpec(variant="released")) == released


def counted_flops(spec: ModelSpec, samples: int, rows: int, channels: int, embed: bool) -> float:
    model = MdJPT(spec)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(rows, channels, samples), UNIFIED[:channels], torch.arange(rows) // (rows // 2), embed=embed)
    return counter.get_total_flops() / rows


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize(("samples", "channels", "embed"), [(625, 60, True), (250, 32, False)])
def test_flops_by_formula_are_those_counted(
    spec: ModelSpec, variant: Any, samples: int, channels: int, embed: bool
) -> None:
    spec = replace(spec, variant=variant)
    found = counted_flops(spec, samples, 4, channels, embed)
    assert forward_flops(spec, samples, channels, embed) == pytest.approx(found, rel=0.02)


def test_flops_at_published_sizes() -> None:
    assert forward_flops(PUBLISHED, 625) == pytest.approx(4.63e9, rel=0.01)
