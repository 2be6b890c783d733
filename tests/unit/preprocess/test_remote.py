"""Raw data on object storage: listed and read as from a folder, with one recording on the node's disk at a time."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import SMALL, first, listed, read, refused, small, small_config
from mdjpt_platform import objects
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.corpora.base import Recording
from mdjpt_platform.objects import Place, at
from mdjpt_platform.preprocess import remote, resolve
from mdjpt_platform.preprocess.keys import codes_of
from mdjpt_platform.preprocess.recording import Task, prepare_recording
from mdjpt_platform.preprocess.remote import fetched, outline, prepare_remote
from storage_cases import faulty, passing_once


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "WAIT", 0.0)
    monkeypatch.setattr(remote, "SMALL", 1000)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of one large file, a small one, a large table, and no recordings."""
    folder = tmp_path / "raw"
    (folder / "sub-01" / "empty").mkdir(parents=True)
    (folder / "sub-01" / "signal.bin").write_bytes(b"\1" * 5000)
    (folder / "sub-01" / "events.TSV").write_text("onset\n" + "1\n" * 5000)
    (folder / "label.mat").write_bytes(b"\2" * 1000)
    os.utime(folder / "sub-01" / "signal.bin", ns=(10**18 + 7, 10**18 + 7))
    return folder


def place_of(folder: Path) -> Place:
    return at(folder.as_uri())


def below(root: Path, recordings: list[Recording]) -> list[Recording]:
    """The same recordings with files relative to the corpus' folder, to compare listings of two places."""
    return [replace(r, files=tuple(Path(f).relative_to(root).as_posix() for f in r.files)) for r in recordings]


def test_the_outline_has_small_files_and_hollow_large_ones(raw: Path, tmp_path: Path) -> None:
    with outline(place_of(raw), tmp_path / "scratch") as found:
        assert found.root.name == "raw"
        for path in raw.rglob("*"):
            copy = found.root / path.relative_to(raw)
            assert copy.is_dir() == path.is_dir() and copy.is_file() == path.is_file()
            if path.is_file():
                ours, theirs = copy.stat(), path.stat()
                assert (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)
        assert (found.root / "sub-01" / "events.TSV").read_text() == (raw / "sub-01" / "events.TSV").read_text()
        assert (found.root / "label.mat").read_bytes() == b"\2" * 1000
        assert (found.root / "sub-01" / "signal.bin").stat().st_blocks == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_large_text_file_stays_hollow(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LARGEST_SIDE", 2000)
    with outline(place_of(raw), tmp_path) as found:
        assert (found.root / "sub-01" / "events.TSV").stat().st_blocks == 0


@pytest.mark.parametrize(
    "opened",
    [
        lambda path: path.read_bytes(),
        lambda path: os.open(path, os.O_RDONLY),
        lambda path: open(os.fsencode(path), "rb"),  # noqa: SIM115
        lambda path: open(os.path.relpath(path)),  # noqa: SIM115
        lambda path: np.fromfile(str(path)),
        lambda path: np.memmap(path),
    ],
    ids=["pathlib", "os", "bytes", "relative", "fromfile", "memmap"],
)
def test_hollow_files_cannot_be_opened(raw: Path, tmp_path: Path, opened: Callable[[Path], object]) -> None:
    def listing() -> None:
        with outline(place_of(raw), tmp_path) as found:
            opened(found.root / "sub-01" / "signal.bin")
            raise AssertionError("it was opened")

    refused(listing, "raw/sub-01/signal.bin", "5000 bytes", "copy this corpus to a folder")
    assert not remote._hollow and not remote._opened


def test_a_reader_that_hides_the_refusal(raw: Path, tmp_path: Path) -> None:
    def listing() -> None:
        with outline(place_of(raw), tmp_path) as found, suppress(Exception):
            (found.root / "sub-01" / "signal.bin").read_bytes()

    refused(listing, "signal.bin", "a reader that opens this file")
    with outline(place_of(raw), tmp_path):  # nothing is left of it
        pass


def test_an_outline_that_cannot_be_made(raw: Path, tmp_path: Path) -> None:
    def begin(place: Place, scratch: Path) -> None:
        with outline(place, scratch):
            raise AssertionError

    refused(lambda: begin(place_of(raw / "absent"), tmp_path), "absent", "nothing there")
    (tmp_path / "file").write_text("")
    refused(lambda: begin(place_of(raw), tmp_path / "file"), "file")
    handler, place = faulty(raw)
    handler.fail = lambda kind, path, n: OSError("AWS Error ACCESS_DENIED") if kind == "read" else None
    refused(lambda: begin(place, tmp_path / "scratch"), "ACCESS_DENIED")
    assert list((tmp_path / "scratch").iterdir()) == []
    handler.extra, handler.fail = ["../outside"], lambda kind, path, n: None
    refused(lambda: begin(place, tmp_path / "scratch"), "../outside")


def test_the_listing_is_one_request(raw: Path, tmp_path: Path) -> None:
    handler, place = faulty(raw)
    with outline(place, tmp_path):
        assert handler.seen["list"] == 1 and handler.seen["open"] == 2


def test_fetched_files(raw: Path, tmp_path: Path) -> None:
    handler, place = faulty(raw)
    handler.fail = passing_once("read", 4)
    with outline(place, tmp_path) as found:
        names = [str(found.root / name) for name in ("sub-01/signal.bin", "label.mat")]
    part = found.part(names)
    assert sorted(part.objects) == ["label.mat", "sub-01/signal.bin"]
    with fetched(part, names, tmp_path / "node") as local:
        assert [Path(name).relative_to(local.root).as_posix() for name in local.files] == [
            "sub-01/signal.bin",
            "label.mat",
        ]
        assert [Path(name).read_bytes() for name in local.files] == [b"\1" * 5000, b"\2" * 1000]
        assert os.stat(local.files[0]).st_mtime_ns == 10**18 + 7
        sums = [hashlib.sha256(content).hexdigest() for content in (b"\1" * 5000, b"\2" * 1000)]
        assert local.digests == dict(zip(map(part.mark, names), sums, strict=True))
        assert local.portable(f"{local.files[0]}: size; {local.root}") == "sub-01/signal.bin: size; ."
    assert list((tmp_path / "node").iterdir()) == []


def test_the_outline_of_a_recording_travels(raw: Path, tmp_path: Path) -> None:
    with outline(place_of(raw), tmp_path) as found:
        name = str(found.root / "sub-01" / "signal.bin")
    part = pickle.loads(pickle.dumps(found.part([name])))
    with fetched(part, [name], tmp_path) as local:
        assert Path(local.files[0]).read_bytes() == b"\1" * 5000
    refused(lambda: found.part([str(found.root / "else")]), "raw/else", "a file of the corpus")
    refused(lambda: found.part([str(tmp_path / "sub-01" / "signal.bin")]), "signal.bin", "a file of the corpus")


def test_a_mark_changes_with_size_and_time(raw: Path, tmp_path: Path) -> None:
    marks = []
    path = raw / "sub-01" / "signal.bin"
    for size, time in ((5000, 7), (5000, 8), (6000, 8)):
        path.write_bytes(b"\1" * size)
        os.utime(path, ns=(time, time))
        for _ in range(2):
            with outline(place_of(raw), tmp_path) as found:
                marks.append(found.mark(str(found.root / "sub-01" / "signal.bin")))
    assert marks[::2] == marks[1::2] and len(set(marks)) == 3


def test_a_failed_fetch_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    with outline(place_of(raw), tmp_path) as found:
        name = str(found.root / "sub-01" / "signal.bin")

    def fetch() -> None:
        with fetched(found, [name], tmp_path / "node"):
            raise AssertionError

    (raw / "sub-01" / "signal.bin").write_bytes(b"\1" * 4000)
    refused(fetch, "signal.bin", "4000 bytes", "5000, as listed")
    assert list((tmp_path / "node").iterdir()) == []
    shutil.rmtree(raw)
    refused(fetch, "signal.bin", "nothing there")


def test_room_is_asked_for_before(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with outline(place_of(raw), tmp_path) as found:
        name = str(found.root / "sub-01" / "signal.bin")
    huge = {name: replace(item, size=1 << 60) for name, item in found.objects.items()}

    with pytest.raises(OSError, match=f"{1 << 40} MB needed"), fetched(replace(found, objects=huge), [name], tmp_path):
        raise AssertionError


@pytest.mark.parametrize("layout", SMALL)
def test_a_corpus_is_listed_and_read_as_from_a_folder(layout: str, tmp_path: Path) -> None:
    root, options = small(layout), small_config(layout)
    with outline(place_of(root), tmp_path) as found:
        recordings = listed(found.root, options)
        assert below(found.root, recordings) == below(root, listed(root, options))
        assert any(not remote._is_side(item) for item in found.objects.values())
    with fetched(found.part(recordings[0].files), recordings[0].files, tmp_path) as local:
        ours, theirs = read(replace(recordings[0], files=local.files)), first(root, options)
        assert [segment.trials for segment in ours] == [segment.trials for segment in theirs]
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.raw.get_data(), other.raw.get_data())


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[list[Recording], Task]:
    """Recordings of a small corpus in a folder, and a task whose work folder is empty."""
    recipe = resolve("minimal")
    corpus = CORPORA["faced"]
    task = Task(corpus, recipe, tmp_path / "work", codes_of(corpus, recipe), "none")  # what is kept depends on time
    return listed(small("faced"), small_config("faced")), task


def work_of(task: Task) -> dict[str, bytes]:
    return {p.relative_to(task.work).as_posix(): p.read_bytes() for p in sorted(task.work.rglob("*")) if p.is_file()}


def test_the_result_is_that_of_a_folder(prepared: tuple[list[Recording], Task], tmp_path: Path) -> None:
    recordings, task = prepared
    handler, place = faulty(small("faced"))
    handler.fail = passing_once("read", 2)
    with outline(place, tmp_path) as found:
        remotes = listed(found.root, small_config("faced"))
    other = replace(task, work=tmp_path / "other")
    ours = [prepare_remote(r, task, found.part(r.files), tmp_path / "node") for r in remotes]
    theirs = [prepare_recording(r, other) for r in recordings]
    assert [replace(o, digests="", seconds="") for o in ours] == [replace(o, digests="", seconds="") for o in theirs]
    assert {o.state for o in ours} == {"done"}
    assert work_of(task) == work_of(other)
    assert list((tmp_path / "node").iterdir()) == []
    # what is known to be there is not fetched again
    opened = handler.seen["open"]
    digests = {mark: sha for o in ours for mark, sha in json.loads(o.digests).items()}
    again = [prepare_remote(r, replace(task, digests=digests), found, tmp_path / "node") for r in remotes]
    assert [replace(o, state="done", seconds=p.seconds) for o, p in zip(again, ours, strict=True)] == ours
    assert {o.state for o in again} == {"cached"} and handler.seen["open"] == opened
    known = {o.id: o.work for o in ours}
    last = [prepare_remote(r, replace(other, work=tmp_path / "none", digests=digests, known=known), found, tmp_path)
            for r in remotes]  # fmt: skip
    assert {o.state for o in last} == {"finished"} and handler.seen["open"] == opened
    # ... but it is without a result
    assert prepare_remote(remotes[0], replace(other, work=tmp_path / "none", digests=digests), found, tmp_path
                          ).state == "done"  # fmt: skip


def test_what_is_wrong_with_one_recording(prepared: tuple[list[Recording], Task], tmp_path: Path) -> None:
    _, task = prepared
    shutil.copytree(small("faced"), tmp_path / "raw")
    (broken,) = (tmp_path / "raw").rglob("sub000.pkl")
    broken.write_bytes(b"\0" * 5000)
    handler, place = faulty(tmp_path / "raw")
    with outline(place, tmp_path) as found:
        first, second = listed(found.root, small_config("faced"))
    damaged = prepare_remote(first, task, found, tmp_path / "node")
    assert damaged.state == "failed" and damaged.reason.startswith("Processed_data/sub000.pkl: ")
    handler.fail = lambda kind, path, n: OSError("AWS Error ACCESS_DENIED") if kind == "open" else None
    denied = prepare_remote(second, task, found, tmp_path / "node")
    assert denied.state == "failed" and "ACCESS_DENIED" in denied.reason and "sub001.pkl" in denied.reason
    (tmp_path / "file").write_text("")
    assert prepare_remote(second, task, found, tmp_path / "file").state == "unwritable"
    assert prepare_remote(replace(second, problem="no session"), task, found, tmp_path).reason == "no session"
