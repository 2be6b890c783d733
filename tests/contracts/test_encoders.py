"""What training and evaluation rely on, of every encoder that a run file can name. `-s` prints a table of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from baselines import require_braindecode
from mdjpt_model.emod.spec import VARIANTS, EmodSpec
from mdjpt_model.encoders import ENCODERS
from mdjpt_model.montage import UNIFIED
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.config import SPECS
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.features import pool
from mdjpt_platform.families import FAMILIES
from mdjpt_platform.library.spec import NETS, LibrarySpec
from mdjpt_platform.train.checkpoint import load_model, save_model

RATE = 125
SMALL: dict[str, Any] = {"hidden": 16, "features": 4, "depth": 1, "heads": 2, "spatial": 6, "kernels": 2, "stride": 8,
                         "patch": 16, "dilations": (1, 3), "attention_kernel": 5}  # fmt: skip
SLIM: dict[str, Any] = {"width": 16, "heads": 2, "depth": 2, "feedforward": 24, "hidden": 20, "embedding": 8,
                        "dropout": 0.0}  # fmt: skip
CASES: dict[str, tuple[Any, int]] = {
    **{f"mdjpt {name}": (ModelSpec(encoder=name, **SMALL), 250) for name in ENCODERS},
    "mdjpt released": (ModelSpec(variant="released", **SMALL), 250),
    **{f"emod {name}": (EmodSpec(variant=name, **SLIM), 250) for name in VARIANTS},
    # EEGPT costs 25 GFLOPs a second of signal; two of LaBraM and CBraMod, so that there is more than one patch
    **{
        f"library {name}": (LibrarySpec(name, samples=samples, dropout=0.0), samples)  # type: ignore[arg-type]
        for name, samples in ((name, RATE if name == "eegpt" else 250) for name in NETS)
    },
}
"""Specs, small where the size is free, and the length of the windows that they get."""

INDIFFERENT: dict[str, tuple[str, ...]] = {
    # a softmax does not feel a shift, nor does batch norm one of all features
    "emod corrected": ("pool_channels.bias", "pool_time.bias"),
    "emod released": ("pool_channels.bias", "pool_time.bias", "layers.1.feed.3.bias"),
}
"""Parameters whose gradient is zero by right, but is there."""

every = pytest.mark.parametrize("case", list(CASES))


@pytest.fixture(autouse=True)
def _buildable(request: pytest.FixtureRequest) -> None:
    if str(getattr(request.node, "callspec", None) and request.node.callspec.params["case"]).startswith("library"):
        require_braindecode()


def build(case: str) -> nn.Module:
    spec = CASES[case][0]
    torch.manual_seed(2)
    return FAMILIES[spec.family].build(spec)


@cache
def frozen(case: str) -> nn.Module:
    return build(case).eval().requires_grad_(False)


def windows(case: str, rows: int = 4, channels: int = 7) -> Tensor:
    return torch.randn(rows, channels, CASES[case][1])


def called(model: nn.Module, x: Tensor, channels: tuple[str, ...]) -> Any:
    """As the training calls it: two sides of a pair."""
    groups = (torch.arange(len(x)) // (len(x) // 2),) if FAMILIES[spec_of(model).family].by_group else ()
    return model(x, channels, *groups)


def spec_of(model: Any) -> Any:
    return model.spec


def features(model: Any, x: Tensor, channels: tuple[str, ...]) -> Tensor:
    """As the evaluation reads them; a model by group with statistics that are fixed, here none."""
    if not FAMILIES[model.spec.family].by_group:
        return model.features(x, channels)
    return pool(model.maps(model.latent(model.tokens_first(x, channels))), "me")


CAP = ("FP1", "FZ", "CZ", "PZ", "OZ", "T7", "T8")
CAPS = {"all": UNIFIED, "one": ("CZ",), "old names": ("t3", "Fp2", "T6"), "odd order": (*CAP[::-1],)}


def test_every_family_and_every_encoder_has_a_case() -> None:
    assert {spec.family for spec, _ in CASES.values()} == set(FAMILIES) == set(SPECS)
    assert {spec.encoder for spec, _ in CASES.values() if spec.family == "mdjpt"} == set(ENCODERS)
    assert {spec.name for spec, _ in CASES.values() if spec.family == "library"} == set(NETS)


@every
def test_spec_takes_the_windows_and_belongs_to_its_family(case: str) -> None:
    spec, samples = CASES[case]
    spec.check_window(samples, RATE)
    assert isinstance(spec, SPECS[spec.family]) and spec_of(frozen(case)) == spec


@every
@pytest.mark.parametrize("cap", list(CAPS))
def test_shapes_with_any_cap(case: str, cap: str) -> None:
    model, channels = frozen(case), CAPS[cap]
    out = called(model, windows(case, channels=len(channels)), channels)
    assert out.embedding.dim() == 2 and out.embedding.isfinite().all()
    torch.testing.assert_close(out.embedding.norm(dim=1), torch.ones(len(out.embedding)))
    if FAMILIES[spec_of(model).family].latent:
        assert out.latent.dim() == 4


@every
def test_features_are_one_row_a_window_and_none_sees_its_companions(case: str) -> None:
    model, x = frozen(case), windows(case)
    whole, alone = features(model, x, CAP), features(model, x[2:3], CAP)
    assert whole.shape == (4, whole.shape[1]) and whole.isfinite().all()
    torch.testing.assert_close(alone[0], whole[2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole[0], whole[2], rtol=1e-4, atol=1e-5), "windows are told apart"


@every
def test_the_order_of_channels_carries_no_meaning(case: str) -> None:
    model, x = frozen(case), windows(case, 2)
    turned = features(model, x.flip(1), CAP[::-1])
    torch.testing.assert_close(turned, features(model, x, CAP), rtol=1e-4, atol=1e-5)


@every
def test_unknown_and_doubled_channels_are_refused_by_name(case: str) -> None:
    model, x = frozen(case), windows(case, 2)
    with pytest.raises(ValueError, match="X9"):
        called(model, x, (*CAP[:6], "X9"))
    with pytest.raises(ValueError, match="channels named twice: T7"):
        called(model, x, (*CAP[:6], "T3"))


@every
def test_every_parameter_learns(case: str) -> None:
    model = build(case)
    out = called(model, windows(case), CAP)
    loss = (out.embedding * torch.randn_like(out.embedding)).sum()
    loss.backward()
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in learning.items() if p.grad is None] == [], "DDP waits for every gradient"
    still = [name for name, p in learning.items() if not p.grad.abs().max() > 0]  # type: ignore[union-attr]
    assert set(still) <= set(INDIFFERENT.get(case, ()))
    fixed = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert fixed == (["net.patch_embedding.mask_encoding"] if case == "library cbramod" else [])


@every
def test_saved_weights_come_back_to_the_same_features(case: str, tmp_path: Path) -> None:
    model, x = frozen(case), windows(case, 2)
    spec = spec_of(model)
    save_model(tmp_path, model, spec)
    torch.manual_seed(77)
    back = load_model(tmp_path, spec)
    assert spec_of(back) == spec
    state = back.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(features(back, x, CAP), features(model, x, CAP), rtol=1e-4, atol=1e-6)


@pytest.fixture
def unfused() -> Iterator[None]:
    """torch's attention step by step: what it fuses is not counted."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def counted(case: str, channels: int) -> float:
    """FLOPs of a forward pass as the training makes it, a window."""
    x = windows(case, channels=channels)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        called(frozen(case), x, UNIFIED[:channels])
    return counter.get_total_flops() / len(x)


@every
@pytest.mark.parametrize("channels", [1, 32])
def test_flops_are_those_counted(case: str, channels: int, unfused: None) -> None:
    spec, samples = CASES[case]
    declared = FAMILIES[spec.family].flops(spec, samples, channels)
    assert declared == pytest.approx(counted(case, channels), rel=0.02)


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    """The encoders that took part, at these sizes; `-s` shows it."""
    yield
    print(f"\n{'encoder':22}{'samples':>8}{'parameters':>12}{'MFLOPs':>10}{'feature':>8}")
    for case, (spec, samples) in CASES.items():
        try:
            model = frozen(case)
        except BadInput:  # left out of the table, as it was of the tests
            continue
        with torch.no_grad():
            width = features(model, windows(case, 2), CAP).shape[1]
        size = sum(p.numel() for p in model.parameters())
        print(f"{case:22}{samples:8}{size:12,}{FAMILIES[spec.family].flops(spec, samples, 60) / 1e6:10.1f}{width:8}")
