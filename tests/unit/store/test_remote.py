"""Stores on object storage: what is opened is what was published, and nothing half-way is ever opened."""

from __future__ import annotations

import errno
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import refused
from mdjpt_platform import objects
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.objects import Place, at
from mdjpt_platform.preprocess import folder_of, resolve
from mdjpt_platform.store import open_store
from mdjpt_platform.store.remote import published, pull, push, store_place
from storage_cases import faulty, passing_once


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "WAIT", 0.0)


@pytest.fixture
def folder(tiny: Config) -> Path:
    """A store on local disk; not to be written to."""
    return folder_of(tiny, "one")


@pytest.fixture
def bucket(tmp_path: Path, folder: Path) -> Place:
    """Where the store is going to be published; it does not exist yet."""
    return at((tmp_path / "bucket").as_uri()).below("one", folder.name)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_published_and_opened_again(folder: Path, bucket: Place, tmp_path: Path) -> None:
    assert published(bucket) is None
    manifest = push(folder, bucket)
    assert published(bucket) == manifest == open_store(folder).manifest
    assert files(Path(bucket.base)) == files(folder)
    store, original = pull(bucket, tmp_path / "cache"), open_store(folder)
    assert store.folder == tmp_path / "cache" / "one" / f"{manifest.fingerprint}-{manifest.key}"
    assert files(store.folder) == files(folder)
    for row in range(len(original)):
        np.testing.assert_array_equal(store.signal(row), original.signal(row))


def test_the_place_of_a_store(tiny: Config, folder: Path) -> None:
    root = at("s3://bucket/store?region=eu-north-1&endpoint_override=127.0.0.1:1")
    place = store_place(root, "one", tiny.run.corpora["one"], resolve(tiny.run.recipe))
    assert place.uri == f"s3://bucket/store/one/{folder.name}?region=eu-north-1&endpoint_override=127.0.0.1:1"
    assert (place.base, str(place)) == (f"bucket/store/one/{folder.name}", f"s3://bucket/store/one/{folder.name}")


def test_one_copy_for_all_processes_of_a_node(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "bucket" / folder.name)
    handler, place = faulty(tmp_path / "bucket" / folder.name)
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: pull(place, tmp_path / "cache"), range(4)))
    assert len({copy.folder for copy in copies}) == 1
    assert handler.seen["open"] == 4 + len(files(folder))  # every one reads the manifest, one reads all


def test_a_publication_that_was_interrupted(folder: Path, tmp_path: Path) -> None:
    handler, place = faulty(tmp_path / "bucket" / folder.name)
    full = OSError(errno.ENOSPC, "No space left on device")
    handler.fail = lambda kind, path, n: full if kind == "write" and path.endswith(".npy") else None
    refused(lambda: push(folder, place), "No space left")
    assert published(place) is None
    refused(lambda: pull(place, tmp_path / "cache"), "no manifest.json")
    handler.fail = lambda kind, path, n: None
    push(folder, place)
    assert pull(place, tmp_path / "cache").fingerprint == open_store(folder).fingerprint


def test_passing_errors_are_sat_out(folder: Path, tmp_path: Path) -> None:
    handler, place = faulty(tmp_path / "bucket" / folder.name)
    handler.fail = passing_once("write", 2)
    push(folder, place)
    handler.fail = passing_once("read", 3)
    assert pull(place, tmp_path / "cache").fingerprint == open_store(folder).fingerprint


def test_what_is_there_is_not_uploaded_again(folder: Path, tmp_path: Path) -> None:
    handler, place = faulty(tmp_path / "bucket" / folder.name)
    push(folder, place)
    written = handler.seen["write"]
    push(folder, place)
    assert handler.seen["write"] == written and handler.seen["delete"] == 0


def test_a_store_that_changed_replaces_the_old_one(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "bucket" / folder.name
    shutil.copytree(folder, old)
    tree = json.loads((old / "manifest.json").read_text())
    tree["files"]["signals/sub-99_ses-1.npy"] = tree["files"]["signals/sub-01_ses-1.npy"]
    shutil.copy(old / "signals" / "sub-01_ses-1.npy", old / "signals" / "sub-99_ses-1.npy")
    (old / "manifest.json").write_text(json.dumps(tree))
    handler, place = faulty(old)
    assert published(place) is not None
    had: list[bool] = []

    def watch(kind: str, path: str, n: int) -> None:
        if kind == "write" and not path.endswith("manifest.json"):
            had.append((old / "manifest.json").exists())

    handler.fail = watch  # type: ignore[assignment]
    push(folder, place)
    assert had and not any(had)  # while signals are exchanged there is no store
    assert files(old) == files(folder)


@pytest.mark.parametrize("name", ["index.parquet", "quality.json", "signals/sub-02_ses-1.npy"])
def test_a_store_that_lacks_a_file(folder: Path, bucket: Place, tmp_path: Path, name: str) -> None:
    push(folder, bucket)
    (Path(bucket.base) / name).unlink()
    assert published(bucket) is None
    refused(lambda: pull(bucket, tmp_path / "cache"), name, "nothing")
    push(folder, bucket)
    assert files(Path(bucket.base)) == files(folder)


def test_a_damaged_store(folder: Path, bucket: Place, tmp_path: Path) -> None:
    push(folder, bucket)
    path = Path(bucket.base) / "signals" / "sub-01_ses-1.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(lambda: pull(bucket, tmp_path / "cache"), "sub-01_ses-1.npy", "damaged")
    assert [p for p in (tmp_path / "cache" / "one").iterdir() if not p.name.endswith(".lock")] == []
    path.write_bytes(content[:-5])
    assert published(bucket) is None
    refused(lambda: pull(bucket, tmp_path / "cache"), "sub-01_ses-1.npy", f"{len(content) - 5} bytes")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": {"signals/../../../x.npy": None}}, "../../../x.npy"),
        ({"files": {"/x.npy": None}}, "/x.npy"),
        ({"corpus": "../x"}, "../x"),
        ({"channels": 3}, "manifest"),
    ],
)
def test_a_hostile_manifest(folder: Path, bucket: Place, tmp_path: Path, change: dict[str, object], said: str) -> None:
    push(folder, bucket)
    path = Path(bucket.base) / "manifest.json"
    tree = json.loads(path.read_text())
    if isinstance(change.get("files"), dict):
        change = {"files": dict.fromkeys(change["files"], next(iter(tree["files"].values())))}  # type: ignore[call-overload]
    path.write_text(json.dumps(tree | change))
    refused(lambda: pull(bucket, tmp_path / "cache" / "deep" / "er"), said)
    assert not (tmp_path / "cache").exists()


def test_a_store_of_another_key(folder: Path, tmp_path: Path) -> None:
    place = at((tmp_path / "bucket").as_uri()).below("one", "0123456789abcdef")
    push(folder, place)
    refused(lambda: pull(place, tmp_path / "cache"), "key", "0123456789abcdef")


def test_no_answer_is_not_no_store(folder: Path, tmp_path: Path) -> None:
    handler, place = faulty(tmp_path)
    handler.fail = lambda kind, path, n: OSError("AWS Error ACCESS_DENIED during ListObjectsV2 operation")
    with pytest.raises(BadInput, match="ACCESS_DENIED"):
        published(place)


def test_a_cache_that_cannot_be_written(folder: Path, bucket: Place, tmp_path: Path) -> None:
    push(folder, bucket)
    (tmp_path / "file").write_text("")
    refused(lambda: pull(bucket, tmp_path / "file" / "cache"), "file")
    refused(lambda: push(tmp_path / "file", bucket), "file", "mdjpt prepare")
