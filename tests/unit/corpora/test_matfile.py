"""MATLAB files: one variable at a time, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from corpora_cases import refused
from mdjpt_platform.corpora import matfile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    savemat(tmp_path / "a.mat", {"x": np.arange(6.0).reshape(2, 3), "text": "word", "y": [[1j]]}, do_compression=True)
    return tmp_path / "a.mat"


def test_names_shapes_values(path: Path) -> None:
    assert matfile.variables(path) == {"x": (2, 3), "text": (1,), "y": (1, 1)}
    assert matfile.load(path, "x").tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert matfile.matrix(str(path), "x", (2, 3)).shape == (2, 3)


def test_refusals(path: Path) -> None:
    refused(lambda: matfile.load(path, "z"), path, "variables", "expected z")
    refused(lambda: matfile.matrix(path, "x", (3, 2)), path, "shape of x", "(2, 3)", "(3, 2)")
    refused(lambda: matfile.numbers(path, "text"), path, "type of text", "str", "numbers")
    refused(lambda: matfile.numbers(path, "y"), path, "complex numbers")
    savemat(path, {"x": [[np.inf, 1.0]]})
    refused(lambda: matfile.numbers(path, "z"), path, "no such variable", "with z")
    refused(lambda: matfile.matrix(path, "x", (1, 2)), path, "NaN or infinite")
    refused(lambda: matfile.load(path.with_name("b.mat"), "x"), "b.mat", "nothing there")
    refused(lambda: matfile.load(path.parent, "x"), path.parent, "IsADirectoryError")


@pytest.mark.parametrize("compressed", [True, False])
def test_truncated(path: Path, compressed: bool) -> None:
    savemat(path, {"x": np.random.default_rng(0).normal(size=(20, 50))}, do_compression=compressed)
    whole = path.read_bytes()
    for length in (0, 3, 64, 128, 140, 200, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        refused(lambda: matfile.load(path, "x"), path)
        refused(lambda: matfile.numbers(path, "x"), path)


def test_version_seven_three(tmp_path: Path) -> None:
    """Both with MATLAB's text before it and as h5py writes it."""
    plain, dressed = tmp_path / "plain.mat", tmp_path / "dressed.mat"
    with h5py.File(plain, "w") as file:
        file["x"] = np.zeros((2, 2))
    with h5py.File(dressed, "w", userblock_size=512) as file:
        file["x"] = np.zeros((2, 2))
    with dressed.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124))
    for path in (plain, dressed):
        refused(lambda path=path: matfile.variables(path), path, "version 7.3 (HDF5)", "'-v7'")
        refused(lambda path=path: matfile.load(path, "x"), path, "version 7.3 (HDF5)")


def test_headers_that_promise_too_much(path: Path) -> None:
    """The shape is believed by nobody: more than memory holds is refused before any is taken."""
    savemat(path, {"x": np.zeros((3, 5))})
    whole = path.read_bytes()
    shape = np.array([3, 5], "<i4").tobytes()
    path.write_bytes(whole.replace(shape, np.array([62, 2**30], "<i4").tobytes()))
    refused(lambda: matfile.variables(path), path, "shape of x", "(62, 1073741824)")
    refused(lambda: matfile.load(path, "x"), path, "shape of x")
    path.write_bytes(whole + whole[128:])
    refused(lambda: matfile.variables(path), path, "x twice")


@pytest.mark.parametrize("place", [144, 184, 185, 152, 168, 136, 188])
def test_damaged_tags(path: Path, place: int) -> None:
    """Byte 185 makes the type of the values 14 601: SciPy looks that up in a table of 17 and the process ends."""
    savemat(path, {"a_eeg1": np.arange(30.0).reshape(3, 10)})
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 57
    path.write_bytes(damaged)
    refused(lambda: matfile.matrix(path, "a_eeg1", (3, 10)), path)
