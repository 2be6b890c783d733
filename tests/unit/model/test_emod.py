"""EMOD's shapes, switches, electrode table and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
import torch

from mdjpt_model.emod import Emod, EmodSpec
from mdjpt_model.emod.channels import ELECTRODES, ROWS, electrode_rows
from mdjpt_model.emod.model import EmodOutput
from mdjpt_model.emod.spec import RELEASED, VARIANTS, EmodSwitches
from mdjpt_model.montage import UNIFIED, electrodes

SMALL = EmodSpec(
    rate=50, width=16, heads=2, depth=2, feedforward=24, kernel=7, norm_groups=2, hidden=20, embedding=6, dropout=0
)
CAP = ("FP1", "FZ", "CZ", "PZ", "OZ", "T7", "T8")


def windows(rows: int = 3, channels: int = len(CAP), samples: int = 200) -> torch.Tensor:
    return torch.randn(rows, channels, samples)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_shapes_at_published_sizes(variant: Any) -> None:
    model = Emod(EmodSpec(variant=variant))
    with torch.no_grad():
        out = model(windows(2, 14, 1250), UNIFIED[:14])
    assert out.tokens.shape == out.encoded.shape == (2, 14, 50, 128)
    assert out.feature.shape == (2, 128) == (2, model.spec.features)
    assert out.embedding.shape == (2, 128)
    torch.testing.assert_close(out.embedding.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(("samples", "tokens"), [(1250, 50), (125, 5), (25, 1), (24, 0), (320, 12), (2500, 100)])
def test_tokens_follow_the_length(samples: int, tokens: int) -> None:
    assert EmodSpec().tokens(samples) == tokens


@pytest.mark.parametrize("rate", [128.0, 200.0, 99.9, 30.0])
def test_ten_seconds_are_fifty_tokens_at_any_rate(rate: float) -> None:
    assert EmodSpec(rate=rate).tokens(round(10 * rate)) == 50


@pytest.mark.parametrize(("channels", "samples"), [(1, 10), (7, 11), (3, 200), (2, 1000)])
def test_any_cap_and_any_length(channels: int, samples: int) -> None:
    out = Emod(SMALL)(windows(2, channels, samples), CAP[:channels])
    assert out.encoded.shape == (2, channels, samples // 10, 16) and out.embedding.isfinite().all()


def test_feature_alone_needs_no_head() -> None:
    model, x = Emod(SMALL), windows()
    out = model(x, CAP, embed=False)
    assert out.embedding is None and torch.equal(model.features(x, CAP), out.feature)
    assert torch.equal(model(x, CAP).feature, out.feature)


@pytest.mark.parametrize("samples", [0, 9])
def test_window_shorter_than_a_token_is_refused(samples: int) -> None:
    with pytest.raises(ValueError, match=f"found {samples} samples at 50 Hz, expected at least 10 samples, one token"):
        Emod(SMALL)(windows(samples=samples), CAP)


def test_released_positions_hold_fifty_tokens() -> None:
    model = Emod(replace(SMALL, switches={"positions": "fifty"}))
    model(windows(samples=509), CAP)
    with pytest.raises(ValueError, match=r"found 510 samples at 50 Hz, expected at most 50 tokens, or .*by_length"):
        model(windows(samples=510), CAP)


def test_check_window_says_what_is_expected() -> None:
    SMALL.check_window(10, 50.0)
    with pytest.raises(ValueError, match=r"the model's 50 Hz \(model\.rate\)"):
        SMALL.check_window(200, 125.0)


@pytest.mark.parametrize("shape", [(3, 6, 200), (7, 200), (3, 1, 7, 200)])
def test_windows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[B, C, T\] of 7 channels"):
        Emod(SMALL)(torch.randn(shape), CAP)


@pytest.mark.parametrize("rows", [[0, 1, 72], [-1, 0, 1], [0.0, 1.0, 2.0], []])
def test_rows_outside_the_table_are_refused(rows: list[int]) -> None:
    with pytest.raises(ValueError, match=r"electrode rows: found .*, expected 0\.\.71"):
        Emod(SMALL)(windows(channels=len(rows)), torch.tensor(rows))


def test_names_are_rows() -> None:
    model, x, rows = Emod(SMALL), windows(), torch.tensor(electrode_rows(CAP))
    assert torch.equal(model(x, CAP).embedding, model(x, rows).embedding)
    assert torch.equal(model(x, CAP).embedding, model(x, rows.expand(3, -1)).embedding)


def test_windows_may_have_electrodes_of_their_own() -> None:
    model, x = Emod(SMALL), windows(2)
    rows = torch.stack([torch.arange(7), torch.arange(20, 27)])
    both = model.features(x, rows)
    torch.testing.assert_close(both[0], model.features(x[:1], rows[0])[0])
    torch.testing.assert_close(both[1], model.features(x[1:], rows[1])[0])


def test_table_has_the_unified_channels_first_and_known_sites_after() -> None:
    assert len(ELECTRODES) == len(set(ELECTRODES)) == ROWS == 72
    assert ELECTRODES[:60] == UNIFIED and set(ELECTRODES) <= electrodes().keys()


def test_old_and_lower_case_names_are_known() -> None:
    assert electrode_rows(["Fp1", "t3", " T4 "]) == electrode_rows(["FP1", "T7", "T8"])


def test_unknown_and_doubled_electrodes_are_named() -> None:
    with pytest.raises(ValueError, match=r"without a row in the model.s table: CB1, X9$"):
        Emod(SMALL)(windows(), ("FP1", "CB1", "CZ", "x9", "OZ", "T7", "T8"))
    with pytest.raises(ValueError, match="channels named twice: T7"):
        electrode_rows(["T3", "CZ", "T7"])


def test_table_of_another_origin() -> None:
    assert electrode_rows(["CZ", "FP1"], ("", "FP1", "CZ")) == [2, 1]
    with pytest.raises(ValueError, match="without a row in the model's table: FP1, FZ"):
        Emod(SMALL, electrodes=())(windows(), CAP)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_parameter_learns(variant: Any) -> None:
    model = Emod(replace(SMALL, variant=variant)).double()
    out = model(windows().double(), CAP)
    (out.embedding * torch.randn_like(out.embedding)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    still = [name for name, gradient in gradients.items() if not gradient.abs().max() > 1e-12]
    shifts = {"pool_channels.bias", "pool_time.bias"} | ({"layers.1.feed.3.bias"} if variant == "released" else set())
    assert set(still) == shifts, "a softmax does not feel a shift, nor does batch norm one of all features"
    assert (gradients["place.weight"].abs().sum(1) > 0).sum() == len(CAP)


def outputs(**switches: Any) -> EmodOutput:
    torch.manual_seed(5)
    model = Emod(replace(SMALL, switches=switches))
    with torch.no_grad():
        return model(torch.randn(3, 7, 200), CAP)


@pytest.mark.parametrize("name", ["temporal_attention", "spectrum", "head_norm"])
def test_switch_changes_what_it_names_and_what_follows(name: str) -> None:
    plain, switched = outputs(), outputs(**{name: getattr(RELEASED, name)})
    parts = ("tokens", "encoded", "feature", "embedding")
    first = {"spectrum": 0, "temporal_attention": 1, "head_norm": 3}[name]
    for number, part in enumerate(parts):
        assert torch.equal(getattr(plain, part), getattr(switched, part)) is (number < first), part


def test_positions_agree_up_to_fifty_tokens() -> None:
    assert torch.equal(outputs().embedding, outputs(positions="fifty").embedding)


def test_batch_norm_of_one_window_is_refused() -> None:
    model = Emod(replace(SMALL, switches={"head_norm": "batch"}))
    assert model.features(windows(1), CAP).shape == (1, 16)
    with pytest.raises(ValueError, match="at least 2 windows, found 1"):
        model(windows(1), CAP)


def test_batch_norm_keeps_no_statistics() -> None:
    model, x = Emod(replace(SMALL, switches={"head_norm": "batch"})), windows()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = model(x, CAP).embedding
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.eval()(x, CAP).embedding, trained)


def test_dropout_acts_in_training_alone() -> None:
    model, x = Emod(replace(SMALL, dropout=0.5)), windows()
    assert not torch.equal(model.features(x, CAP), model.features(x, CAP))
    model.eval()
    assert torch.equal(model.features(x, CAP), model.features(x, CAP))


def test_spec_is_what_the_variant_says_and_its_own_switches() -> None:
    assert EmodSpec().chosen == EmodSwitches() and EmodSpec(variant="released").chosen == RELEASED
    mixed = EmodSpec(variant="released", switches={"temporal_attention": "time"}).chosen
    assert mixed == replace(RELEASED, temporal_attention="time")
    for name, kind in get_type_hints(EmodSwitches).items():
        values = get_args(kind) if name != "__pydantic_config__" else ()
        assert all(getattr(EmodSpec(switches={name: value}).chosen, name) == value for value in values)
        assert not values or getattr(RELEASED, name) != getattr(EmodSwitches(), name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"switches": {"spectra": "real"}}, "unknown switch 'spectra'; did you mean 'spectrum'"),
        ({"switches": {"spectrum": "both"}}, "switch spectrum must be one of magnitude, real, found 'both'"),
        ({"heads": 3}, "heads must divide width: 3 does not divide 128"),
        ({"norm_groups": 5}, "norm_groups must divide width"),
        ({"rate": 0}, "rate must be positive, found 0"),
        ({"rate": float("nan")}, "rate must be positive, found nan"),
        ({"kernel": 0}, "kernel must be positive"),
        ({"tokens_per_second": -1}, "tokens_per_second must be positive"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, found 1.0"),
    ],
)
def test_spec_refuses(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EmodSpec(**given)
