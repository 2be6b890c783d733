"""Nothing in a pickle runs, and the arrays in it come out as they went in."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import first, refused, small, small_config
from mdjpt_platform.corpora.pickles import load_arrays

PYTHON_2 = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01bq\x04\x87q\x05Rq\x06("
    b"K\x01K\x02\x85cnumpy\ndtype\nq\x07U\x02f8K\x00K\x01\x87q\x08R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    b"b\x89U\x10" + np.array([1.5, -2.0]).tobytes() + b"tb."
)


def stored(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "some.pkl"
    path.write_bytes(content)
    return path


class Calls:
    """Pickles into a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i2", "u1", "<i8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_protocol_come_out_equal(tmp_path: Path, protocol: int, dtype: str, order: str) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype=dtype, order=order)
    content = pickle.dumps({"data": array, "labels": array[:, 0, 0].copy()}, protocol=protocol)
    found = load_arrays(stored(tmp_path, content))
    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["data"], array)
    np.testing.assert_array_equal(found["labels"], array[:, 0, 0])


def test_pickles_of_python_2_and_of_both_numpy_generations(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_arrays(stored(tmp_path, PYTHON_2)), [1.5, -2.0])
    content = pickle.dumps(np.arange(3.0), protocol=2)
    assert b"numpy._core" in content
    old = content.replace(b"numpy._core", b"numpy.core")
    np.testing.assert_array_equal(load_arrays(stored(tmp_path, old)), [0.0, 1.0, 2.0])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("nested", [False, True])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path, protocol: int, nested: bool) -> None:
    marker = tmp_path / "marker"
    hostile = Calls(os.system, f"touch {marker}")
    content = pickle.dumps({"data": np.zeros(3), "labels": hostile} if nested else hostile, protocol=protocol)
    path = stored(tmp_path, content)
    refused(lambda: load_arrays(path), path, "posix.system", "nothing was executed")
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()  # the pickle does what it is feared for


@pytest.mark.parametrize(
    "call",
    [
        Calls(eval, "1 + 1"),
        Calls(getattr, "text", "upper"),
        Calls(np.load, "some.npy"),
        Calls(np.fromfile, "some.bin"),
        Calls(Path, "x"),
    ],
)
def test_every_other_global_is_named(tmp_path: Path, call: Calls) -> None:
    function = call.call[0]
    refused(lambda: load_arrays(stored(tmp_path, pickle.dumps(call))), getattr(function, "__name__", "Path"))


def test_harmless_globals_do_nothing_but_array_building(tmp_path: Path) -> None:
    # A codec that inflates, text that no array holds, arrays of objects, records, text, complex numbers.
    bomb = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."
    objects = np.empty(1, dtype=object)
    objects[0] = [1]
    for content in (
        bomb,
        pickle.dumps(objects),
        pickle.dumps(np.zeros(2, dtype=[("a", "f8"), ("b", "O")])),
        pickle.dumps(np.array(["text"])),
        pickle.dumps(np.zeros(2, dtype=complex)),
        pickle.dumps(np.dtype("f8")),
        pickle.dumps([np.zeros(2)]),
        pickle.dumps({1: np.zeros(2)}),
        pickle.dumps("text"),
        PYTHON_2.replace(b"f8", b"f1"),
        PYTHON_2.replace(b"f8", b"O8"),
        PYTHON_2.replace(b"K\x01K\x02\x85", b"K\x01K\x03\x85"),
        b"\x80\x02cnumpy\nndarray\n}U\x08__init__K\x01sb.",
    ):
        refused(lambda content=content: load_arrays(stored(tmp_path, content)), "some.pkl", "pickle")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"data": np.arange(5.0)}, protocol=2)
    ends = [position for _, _, position in pickletools.genops(content) if position]
    for end in (0, 1, *ends, len(content) - 1):
        refused(lambda end=end: load_arrays(stored(tmp_path, content[:end])), "some.pkl", "pickle")


def test_scrambled_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    content = pickle.dumps({"data": np.arange(5.0)}, protocol=2)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(0, 256)
        try:
            found = load_arrays(stored(tmp_path, bytes(damaged)))
        except Exception as error:
            assert type(error).__name__ == "BadInput", repr(error)
        else:
            assert isinstance(found, dict | np.ndarray)


def test_absurd_sizes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.pkl"
    with path.open("wb") as file:
        file.truncate(5 * 2**30)  # a sparse file: no byte is written
    refused(lambda: load_arrays(path), "huge.pkl", "size", "at most")
    refused(lambda: load_arrays(tmp_path / "absent.pkl"), "absent.pkl", "No such file")


def test_the_readers_of_pickles_go_this_way(tmp_path: Path) -> None:
    for layout, place in (("faced", "Processed_data/sub000.pkl"), ("deap", "data_preprocessed_python/s01.dat")):
        path = tmp_path / layout / place
        path.parent.mkdir(parents=True)
        marker = tmp_path / f"{layout}-marker"
        path.write_bytes(pickle.dumps(Calls(os.system, f"touch {marker}")))
        refused(lambda layout=layout: first(tmp_path / layout, small_config(layout)), path, "posix.system")
        assert not marker.exists()
        assert first(small(layout), small_config(layout))
