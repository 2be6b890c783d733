"""What a spec accepts, refuses and derives."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest

from mdjpt_model.spec import RELEASED, VARIANTS, ModelSpec, Switches


def test_default_is_what_the_paper_describes() -> None:
    assert ModelSpec().chosen == Switches() == VARIANTS["corrected"]
    assert ModelSpec(variant="released").chosen == RELEASED


def test_released_differs_in_every_switch() -> None:
    assert all(getattr(RELEASED, field.name) != getattr(Switches(), field.name) for field in fields(Switches))


@pytest.mark.parametrize("name", [field.name for field in fields(Switches)])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_single_switch_lies_on_top_of_its_variant(name: str, variant: Any) -> None:
    other = {"corrected": "released", "released": "corrected"}[variant]
    value = getattr(VARIANTS[other], name)
    chosen = ModelSpec(variant=variant, switches={name: value}).chosen
    for field in fields(Switches):
        assert getattr(chosen, field.name) == getattr(VARIANTS[other if field.name == name else variant], field.name)


def test_unknown_switch_names_the_valid_ones() -> None:
    with pytest.raises(
        ValueError,
        match=r"unknown switch 'covariances'; did you mean 'covariance'\? valid: block_output, .*spatial_relu",
    ):
        ModelSpec(switches={"covariances": "channel"})


@pytest.mark.parametrize("name", [field.name for field in fields(Switches)])
def test_switch_of_a_value_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.*'ful'"):
        ModelSpec(switches={name: "ful"})


def test_every_declared_switch_value_is_accepted() -> None:
    for name, kind in get_type_hints(Switches).items():
        for value in get_args(kind) if name != "__pydantic_config__" else ():
            if isinstance(value, str):
                assert getattr(ModelSpec(switches={name: value}).chosen, name) == value


@pytest.mark.parametrize(
    "name", ["patch", "stride", "hidden", "features", "depth", "heads", "spatial", "kernels", "neighbours"]
)
def test_sizes_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive, found 0"):
        ModelSpec(**{name: 0})


@pytest.mark.parametrize("reach", [0, -3])
def test_attention_kernel_is_positive(reach: int) -> None:
    with pytest.raises(ValueError, match="attention_kernel must be positive"):
        ModelSpec(attention_kernel=reach)


@pytest.mark.parametrize("dilations", [(), (0, 1)])
def test_dilations_are_positive_and_there(dilations: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="dilations"):
        ModelSpec(dilations=dilations)


def test_heads_divide_hidden() -> None:
    with pytest.raises(ValueError, match="3 does not divide 128"):
        ModelSpec(heads=3)


@pytest.mark.parametrize(("samples", "patches"), [(625, 99), (125, 16), (32, 1), (37, 1), (38, 2), (31, 0), (0, 0)])
def test_patches_at_published_sizes(samples: int, patches: int) -> None:
    assert ModelSpec().patches(samples) == patches


def test_map_features_at_published_sizes() -> None:
    assert ModelSpec().map_features == 512
