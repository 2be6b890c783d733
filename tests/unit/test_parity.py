"""`mdjpt parity`: the reference vectors pass, and anything else is noticed or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdjpt_platform.errors import BadInput
from mdjpt_platform.parity import TOLERANCE, parity

FILES = (".ckpt", ".vectors.safetensors", ".json")


@pytest.fixture
def copied(shared: Path, tmp_path: Path) -> Path:
    """PREFIX of the released vectors in a folder of its own, without the ranking of channels."""
    for suffix in FILES:
        (tmp_path / f"x{suffix}").symlink_to(shared / "golden" / f"released{suffix}")
    return tmp_path / "x"


def ranking(shared: Path) -> Path:
    return shared / "golden" / "channel_neighbours_released.npy"


def own(prefix: Path, suffix: str) -> Path:
    """The file itself instead of the link to it."""
    path = prefix.with_name(prefix.name + suffix)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mdjpt_platform.cli", "parity", *map(str, arguments)]
    single = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, timeout=120, env=single)


@pytest.mark.parametrize("name", ["released", "paper"])
def test_reference_vectors_pass(shared: Path, name: str) -> None:
    outcome = parity(shared / "golden" / name)
    assert outcome["passed"] and outcome["worst"] <= TOLERANCE == 1e-4
    assert outcome["variant"] == name and outcome["neighbours"] == "channel_neighbours_released.npy"
    assert {
        "SEED.projected",
        "DEAP.embedding",
        "SEED.latent",
        "DEAP.contrast",
        "alignment",
        "total",
        "gradient_norm",
    } <= set(outcome["errors"])
    assert outcome["worst"] == max(outcome["errors"].values())


def test_command_prints_one_json_line(shared: Path) -> None:
    done = command(shared / "golden" / "paper")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("\n") == 1 and json.loads(done.stdout)["passed"] is True


@pytest.mark.parametrize(
    "weight",
    ["uni_mlp.fc.weight", "MLLA.encoder.read_in.bias", "cnn_encoder.timeConv2.weight", "cnn_encoder.att_conv.bias"],
)
def test_perturbed_weight_is_noticed(shared: Path, copied: Path, weight: str) -> None:
    path = own(copied, ".ckpt")
    whole = torch.load(path, weights_only=True)
    whole["state_dict"][weight] += 0.05 * torch.randn_like(whole["state_dict"][weight])
    torch.save(whole, path)
    outcome = parity(copied, ranking(shared))
    assert not outcome["passed"] and outcome["worst"] > TOLERANCE


def test_command_fails_on_a_perturbed_weight(shared: Path, copied: Path) -> None:
    path = own(copied, ".ckpt")
    whole = torch.load(path, weights_only=True)
    whole["state_dict"]["uni_mlp.fc.weight"] *= 1.01
    torch.save(whole, path)
    done = command(copied, "--neighbours", ranking(shared))
    assert done.returncode == 1 and done.stderr == ""
    assert json.loads(done.stdout)["passed"] is False


def test_unused_weight_does_not_matter(shared: Path, copied: Path) -> None:
    path = own(copied, ".ckpt")
    whole = torch.load(path, weights_only=True)
    whole["state_dict"]["cnn_encoder.timeConv.weight"] += 1
    torch.save(whole, path)
    assert parity(copied, ranking(shared))["passed"]


def test_switches_of_the_description_are_obeyed(shared: Path, copied: Path) -> None:
    path = own(copied, ".json")
    described = json.loads(path.read_text())
    described["switches"]["covariance_diagonal"] = "keep"
    path.write_text(json.dumps(described))
    outcome = parity(copied, ranking(shared))
    assert not outcome["passed"] and outcome["errors"]["alignment"] > TOLERANCE
    assert outcome["errors"]["SEED.latent"] <= TOLERANCE


def test_dead_weights_that_the_description_calls_live_are_refused(shared: Path, copied: Path) -> None:
    path = own(copied, ".json")
    described = json.loads(path.read_text())
    described["switches"]["block_output"] = "full"
    path.write_text(json.dumps(described))
    with pytest.raises(BadInput, match="the reference's switches differ"):
        parity(copied, ranking(shared))


def test_recomputed_ranking_is_said(copied: Path) -> None:
    outcome = parity(copied)
    assert outcome["neighbours"].startswith("recomputed from electrode positions")
    assert outcome["errors"]["SEED.projected"] <= TOLERANCE, "a complete cap needs no neighbours"


def test_given_ranking_is_used(shared: Path, copied: Path) -> None:
    outcome = parity(copied, ranking(shared))
    assert outcome["passed"] and outcome["neighbours"] == "channel_neighbours_released.npy"
    turned = copied.parent / "turned.npy"
    np.save(turned, np.load(ranking(shared))[:, ::-1])
    outcome = parity(copied, turned)
    assert outcome["neighbours"] == "turned.npy" and outcome["errors"]["DEAP.projected"] > TOLERANCE


@pytest.mark.parametrize(
    "table", [np.zeros((60, 60), np.int64), np.tile(np.arange(62), (62, 1)), np.array([{"a": 1}], dtype=object), None]
)
def test_ranking_of_another_kind_is_refused(copied: Path, table: Any) -> None:
    path = copied.parent / "bad.npy"
    if table is not None:
        np.save(path, table)
    with pytest.raises(BadInput, match=r"bad\.npy: neighbours"):
        parity(copied, path)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_hostile_ranking_does_not_run(copied: Path) -> None:
    path, marker = copied.parent / "bad.npy", copied.parent / "ran"
    np.save(path, np.array([Hostile(marker)], dtype=object))
    with pytest.raises(BadInput, match=r"bad\.npy: neighbours"):
        parity(copied, path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", FILES)
def test_missing_file_is_named(copied: Path, suffix: str) -> None:
    copied.with_name(f"x{suffix}").unlink()
    with pytest.raises(BadInput, match=rf"x{suffix}: file: found nothing, expected PREFIX{suffix}"):
        parity(copied)


@pytest.mark.parametrize("suffix", FILES)
def test_file_of_another_kind_is_named(copied: Path, suffix: str) -> None:
    own(copied, suffix).write_bytes(b"something else")
    with pytest.raises(BadInput, match=f"x{suffix}: ") as refusal:
        parity(copied)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["[]", "{}", '{"datasets": []}', '{"datasets": ["SEED"], "contrastive": {"SEED": 1}}'])
def test_description_of_another_kind_is_refused(copied: Path, text: str) -> None:
    own(copied, ".json").write_text(text)
    with pytest.raises(BadInput, match=r"x\.json: "):
        parity(copied)


def test_vectors_of_another_model_are_refused(shared: Path, copied: Path) -> None:
    path = copied.with_name("x.vectors.safetensors")
    path.unlink()
    path.symlink_to(shared / "golden" / "emod_released.vectors.safetensors")
    with pytest.raises(BadInput, match=r"x\.vectors\.safetensors: SEED\.input: found nothing"):
        parity(copied)
