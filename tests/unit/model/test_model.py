"""Shapes, groups, switches and refusals of the whole encoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mdjpt_model.model import Dynamics, MdJPT, Output
from mdjpt_model.montage import UNIFIED, projection
from mdjpt_model.spec import RELEASED, VARIANTS, ModelSpec

SMALL = ModelSpec(
    hidden=16,
    features=4,
    depth=2,
    heads=2,
    spatial=6,
    kernels=2,
    stride=8,
    patch=16,
    dilations=(1, 3),
    attention_kernel=5,
)
CAP = ("FP1", "FZ", "CZ", "PZ", "OZ", "T7", "T8")
SIDES = torch.tensor([0, 0, 1, 1])


def windows(rows: int = 4, channels: int = len(CAP), samples: int = 320) -> torch.Tensor:
    return torch.randn(rows, channels, samples)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_shapes_at_published_sizes(variant: Any) -> None:
    model = MdJPT(ModelSpec(variant=variant))
    with torch.no_grad():
        out = model(windows(channels=60, samples=625), UNIFIED, SIDES)
    assert out.projected.shape == (4, 60, 625)
    assert out.tokens.shape == (4, 60, 99, 32)
    assert out.latent.shape == (4, 32, 64, 99)
    assert out.maps.shape == (4, 512, 99)
    assert out.embedding.shape == (4, 1024)
    torch.testing.assert_close(out.embedding.norm(dim=1), torch.ones(4))


@pytest.mark.slow
def test_shapes_of_a_published_batch() -> None:
    model = MdJPT(ModelSpec())
    with torch.no_grad():
        out = model(windows(30, 60, 625), UNIFIED, torch.arange(30) // 15)
    assert out.tokens.shape == (30, 60, 99, 32)
    assert out.latent.shape == (30, 32, 64, 99)
    assert out.maps.shape == (30, 512, 99) and out.maps.mean(-1).shape == (30, 512)
    assert out.embedding.shape == (30, 1024)
    torch.testing.assert_close(out.embedding.norm(dim=1), torch.ones(30))


def test_one_second_gives_features_but_no_embedding() -> None:
    model = MdJPT(ModelSpec())
    with torch.no_grad():
        out = model(windows(samples=125), CAP, SIDES, embed=False)
        assert out.maps.shape == (4, 512, 16) and out.embedding is None
        with pytest.raises(ValueError, match="projector needs 75 patches, found 16: use a longer window"):
            model(windows(samples=125), CAP, SIDES)


def test_window_shorter_than_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="window of 15 samples is shorter than a patch of 16"):
        MdJPT(SMALL)(windows(samples=15), CAP, SIDES, embed=False)


@pytest.mark.parametrize("shape", [(4, 6, 320), (7, 320), (4, 1, 7, 320)])
def test_windows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[B, 7, T\]"):
        MdJPT(SMALL)(torch.randn(shape), CAP, SIDES)


def test_unknown_encoder_names_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="unknown encoder 'mamba'; valid: mlla"):
        MdJPT(replace(SMALL, encoder="mamba"))


def test_projection_is_one_product() -> None:
    x = windows()
    found = MdJPT(SMALL).project(x, CAP)
    torch.testing.assert_close(found, torch.from_numpy(projection(CAP)) @ x)


def test_permuting_a_cap_with_its_data_changes_nothing() -> None:
    model, x, order = MdJPT(SMALL).double(), windows().double(), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    one = model(x, CAP, SIDES)
    other = model(x[:, order], [CAP[i] for i in order], SIDES)
    for name in ("projected", "tokens", "latent", "maps", "embedding"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-9)


def test_other_group_does_not_matter() -> None:
    model, x = MdJPT(SMALL).double(), windows().double()
    both = model(x, CAP, SIDES)
    changed = model(torch.cat([x[:2], windows(2).double() * 50]), CAP, SIDES)
    alone = model(x[:2], CAP, SIDES[:2])
    for name in ("tokens", "latent", "maps", "embedding"):
        torch.testing.assert_close(getattr(both, name)[:2], getattr(changed, name)[:2], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(getattr(both, name)[:2], getattr(alone, name), rtol=1e-9, atol=1e-9)


def test_single_window_of_a_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="single window"):
        MdJPT(SMALL)(windows(3), CAP, torch.tensor([0, 0, 1]))


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_parameter_learns(variant: Any) -> None:
    model = MdJPT(replace(SMALL, variant=variant))
    out = model(windows(), CAP, SIDES)
    (out.embedding * torch.randn_like(out.embedding)).sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def outputs(variant: Any = "corrected", **switches: Any) -> Output:
    torch.manual_seed(5)
    model = MdJPT(replace(SMALL, variant=variant, switches=switches))
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())) / 3
            )
        return model(torch.randn(4, 7, 320), CAP, SIDES)


@pytest.mark.parametrize("name", ["block_output", "ffn_prenorm", "spatial_relu"])
def test_switch_changes_the_output(name: str) -> None:
    plain, switched = outputs(), outputs(**{name: getattr(RELEASED, name)})
    assert (plain.embedding - switched.embedding).abs().max() > 1e-3
    assert torch.equal(plain.projected, switched.projected)


def test_spatial_relu_acts_after_the_spatial_map_alone() -> None:
    plain, switched = outputs(), outputs(spatial_relu=True)
    assert torch.equal(plain.tokens, switched.tokens)
    assert torch.equal(plain.latent.relu(), switched.latent) and bool((plain.latent < 0).any())


@pytest.mark.parametrize("name", ["covariance", "covariance_diagonal", "feature_groups"])
def test_switches_of_losses_and_features_leave_the_encoder_alone(name: str) -> None:
    plain, switched = outputs(), outputs(**{name: getattr(RELEASED, name)})
    assert torch.equal(plain.embedding, switched.embedding)


def test_attention_over_maps_looks_back_only() -> None:
    dynamics = Dynamics(SMALL).double()
    latent = torch.randn(1, 4, 6, 39, dtype=torch.float64)
    later = latent.clone()
    later[..., 30:] += 1
    one, other = dynamics(latent), dynamics(later)
    reach = max(SMALL.dilations)  # the centred convolutions alone look ahead
    assert torch.equal(one[..., : 30 - reach], other[..., : 30 - reach])
    assert not torch.equal(one[..., 30 - reach :], other[..., 30 - reach :])


def test_map_weights_sum_to_at_most_one_over_maps() -> None:
    dynamics = Dynamics(SMALL).double()
    latent = torch.randn(2, 4, 6, 39, dtype=torch.float64)
    raw = torch.cat([scale(latent.flatten(1, 2)) for scale in dynamics.scales], dim=1).relu()
    weights = dynamics(latent)[raw > 0] / raw[raw > 0]
    assert (weights > 0).all() and (weights < 1).all()


def test_equal_seeds_build_equal_models() -> None:
    one, other = (torch.manual_seed(3) and MdJPT(SMALL) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_output_survives_double_precision() -> None:
    out = MdJPT(SMALL).double()(windows().double(), CAP, SIDES)
    assert out.embedding.dtype == out.latent.dtype == torch.float64
