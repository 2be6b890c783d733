"""`mdjpt parity` on EMOD's vectors: they pass, and anything else is noticed or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mdjpt_platform.errors import BadInput
from mdjpt_platform.parity import TOLERANCE, parity

FILES = (".ckpt", ".vectors.safetensors", ".json")
Described = dict[str, Any]


@pytest.fixture
def copied(shared: Path, tmp_path: Path) -> Path:
    """PREFIX of EMOD's released vectors, as links in a folder of their own."""
    for suffix in FILES:
        (tmp_path / f"x{suffix}").symlink_to(shared / "golden" / f"emod_released{suffix}")
    return tmp_path / "x"


def replaced(prefix: Path, suffix: str) -> Path:
    path = prefix.with_name(prefix.name + suffix)
    path.unlink()
    return path


def described(prefix: Path, change: Callable[[Described], None]) -> None:
    content = json.loads(prefix.with_name("x.json").read_text())
    change(content)
    replaced(prefix, ".json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["emod_released", "emod_corrected"])
def test_reference_vectors_pass(shared: Path, name: str) -> None:
    outcome = parity(shared / "golden" / name)
    assert outcome["passed"] and outcome["worst"] == max(outcome["errors"].values()) <= TOLERANCE == 1e-4
    assert f"emod_{outcome['variant']}" == name and outcome["neighbours"].startswith("none")
    parts = {f"{batch}.{part}" for batch in "ab" for part in ("tokens", "encoded", "embedding")}
    assert set(outcome["errors"]) == parts | {"loss", "parameters", "gradient_norm"}
    assert max(outcome["errors"][part] for part in parts) < 3e-5 and outcome["errors"]["loss"] < 1e-5


def tensors_alone(prefix: Path) -> dict[str, float]:
    """Errors of the smaller batch's tensors; without the other there is no loss to compare."""
    described(prefix, lambda x: x["batches"].pop("a"))
    errors = parity(prefix)["errors"]
    return {part: errors[f"b.{part}"] for part in ("tokens", "encoded", "embedding")}


@pytest.mark.parametrize(
    ("weight", "first"),
    [
        ("embd.freq_tokenConv.0.weight", "tokens"),
        ("pos_embeddings.weight", "encoded"),
        ("axial_transformer.layers.1.width_attn.rel_pos_embed.rel_embed", "encoded"),
        ("axial_transformer.layers.0.height_attn.proj.bias", "encoded"),
        ("projection_head.4.weight", "embedding"),
    ],
)
def test_perturbed_weight_is_noticed(copied: Path, weight: str, first: str) -> None:
    whole = torch.load(copied.with_name("x.ckpt"), weights_only=True)
    whole["state_dict"][weight] += 0.05 * torch.randn_like(whole["state_dict"][weight])
    torch.save(whole, replaced(copied, ".ckpt"))
    assert next(part for part, error in tensors_alone(copied).items() if error > TOLERANCE) == first


def test_variant_of_the_description_is_obeyed(copied: Path) -> None:
    described(copied, lambda x: x.update(variant="corrected"))
    errors = tensors_alone(copied)
    assert errors["encoded"] > TOLERANCE > errors["tokens"]


def test_other_gradient_and_count_of_parameters_are_noticed(copied: Path) -> None:
    name = "axial_transformer.layers.2.norm_height.bias"

    def change(x: Described) -> None:
        x["grad_norm"][name] *= 1.01
        x["parameters"] += 1

    described(copied, change)
    outcome = parity(copied)
    assert not outcome["passed"] and outcome["errors"].pop("parameters") == 1
    assert outcome["errors"].pop("gradient_norm") > TOLERANCE >= max(outcome["errors"].values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.update(system="EEGNet"), "system: found 'EEGNet', expected one of: mdJPT, EMOD"),
        (lambda x: x.pop("d_max"), "kind: found no d_max"),
        (lambda x: x.update(variant="paper"), "variant 'paper'"),
        (lambda x: x["batches"]["b"].update(rate=200), "at one rate"),
        (lambda x: x.pop("system"), "the description of mdJPT vectors"),
    ],
)
def test_description_of_another_kind_is_refused(copied: Path, change: Callable[[Described], None], said: str) -> None:
    described(copied, change)
    with pytest.raises(BadInput, match=rf"x\.json: .*{said}"):
        parity(copied)


def test_missing_tensor_is_named(copied: Path) -> None:
    vectors = load_file(copied.with_name("x.vectors.safetensors"))
    vectors.pop("b.channel_ids")
    save_file(vectors, replaced(copied, ".vectors.safetensors"))
    with pytest.raises(BadInput, match=r"b\.channel_ids: found nothing"):
        parity(copied)


@pytest.mark.parametrize("suffix", FILES)
def test_missing_file_is_named(copied: Path, suffix: str) -> None:
    replaced(copied, suffix)
    with pytest.raises(BadInput, match=rf"x{suffix}: file: found nothing, expected PREFIX{suffix}"):
        parity(copied)


def test_weights_of_another_model_are_refused(shared: Path, copied: Path) -> None:
    replaced(copied, ".ckpt").symlink_to(shared / "golden" / "released.ckpt")
    with pytest.raises(BadInput, match="not a released EMOD checkpoint: foreign or missing weight") as refusal:
        parity(copied)
    assert "\n" not in str(refusal.value)


def test_ranking_is_refused_where_none_is_used(copied: Path) -> None:
    with pytest.raises(BadInput, match="neighbours: found a ranking, expected none"):
        parity(copied, copied.with_name("ranking.npy"))
