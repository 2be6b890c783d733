"""The library's networks as encoders. Needs the extra `baselines`."""

from __future__ import annotations

import hashlib
import math
import socket
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from baselines import require_braindecode
from conftest import tiny_tree
from exactness import config_tree, gradients, largest_difference, spread
from mdjpt_model.montage import UNIFIED
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.library.flops import forward_flops
from mdjpt_platform.library.model import LibraryModel
from mdjpt_platform.library.nets import TCP
from mdjpt_platform.library.spec import NETS, LibrarySpec
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import pretrain

CAP = ("FP1", "FZ", "CZ", "PZ", "OZ", "T7", "T8")
SECOND = 125
WIDTHS = {"eegnet": 64, "eegconformer": 32, "labram": 200, "biot": 256, "cbramod": 200, "eegpt": 2048}
SIZES = {"eegnet": 2064, "labram": 5_817_136, "biot": 3_186_176, "cbramod": 4_924_000, "eegpt": 25_287_168}
"""Parameters without head; the first part of EEGConformer's read-out depends on the length of the window."""


@pytest.fixture(autouse=True, scope="module")
def _braindecode() -> None:
    require_braindecode()


def spec(name: Any, **fields: Any) -> LibrarySpec:
    return LibrarySpec(name, samples=SECOND, **{"dropout": 0.0, **fields})


def fresh(name: str, seed: int = 0, **fields: Any) -> LibraryModel:
    torch.manual_seed(seed)
    return LibraryModel(spec(name, **fields))


@cache
def frozen(name: str) -> LibraryModel:
    return fresh(name).eval().requires_grad_(False)


def windows(rows: int = 2, channels: int = len(CAP), samples: int = SECOND) -> Tensor:
    return torch.randn(rows, channels, samples)


each = pytest.mark.parametrize("name", list(NETS))


@each
def test_shapes_and_sizes(name: str) -> None:
    model = frozen(name)
    out = model(windows(), CAP)
    assert out.feature.shape == (2, WIDTHS[name]) and out.embedding.shape == (2, 128)
    torch.testing.assert_close(out.embedding.norm(dim=1), torch.ones(2))
    count = sum(parameter.numel() for parameter in model.net.parameters())
    assert count == SIZES.get(name, count)
    assert not any("final_layer" in key for key in model.state_dict()), "no classifier is kept"


@each
def test_dropout_is_the_specs_and_acts_in_training_alone(name: str) -> None:
    model, x = fresh(name, dropout=0.5), windows()
    with torch.no_grad():
        assert not torch.equal(model.features(x, CAP), model.features(x, CAP))
        model.eval()
        assert torch.equal(model.features(x, CAP), model.features(x, CAP))
        still = fresh(name)
        assert torch.equal(still.features(x, CAP), still.features(x, CAP)), "no dropout of the library's own is left"


@each
def test_low_precision_stays_close(name: str) -> None:
    model, x = frozen(name), windows()
    with torch.autocast("cpu", torch.bfloat16):
        low = model(x, CAP).embedding
    assert (low.float() * model(x, CAP).embedding).sum(1).min() > 0.98


@each
def test_windows_and_channels_that_cannot_be_are_named(name: str) -> None:
    model = frozen(name)
    with pytest.raises(ValueError, match=r"found shape \(2, 7, 124\), expected \[B, 7, 125\]"):
        model(windows(samples=124), CAP)
    with pytest.raises(ValueError, match=r"found shape \(2, 6, 125\), expected \[B, 7, 125\]"):
        model(windows(channels=6), CAP)
    with pytest.raises(ValueError, match="channels without a 10-05 position: X9"):
        model(windows(), (*CAP[:6], "x9"))


def test_networks_get_their_own_montage_rate_and_unit() -> None:
    x = torch.randn(1, 60, SECOND).cumsum(-1)
    biot, labram, eegpt = (frozen(name).prepared(x, UNIFIED) for name in ("biot", "labram", "eegpt"))
    assert biot.shape == (1, 16, 200) and labram.shape == (1, 60, 200) and eegpt.shape == (1, 60, 256)
    at = torch.arange(5, 20)  # every eighth sample at 200 Hz is every fifth at 125 Hz
    torch.testing.assert_close(labram[..., 8 * at], x[..., 5 * at] * 20 / 100, rtol=0.0, atol=0.02)
    ratio = (eegpt.std(-1) / labram.std(-1)).median()
    assert ratio == pytest.approx(0.1, rel=0.02), "millivolts against tenths of them"
    pair = labram[:, UNIFIED.index("T7")] - labram[:, UNIFIED.index("P7")]
    torch.testing.assert_close(biot[:, TCP.index("T7-P7")], pair * 100 / 20, rtol=1e-4, atol=1e-4)


def test_biot_does_not_see_the_unit_and_labram_does() -> None:
    x = windows()
    for name, same in (("biot", True), ("labram", False)):
        model = frozen(name)
        found = torch.allclose(model.features(x, CAP), model.features(10 * x, CAP), rtol=1e-3, atol=1e-5)
        assert found is same, name


@each
def test_local_weights_are_what_the_network_begins_with(tmp_path: Path, name: str) -> None:
    ending = "pt" if name == "labram" else "safetensors"  # braindecode published both kinds
    path, model, x = tmp_path / f"weights.{ending}", frozen(name), windows()
    state = {key: value.contiguous() for key, value in model.net.state_dict().items()}
    state["final_layer.weight"] = torch.zeros(4, 3)
    torch.save(state, path) if ending == "pt" else save_file(state, path)
    other = fresh(name, seed=1, weights=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()).eval()
    with torch.no_grad():
        torch.testing.assert_close(other.features(x, CAP), model.features(x, CAP), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(fresh(name, seed=1).eval().features(x, CAP), model.features(x, CAP), rtol=1e-2)
    assert other.spec.provenance.startswith(f"weights weights.{ending}, sha256 ")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "eegnet.safetensors"
    save_file(frozen("eegnet").net.state_dict(), path)
    with pytest.raises(BadInput, match=r"weights of another model: found \d+ missing \(.*\); \d+ unknown \(.*BIOT"):
        fresh("biot", weights=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_nothing_reaches_for_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise AssertionError(f"a connection was asked for: {given}")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    with pytest.raises(AssertionError, match="a connection was asked for"):
        socket.create_connection(("127.0.0.1", 9))
    for name in NETS:
        fresh(name)


def test_batch_norm_alone_looks_at_companions_while_training() -> None:
    x = windows(3)
    for name in NETS:
        with torch.no_grad():
            model = fresh(name).train()
            whole, alone = model.features(x, CAP)[0], model.features(x[:2], CAP)[0]
        assert torch.allclose(whole, alone, rtol=1e-3, atol=1e-4) is (name not in ("eegnet", "eegconformer")), name


def test_training_and_reading_back(tiny_store: Path, tmp_path: Path) -> None:
    tree = tiny_tree(tiny_store, tmp_path / "runs")
    tree |= {"model": {"family": "library", "name": "eegnet", "samples": 320}, "alignment": {"weight": 0.0}}
    tree |= {"affect": {"weight": 0.5}}
    done = pretrain(parse(tree))
    model: Any = load_model(done.folder)
    assert isinstance(model, LibraryModel) and model.spec == LibrarySpec("eegnet", samples=320)
    begun = {key: value for key, value in LibraryModel(model.spec).state_dict().items() if "running_mean" in key}
    assert all(not torch.equal(model.state_dict()[key], value) for key, value in begun.items())


@pytest.mark.timeout(300)
def test_workers_change_neither_loss_nor_gradients(tiny: Config, tmp_path: Path) -> None:
    """Dropout and batch norm too: an episode's windows go through the network together, wherever they do."""
    model = {"family": "library", "name": "eegnet", "samples": 320, "dropout": 0.2}
    config = parse({**config_tree(tiny), "model": model, "alignment": {"weight": 0.0}, "affect": {"weight": 0.7}})
    total, _, expected = gradients(config, Context())
    spread_total, _, found = spread(config, 2, tmp_path)
    assert spread_total == pytest.approx(total, rel=1e-5)
    assert largest_difference(found, expected) <= 1e-4


def test_flops_are_those_of_the_large_products_and_none_are_claimed_for_other_windows() -> None:
    projected, filtered, mixed = SECOND * (60 + 128), 8 * 64 * 129, 16 * 129  # a channel; the rest is below 1 %
    assert forward_flops(spec("eegnet"), SECOND, 60) == pytest.approx(2 * 60 * (projected + filtered + mixed), rel=0.01)
    assert math.isnan(forward_flops(spec("eegnet"), SECOND + 1, 60))
