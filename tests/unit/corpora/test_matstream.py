"""One branch of a nested MAT variable: what SciPy reads, without the rest of the file."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from corpora_cases import refused
from layouts import dreamer
from mdjpt_platform.corpora import matstream

ROUTE = ("DREAMER", "Data", 1)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_branch_is_what_scipy_reads(tmp_path: Path, compressed: bool) -> None:
    path = dreamer.save(tmp_path, [dreamer.subject(k) for k in (1, 2, 3)], compressed)
    assert matstream.shape(path, ("DREAMER", "Data")) == (1, 3)
    found = matstream.branch(path, ROUTE, {"ECG", "baseline"})
    assert set(found) == {"Age", "Gender", "EEG", "ScoreValence", "ScoreArousal", "ScoreDominance"}
    assert (found["Age"], set(found["EEG"])) == ("22", {"stimuli"})
    theirs = loadmat(path)["DREAMER"][0, 0]["Data"][0, 1]
    for mine, whole in zip(found["EEG"]["stimuli"], theirs["EEG"][0, 0]["stimuli"][0, 0][:, 0], strict=True):
        np.testing.assert_array_equal(mine, whole)
    np.testing.assert_array_equal(found["ScoreValence"], theirs["ScoreValence"][0, 0])
    assert found["ScoreValence"].shape == (18, 1)


def test_integers_text_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "v.mat"
    items = dreamer.cells([np.arange(6, dtype=np.int16).reshape(2, 3), "text", np.zeros((0, 0)), 7.0], (2, 2))
    savemat(path, {"first": np.ones((50, 50)), "v": {"cells": items, "long_name_of_a_field": np.eye(2)}})
    numbers, word, empty, seven = matstream.branch(path, ("v", "cells"))
    # Cells come column by column: [0, 0], [1, 0], [0, 1], [1, 1].
    assert numbers.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert word.size == 0
    assert (empty, seven.tolist()) == ("text", [[7.0]])
    assert matstream.branch(path, ("v", "long_name_of_a_field")).tolist() == np.eye(2).tolist()
    refused(lambda: matstream.branch(path, ("v", "absent")), path, "nothing called absent")
    refused(lambda: matstream.branch(path, ("v", "cells", 4)), path, "nothing called 4")
    refused(lambda: matstream.branch(path, ("w",)), path, "no such variable")


def test_memory_is_that_of_the_branch(tmp_path: Path) -> None:
    path = dreamer.save(tmp_path, [dreamer.subject(k, seconds=8) for k in range(1, 5)])
    tracemalloc.start()
    found = matstream.branch(path, ("DREAMER", "Data", 3), {"ECG", "baseline"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = sum(clip.nbytes for clip in found["EEG"]["stimuli"])
    assert size < peak < 1.5 * size + 2**20  # the four subjects together are four times that


@pytest.mark.parametrize("compressed", [False, True])
def test_damage(tmp_path: Path, compressed: bool) -> None:
    path = dreamer.save(tmp_path, [dreamer.subject(1), dreamer.subject(2)], compressed)
    whole = path.read_bytes()
    for length in (0, 100, 128, 130, 200, len(whole) // 2, len(whole) * 3 // 4):
        path.write_bytes(whole[:length])
        refused(lambda: matstream.branch(path, ROUTE), path, "MAT file")
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert len(matstream.branch(path, ("DREAMER", "Data", 0))["EEG"]["stimuli"]) == 18  # lies before the damage
    path.write_bytes(whole[:200] + bytes(len(whole) - 200))
    refused(lambda: matstream.branch(path, ROUTE), path)
    rng = np.random.default_rng(0)
    for _ in range(60):  # no damage may end in anything but an answer or a refusal
        damaged = bytearray(whole)
        damaged[int(rng.integers(128, 600))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            matstream.branch(path, ROUTE)
        except matstream.BadInput as error:
            assert "\n" not in str(error)


def test_damage_inside_a_whole_variable_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "v.mat"
    # With its headers (56 bytes) the variable fills two buffers exactly: its last value comes before the checksum.
    savemat(path, {"v": np.random.default_rng(0).normal(size=(1, 2 * 2**13 - 7))}, do_compression=True)
    whole = path.read_bytes()
    for at in range(1000, len(whole), 30_011):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(lambda: matstream.branch(path, ("v",)), path)  # the checksum at the end tells


def test_a_declared_size_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "v.mat"
    savemat(path, {"v": np.arange(4.0)})
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<II", 9, 32))
    data[at : at + 8] = struct.pack("<II", 9, 2**31)
    path.write_bytes(data)
    refused(lambda: matstream.branch(path, ("v",)), path, "2147483648 bytes")
    savemat(path, {"v": {"a": np.array([1 + 2j])}})
    refused(lambda: matstream.branch(path, ("v", "a")), "complex")
    savemat(path, {"v": np.array([[(1.0,), (2.0,)]], dtype=[("a", object)])})
    refused(lambda: matstream.branch(path, ("v", "a")), "structure of shape (1, 2)")
