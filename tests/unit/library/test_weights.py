"""Weights from a file: what is read, what fits, and what the refusals name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mdjpt_platform.errors import BadInput
from mdjpt_platform.library.weights import fill, read_weights


class Small(nn.Module):
    """With the two kinds of names that are treated apart: a table of positions in time, and a head."""

    def __init__(self, times: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)
        self.temporal_embedding = nn.Parameter(torch.randn(1, times, 2))
        self.final_layer = nn.Linear(2, 1)


HEADS = ("final_layer.",)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_both_kinds_of_file_give_the_same_tensors(tmp_path: Path, ending: str) -> None:
    path, state = tmp_path / f"w.{ending}", Small().state_dict()
    if ending == "pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    found = read_weights(path, digest(path).upper())
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def test_absent_and_altered_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with pytest.raises(BadInput, match=r"w\.pt: model\.weights: found No such file .* expected a local file"):
        read_weights(path, "0" * 64)
    torch.save(Small().state_dict(), path)
    with pytest.raises(BadInput, match=rf"model\.sha256: found {digest(path)}, expected {'0' * 64}"):
        read_weights(path, "0" * 64)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.marker,)  # type: ignore[return-value]


def test_nothing_in_a_file_runs(tmp_path: Path) -> None:
    path, marker = tmp_path / "w.pt", tmp_path / "ran"
    torch.save({"body.weight": Hostile(marker)}, path)
    with pytest.raises(BadInput, match="content: found no state dictionary"):
        read_weights(path, digest(path))
    assert not marker.exists()


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_rubbish_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"w.{ending}"
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(BadInput, match="content: found no state dictionary"):
        read_weights(path, digest(path))


def test_a_whole_training_state_is_not_a_state_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"model": Small().state_dict(), "epoch": 3}, path)
    with pytest.raises(BadInput, match="found objects other than tensors"):
        read_weights(path, digest(path))


def test_fill_takes_the_body_and_leaves_the_head() -> None:
    net, other = Small(), Small()
    head = net.final_layer.weight.clone()
    fill(net, {**other.state_dict(), "final_layer.extra": torch.zeros(1)}, HEADS, "file")
    assert torch.equal(net.body.weight, other.body.weight) and torch.equal(net.final_layer.weight, head)


def test_longer_table_of_times_gives_its_first_rows_and_a_shorter_one_is_refused() -> None:
    net, longer = Small(3), Small(9)
    fill(net, longer.state_dict(), HEADS, "file")
    assert torch.equal(net.temporal_embedding, longer.temporal_embedding[:, :3])
    with pytest.raises(BadInput, match=r"found 1 of another shape \(temporal_embedding\)"):
        fill(net, Small(2).state_dict(), HEADS, "file")


def test_weights_of_another_model_are_counted_and_named() -> None:
    net = Small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    foreign = {f"layer{n}.weight": torch.zeros(1) for n in range(5)} | {"body.bias": torch.zeros(7)}
    said = (
        r"^file: weights of another model: found 2 missing \(body\.weight, temporal_embedding\); "
        r"5 unknown \(layer0\.weight, layer1\.weight, layer2\.weight, \.\.\.\); "
        r"1 of another shape \(body\.bias\), expected the 3 names of Small$"
    )
    with pytest.raises(BadInput, match=said):
        fill(net, foreign, HEADS, "file")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
