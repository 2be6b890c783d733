"""A state comes back from disk bit by bit, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from mdjpt_platform.corpora.base import Trial
from mdjpt_platform.preprocess.identical import Prints
from mdjpt_platform.preprocess.kept import PIECES, STATE, Underway, is_kept, load_kept, prune, save_kept
from mdjpt_platform.preprocess.signals import Piece, Signals


def underway() -> Underway:
    rng = np.random.default_rng(0)
    pieces = (
        Piece(rng.standard_normal((3, 50)) / 3, (Trial(1, "a", 2, "joy", 1 / 3, None, 0.1, 1 / 7),)),
        Piece(np.array([[np.pi], [-0.0], [5e-324]]), (Trial(2, "b", 1, None), Trial(4, "é", 3, "joy", start=1e-9))),
    )
    signals = Signals(
        ("F3", "F4", "OZ"), 1000 / 7, pieces, "sub-1_ses-1", ("F3", "F4"), 1e-6,
        {1: ("F3",), 12: ()}, {4: "2 of 3 channels bad"}, {"ica": {"removed": [0.1, None], "method": "picard"}},
    )  # fmt: skip
    return Underway(signals, Prints("ab", {1: "cd", 2: "", 4: "ef"}), {"sd": [1.0, 0.1]})


def test_everything_comes_back(tmp_path: Path) -> None:
    state = underway()
    save_kept(tmp_path / "steps" / "key", state)
    found = load_kept(tmp_path / "steps" / "key")
    assert found is not None and is_kept(tmp_path / "steps" / "key")
    assert (found.prints, found.before) == (state.prints, state.before)
    for field in fields(Signals):
        if field.name != "pieces":
            assert getattr(found.signals, field.name) == getattr(state.signals, field.name), field.name
    for one, other in zip(found.signals.pieces, state.signals.pieces, strict=True):
        assert one.trials == other.trials and one.data.tobytes() == other.data.tobytes()
        assert one.data.flags.writeable and one.data.flags.c_contiguous and one.data.shape == other.data.shape
    assert list((tmp_path / "steps").iterdir()) == [tmp_path / "steps" / "key"]


def test_columns_first_in_memory_is_no_other_signal(tmp_path: Path) -> None:
    state = underway()
    pieces = tuple(replace(piece, data=np.asfortranarray(piece.data)) for piece in state.signals.pieces)
    save_kept(tmp_path / "a" / "key", state)
    save_kept(tmp_path / "b" / "key", replace(state, signals=replace(state.signals, pieces=pieces)))
    for name in (PIECES, STATE):
        assert (tmp_path / "a" / "key" / name).read_bytes() == (tmp_path / "b" / "key" / name).read_bytes()


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: flipped(folder / PIECES),
        lambda folder: flipped(folder / STATE),
        lambda folder: (folder / STATE).write_text((folder / STATE).read_text().replace("1e-06", "2e-06")),
        lambda folder: (folder / PIECES).write_bytes((folder / PIECES).read_bytes()[:-8]),
        lambda folder: (folder / PIECES).unlink(),
        lambda folder: (folder / STATE).unlink(),
        lambda folder: (folder / STATE).write_text("{}"),
        lambda folder: (folder / STATE).write_bytes(b"\xff\n\xff"),
    ],
)
def test_a_damaged_state_counts_as_none_and_goes(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    folder = tmp_path / "steps" / "key"
    save_kept(folder, underway())
    harm(folder)
    assert load_kept(folder) is None and not folder.exists() and not is_kept(folder)
    save_kept(folder, underway())
    assert load_kept(folder) is not None


def test_a_state_of_another_make_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_kept(tmp_path / "key", underway())
    monkeypatch.setattr("mdjpt_platform.preprocess.kept.Signals", lambda names, rate: None)  # fields that are no more
    assert load_kept(tmp_path / "key") is None


def test_an_error_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mdjpt_platform.preprocess.kept.Hashing", full)
    with pytest.raises(OSError, match="No space"):
        save_kept(tmp_path / "steps" / "key", underway())
    assert list((tmp_path / "steps").iterdir()) == []


def test_pruning(tmp_path: Path) -> None:
    prune(tmp_path, ())
    for key in ("a", "b", "c"):
        save_kept(tmp_path / "steps" / key, underway())
    prune(tmp_path, {"b", "z"})
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["b"]
