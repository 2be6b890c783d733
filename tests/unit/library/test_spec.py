"""What a library baseline may be, and what it says of itself. No braindecode is needed for any of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.library.nets import NETS as BUILT
from mdjpt_platform.library.nets import TCP, montage
from mdjpt_platform.library.spec import NETS, LibrarySpec


@pytest.mark.parametrize(
    ("name", "length"),
    [("eegnet", 640), ("eegconformer", 1250), ("labram", 1000), ("biot", 1000), ("cbramod", 1000), ("eegpt", 1280)],
)
def test_five_seconds_have_the_length_of_each_rate(name: Any, length: int) -> None:
    assert LibrarySpec(name).length == length
    assert LibrarySpec(name, rate=200.0, samples=1000).length == length


def test_a_length_between_samples_is_rounded_up() -> None:
    assert LibrarySpec("eegpt", samples=320).length == 656  # 655.36
    assert LibrarySpec("eegnet", rate=99.9, samples=100).length == 129  # 128.13


def test_every_network_has_facts_and_a_builder() -> None:
    assert list(NETS) == list(BUILT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "eegnet2"}, "name must be one of eegnet, .*, found 'eegnet2'"),
        ({"name": "eegnet", "rate": 0}, "rate must be positive, found 0"),
        ({"name": "eegnet", "samples": -1}, "samples must be positive"),
        ({"name": "eegnet", "microvolts": float("inf")}, "microvolts must be positive, found inf"),
        ({"name": "eegnet", "embedding": 0}, "embedding must be positive"),
        ({"name": "eegnet", "dropout": 1.0}, "dropout must be at least 0 and below 1, found 1.0"),
        ({"name": "eegnet", "samples": 30}, "30 at 125 Hz, which are 31 at 128 Hz, expected at least 32 for eegnet"),
        ({"name": "biot", "samples": 124}, "expected at least 200 for biot"),
        ({"name": "cbramod", "samples": 320}, "320 at 125 Hz, which are 512 at 200 Hz, expected a multiple of 200"),
        ({"name": "labram", "samples": 100}, "expected a multiple of 200 for labram"),
        ({"name": "biot", "weights": "biot.pt"}, "weights and sha256 go together"),
        ({"name": "biot", "sha256": "ab"}, "weights and sha256 go together"),
    ],
)
def test_spec_refuses(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LibrarySpec(**given)


def test_check_window_says_what_is_expected() -> None:
    spec = LibrarySpec("biot")
    spec.check_window(625, 125.0)
    with pytest.raises(ValueError, match=r"the model's 125 Hz \(model\.rate\)"):
        spec.check_window(625, 200.0)
    with pytest.raises(ValueError, match=r"the model's 625 samples \(model\.samples\)"):
        spec.check_window(626, 125.0)


def test_provenance_says_what_a_result_began_with() -> None:
    assert LibrarySpec("labram").provenance == "architecture only"
    given = LibrarySpec("labram", weights="some/where/labram.safetensors", sha256="0123456789abcdef")
    assert given.provenance == "weights labram.safetensors, sha256 0123456789ab"


def test_bipolar_montage_does_not_see_what_all_channels_share() -> None:
    matrix = montage("biot")
    assert matrix.shape == (16, 60) and set(matrix.flat) == {-1.0, 0.0, 1.0}
    assert not matrix.sum(1).any()
    row = dict(zip(UNIFIED, matrix[TCP.index("T7-P7")], strict=True))
    assert row["T7"] == 1 and row["P7"] == -1


def test_neither_configuration_nor_families_import_braindecode() -> None:
    code = "import sys, mdjpt_platform.families; print({'braindecode', 'torchaudio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
