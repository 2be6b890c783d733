"""What each random change does to a window, how often, and that the seed decides alone."""

from __future__ import annotations

import pytest
import torch

from mdjpt_model.emod.augment import CHANGES, augment, mask, noise, shuffle

MANY = 2000


def many(channels: int = 5, samples: int = 40) -> torch.Tensor:
    """Windows without a zero, of SDs from 0.01 to 100."""
    scale = 10 ** torch.linspace(-2, 2, MANY)
    return scale[:, None, None] * (torch.randn(MANY, channels, samples).abs() + 0.1)


def test_noise_is_a_tenth_of_each_windows_spread() -> None:
    x = many(samples=400)
    share = (noise(x) - x).std((1, 2)) / x.std((1, 2))
    assert share.mean().item() == pytest.approx(0.1, rel=0.01) and share.std() < 0.01


def test_flat_window_stays_flat() -> None:
    x = torch.full((3, 2, 10), 4.0)
    assert torch.equal(noise(x), x)


def test_shuffle_moves_whole_channels_of_half_of_the_windows() -> None:
    x = many(channels=8)
    found = shuffle(x)
    assert torch.equal(found.sort(1).values, x.sort(1).values)
    own = (found[:, :, None] == x[:, None]).all(-1)
    assert bool((own.sum(2) == 1).all()), "a channel's samples stay together"
    changed = (found != x).flatten(1).any(1).float().mean().item()
    assert changed == pytest.approx(0.5, abs=0.05)


def test_mask_takes_one_fifth_in_all_channels_anywhere() -> None:
    x = many()
    found = mask(x)
    zero = found == 0
    assert bool((zero == zero[:, :1]).all()), "the same samples of every channel"
    assert bool((zero[:, 0].sum(1) == 8).all())
    first = zero[:, 0].int().argmax(1)
    assert bool((zero[:, 0].gather(1, first[:, None] + torch.arange(8))).all()), "one stretch"
    assert set(first.tolist()) == set(range(33)), "from the first sample to the last that leaves room"
    assert torch.equal(found[~zero], x[~zero])


@pytest.mark.parametrize("kinds", [("noise",), ("mask",), ("noise", "mask"), ("mask", "shuffle", "noise")])
def test_kinds_and_nothing_are_equally_likely(kinds: tuple[str, ...]) -> None:
    x = many(channels=8)
    found = augment(x, kinds)
    masked = (found == 0).any(1).any(1)
    moved = ~masked & (found.sort(1).values == x.sort(1).values).flatten(1).all(1) & (found != x).flatten(1).any(1)
    same = (found == x).flatten(1).all(1)
    rest = ~(masked | moved | same)
    each = 1 / (len(kinds) + 1)
    expected = {
        "mask": each * ("mask" in kinds),
        "shuffle": each / 2 * ("shuffle" in kinds),
        "noise": each * ("noise" in kinds),
    }
    share = {"mask": masked, "shuffle": moved, "noise": rest}
    for kind, which in share.items():
        assert which.float().mean().item() == pytest.approx(expected[kind], abs=0.04), kind


def test_default_is_all_kinds_and_none_changes_nothing() -> None:
    x = many()
    torch.manual_seed(1)
    one = augment(x)
    torch.manual_seed(1)
    assert torch.equal(one, augment(x, list(CHANGES)))
    assert torch.equal(augment(x, ()), x)


def test_seed_decides_and_input_stays() -> None:
    x = many()
    kept = x.clone()
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(augment(x))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(x, kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_type_is_kept(dtype: torch.dtype) -> None:
    assert augment(many().to(dtype)).dtype == dtype


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown augmentation 'flip'; valid: noise, shuffle, mask"):
        augment(many(), ("noise", "flip"))
