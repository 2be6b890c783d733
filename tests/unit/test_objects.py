"""Object storage: what is copied is what was listed, through passing errors; credentials never appear."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import refused
from mdjpt_platform import objects
from mdjpt_platform.errors import BadInput
from mdjpt_platform.objects import Object, at, download, is_uri, joined, listing, shown, upload
from storage_cases import faulty, passing_once

CONTENT = np.random.default_rng(0).bytes(10_000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "WAIT", 0.0)
    monkeypatch.setattr(objects, "CHUNK", 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw data" / "sub").mkdir(parents=True)
    (tmp_path / "raw data" / "sub" / "a.bin").write_bytes(CONTENT)
    (tmp_path / "raw data" / "b.txt").write_text("b")
    (tmp_path / "raw data" / "empty").mkdir()
    return tmp_path / "raw data"


@pytest.mark.parametrize(
    ("text", "uri"),
    [("s3://b/p", True), ("file:///x", True), ("GS://b", True), ("data/raw", False), ("/abs", False), ("a:/b", False)],
)
def test_uri_or_folder(text: str, uri: bool) -> None:
    assert is_uri(text) is uri


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAUSER:sEcReT@bucket/path",
        "s3://AKIAUSER@bucket/path",
        "s3://AKIAUSER:sEc/ReT@bucket/path",
        "abfs://:sEcReT@account.blob.core.windows.net/path",
        "s3://bucket/path?secret_key=sEcReT",
        "gs://bucket/path?access_token=sEcReT",
        "abfs://c@account/path?sas=sEcReT",
    ],
)
def test_credentials_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(BadInput, match="credentials") as caught:
        at(uri)
    assert "sEc" not in str(caught.value) and "AKIA" not in str(caught.value) and "ReT" not in str(caught.value)


def test_a_uri_for_messages() -> None:
    assert shown("s3://bucket/path/?region=eu-north-1") == "s3://bucket/path"
    assert shown("hdfs://me@host:8020/path") == "hdfs://host:8020/path"
    assert joined("s3://bucket/path/?region=x", "a", "b") == "s3://bucket/path/a/b?region=x"


def test_unknown_scheme() -> None:
    refused(lambda: at("ftp://host/path"), "ftp://host/path", "pyarrow.fs opens")


def test_listing(folder: Path) -> None:
    place = at(folder.as_uri() + "/")
    files, folders = listing(place)
    assert [(file.name, file.size) for file in files] == [("b.txt", 1), ("sub/a.bin", 10_000)]
    assert files[0].modified == (folder / "b.txt").stat().st_mtime_ns
    assert folders == ["empty", "sub"]
    assert [file.name for file in listing(place.below("sub"))[0]] == ["a.bin"]
    again = pickle.loads(pickle.dumps(place))
    assert (again.uri, again.base, listing(again)) == (place.uri, place.base, (files, folders))
    refused(lambda: listing(place.below("absent")), "absent", "nothing there")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../b", "./a", "a//b", "x\\..\\y"])
def test_names_that_lead_elsewhere(folder: Path, name: str) -> None:
    handler, place = faulty(folder)
    handler.extra = [name]
    refused(lambda: listing(place), repr(name), "without empty parts")


def test_a_name_that_is_file_and_folder(folder: Path) -> None:
    handler, place = faulty(folder)
    handler.extra = ["sub"]
    refused(lambda: listing(place), "/sub", "a file and a folder")


def item_of(place: objects.Place, name: str = "sub/a.bin") -> Object:
    return next(item for item in listing(place)[0] if item.name == name)


def test_download(folder: Path) -> None:
    handler, place = faulty(folder)
    out = io.BytesIO()
    assert download(place, item_of(place), out) == hashlib.sha256(CONTENT).hexdigest()
    assert out.getvalue() == CONTENT and handler.seen["open"] == 1


def test_a_download_goes_on_where_it_broke_off(folder: Path) -> None:
    handler, place = faulty(folder)
    handler.fail = passing_once("read", 5)
    out = io.BytesIO()
    download(place, item_of(place), out)
    assert out.getvalue() == CONTENT
    assert handler.seen["open"] == 2 and handler.seen["read"] == 11  # ten chunks, one of them twice


def test_patience_begins_anew_after_progress(folder: Path) -> None:
    handler, place = faulty(folder)
    error = OSError("When reading 'a.bin': AWS Error NETWORK_CONNECTION during GetObject operation")
    handler.fail = lambda kind, path, n: error if kind == "read" and n % 3 else None
    out = io.BytesIO()
    download(place, item_of(place), out)
    assert out.getvalue() == CONTENT and handler.seen["read"] == 30


def test_patience_ends(folder: Path) -> None:
    handler, place = faulty(folder)
    item = item_of(place)
    handler.fail = lambda kind, path, n: OSError("AWS Error SLOW_DOWN\n again") if kind == "read" else None
    refused(lambda: download(place, item, io.BytesIO()), "sub/a.bin", "SLOW_DOWN again", "credentials of this")
    assert handler.seen["read"] == objects.ATTEMPTS


@pytest.mark.parametrize(
    "error",
    [
        OSError("AWS Error ACCESS_DENIED during GetObject operation"),
        OSError("google::cloud::Status(PERMISSION_DENIED: no)"),
        PermissionError(errno.EACCES, "denied"),
        FileNotFoundError(errno.ENOENT, "gone"),
    ],
)
def test_lasting_errors_are_not_tried_again(folder: Path, error: OSError) -> None:
    handler, place = faulty(folder)
    item = item_of(place)
    handler.fail = lambda kind, path, n: error if kind == "open" else None
    refused(lambda: download(place, item, io.BytesIO()), "sub/a.bin", "object storage")
    assert handler.seen["open"] == 1


def test_a_truncated_download(folder: Path) -> None:
    handler, place = faulty(folder)
    item = item_of(place)
    handler.cut = 10
    refused(lambda: download(place, item, io.BytesIO()), "sub/a.bin", "9990 bytes: truncated", "10000")


@pytest.mark.parametrize("change", ["size", "time", "absence", "time while it is read"])
def test_an_object_that_changed_since_it_was_listed(folder: Path, change: str) -> None:
    handler, place = faulty(folder)
    item, path = item_of(place), folder / "sub" / "a.bin"

    def touch() -> None:
        os.utime(path, ns=(item.modified + 3 * 10**9,) * 2)

    if change == "size":
        path.write_bytes(CONTENT + b"x")
        os.utime(path, ns=(item.modified,) * 2)
    elif change == "absence":
        path.unlink()
    elif change == "time":
        touch()
    else:
        handler.fail = lambda kind, path, n: touch() if (kind, n) == ("read", 9) else None  # type: ignore[func-returns-value]
    refused(lambda: download(place, item, io.BytesIO()), "sub/a.bin")
    assert handler.seen["read"] == {"size": 0, "absence": 0}.get(change, 10)  # what can be known before is


def test_a_full_disk_is_nobodys_object(folder: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    handler, place = faulty(folder)
    with pytest.raises(OSError, match="No space left"):
        download(place, item_of(place), Full())
    assert handler.seen["read"] == 1


def test_upload_makes_its_folders(folder: Path, tmp_path: Path) -> None:
    place = at((tmp_path / "new" / "place").as_uri())
    upload(place, folder / "sub" / "a.bin", "deep/er/a.bin")
    assert (tmp_path / "new" / "place" / "deep" / "er" / "a.bin").read_bytes() == CONTENT


def test_upload_through_a_passing_error(folder: Path, tmp_path: Path) -> None:
    handler, place = faulty(tmp_path / "up")
    handler.fail = passing_once("write", 1)
    upload(place, folder / "b.txt", "b.txt")
    assert (tmp_path / "up" / "b.txt").read_text() == "b"


def test_results_keep_their_order_and_errors_come_out() -> None:
    assert objects.together(lambda x: x * x, range(50)) == [x * x for x in range(50)]
    with pytest.raises(ZeroDivisionError):
        objects.together(lambda x: 1 // x, [1, 0, 1])
