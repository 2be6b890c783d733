"""Hostile stores: `mdjpt pretrain` refuses each by name, whatever its checksums claim, and writes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from conftest import tiny_tree
from hostile.sandbox import refused
from mdjpt_platform.corpora.npy import open_array
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import array_of
from mdjpt_platform.store import open_store

Damage = Callable[[Path], None]


class Touch:
    """Pickles into a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


def manifest(store: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = store / "manifest.json"
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


def signals(store: Path) -> Path:
    return sorted((store / "signals").glob("*.npy"))[0]


def resigned(store: Path, shape: list[int] | None = None) -> None:
    """Make every checksum and size of the manifest fit what lies there now."""

    def change(tree: dict[str, Any]) -> None:
        for field, name in (("index", "index.parquet"), ("quality", "quality.json")):
            tree[field] = hashlib.sha256((store / name).read_bytes()).hexdigest()
        for name, entry in tree["files"].items():
            content = (store / name).read_bytes()
            entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        if shape is not None:
            tree["files"][f"signals/{signals(store).name}"]["shape"] = shape

    manifest(store, change)


def array(header: bytes, shape: list[int] | None = None) -> Damage:
    """A signal file with this header before its bytes."""

    def change(store: Path) -> None:
        path = signals(store)
        text = header + b" " * (-len(header) % 64) + b"\n"
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        path.write_bytes(content + path.read_bytes()[128:])
        resigned(store, shape)

    return change


def entry(**fields: Any) -> Damage:
    def change(store: Path) -> None:
        manifest(store, lambda tree: next(iter(tree["files"].values())).update(fields))

    return change


def renamed(name: str) -> Damage:
    """The first signal file by another name in the manifest, and in the index with a checksum that fits."""

    def change(store: Path) -> None:
        old = f"signals/{signals(store).name}"
        column(store, "file", lambda values: [name if value == old else value for value in values])
        manifest(store, lambda tree: tree["files"].__setitem__(name, tree["files"].pop(old)))

    return change


def column(store: Path, name: str, change: Callable[[list[Any]], list[Any]], kind: pa.DataType | None = None) -> None:
    table = pq.read_table(store / "index.parquet")
    place = table.schema.get_field_index(name)
    field = table.schema.field(place) if kind is None else pa.field(name, kind)
    values = pa.array(change(table[name].to_pylist()), field.type)
    pq.write_table(table.set_column(place, field, values), store / "index.parquet")
    resigned(store)


def index(name: str, value: Any) -> Damage:
    return lambda store: column(store, name, lambda values: [value, *values[1:]])


def table(change: Callable[[pa.Table], pa.Table]) -> Damage:
    def damage(store: Path) -> None:
        pq.write_table(change(pq.read_table(store / "index.parquet")), store / "index.parquet")
        resigned(store)

    return damage


def written(name: str, content: bytes, *, sign: bool = True) -> Damage:
    def change(store: Path) -> None:
        (store / name).write_bytes(content)
        if sign:
            resigned(store)

    return change


def rewritten(change: Callable[[bytes], bytes]) -> Damage:
    """The first signal file with other bytes, and checksums that fit them."""

    def damage(store: Path) -> None:
        signals(store).write_bytes(change(signals(store).read_bytes()))
        resigned(store)

    return damage


def in_place_of(name: str, make: Callable[[Path], object]) -> Damage:
    def change(store: Path) -> None:
        path = signals(store) if name == "signals" else store / name
        path.unlink()
        make(path)

    return change


def out(store: Path) -> None:
    """A signal file that is a link to an equal one outside."""
    path = signals(store)
    outside = store.parents[2] / "outside.npy"
    shutil.move(path, outside)
    path.symlink_to(outside)


def bomb(store: Path) -> None:
    """An index whose text is 2^37 bytes a column, in some megabytes."""
    rows = 2**17
    table = pq.read_table(store / "index.parquet")
    text = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), ["x" * 2**20])
    one = {pa.string(): text, pa.int64(): pa.array(np.arange(rows)), pa.float64(): pa.array(np.zeros(rows))}
    whole = pa.table({field.name: one[field.type] for field in table.schema})
    nulls = [field.with_type(whole.schema.field(field.name).type) for field in table.schema]
    pq.write_table(whole.cast(pa.schema(nulls)), store / "index.parquet", store_schema=False)
    resigned(store)


HEAD = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2800, 10), }"
CASES: dict[str, tuple[Damage, str]] = {
    "no manifest": (lambda store: (store / "manifest.json").unlink(), "run `mdjpt prepare` first"),
    "a manifest that is no JSON": (written("manifest.json", b"\xff\xfe", sign=False), "manifest"),
    "a manifest nested too deeply": (written("manifest.json", b"[" * 200_000, sign=False), "nested too deeply"),
    "a manifest that is a list": (written("manifest.json", b"[]", sign=False), "format"),
    "a manifest that is a pickle": (written("manifest.json", pickle.dumps(Touch()), sign=False), "manifest"),
    "another format": (lambda store: manifest(store, lambda tree: tree.update(format=99)), "format"),
    "an unknown key": (lambda store: manifest(store, lambda tree: tree.update({"\x1b[31m": 1})), "manifest.json"),
    "another corpus": (lambda store: manifest(store, lambda tree: tree.update(corpus="../../x")), "key"),
    "another recipe": (lambda store: manifest(store, lambda tree: tree.update(recipe=[])), "key"),
    "a rate of infinity": (lambda store: manifest(store, lambda tree: tree.update(rate=1e999)), "rate"),
    "a rate below zero": (lambda store: manifest(store, lambda tree: tree.update(rate=-1)), "rate"),
    "fewer channels": (lambda store: manifest(store, lambda tree: tree["channels"].pop()), "columns"),
    "a file outside": (renamed("signals/../../outside.npy"), "inside the store"),
    "an absolute file": (renamed("/etc/hostname"), "inside the store"),
    "a file with a NUL": (renamed("signals/a\0b.npy"), "inside the store"),
    "a file elsewhere in the store": (renamed("manifest.json"), "inside the store"),
    "a link out": (out, "inside the store"),
    "another size": (entry(bytes=7), "truncated or foreign"),
    "another checksum": (entry(sha256="0" * 64), "damaged"),
    "a huge declared shape": (entry(shape=[2**62, 10]), "signal file"),
    "a negative shape": (entry(shape=[-5, 10]), "offset"),
    "a shape of text": (entry(shape="(1, 2)"), "shape"),
    "an array of objects": (array(HEAD.replace(b"<f4", b"|O")), "signal file"),
    "an array in Fortran's order": (array(HEAD.replace(b"False", b"True")), "signal file"),
    "an array of a giant shape": (array(HEAD.replace(b"2800", b"9" * 18), [10**18 - 1, 10]), "signal file"),
    "an array of a negative shape": (array(HEAD.replace(b"2800", b"-2800")), "signal file"),
    "a header that calls": (array(b"__import__('os').system('touch canary')"), "signal file"),
    "a header without end": (array(b"(" * 9000), "signal file"),
    "float64": (array(HEAD.replace(b"<f4", b"<f8")), "signal file"),
    "a pickle for an array": (rewritten(lambda content: pickle.dumps(Touch())), "signal file"),
    "a truncated array": (rewritten(lambda content: content[:-400]), "signal file"),
    "a flipped bit": (lambda store: signals(store).write_bytes(signals(store).read_bytes()[:-1] + b"\x7f"), "damaged"),
    "a pipe for signals": (in_place_of("signals", os.mkfifo), "pipe"),
    "a folder for signals": (in_place_of("signals", Path.mkdir), "signal file"),
    "a pipe for the manifest": (in_place_of("manifest.json", os.mkfifo), "pipe"),
    "a folder for the manifest": (in_place_of("manifest.json", Path.mkdir), "manifest"),
    "an endless index": (in_place_of("index.parquet", lambda path: path.symlink_to("/dev/zero")), "device"),
    "an index outside": (index("offset", 10**9), "rows inside"),
    "an offset below zero": (index("offset", -3), "offset"),
    "an overflowing offset": (index("offset", 2**63 - 1), "offset"),
    "no sample": (index("samples", 0), "offset"),
    "an unlisted file": (index("file", "../../etc/passwd"), "signal file"),
    "valence out of range": (index("valence", 7.0), "valence"),
    "valence without end": (index("valence", float("inf")), "valence"),
    "another type": (lambda store: column(store, "trial", lambda values: [*map(str, values)], pa.string()), "columns"),
    "rows twice": (table(lambda whole: pa.concat_tables([whole, whole])), "twice"),
    "a column less": (table(lambda whole: whole.drop_columns(["label"])), "index"),
    "a column more": (table(lambda whole: whole.append_column("x", whole["trial"])), "columns"),
    "no index at all": (written("index.parquet", b"PAR1" + b"\xff" * 60 + b"PAR1"), "index"),
    "an index that is a pickle": (written("index.parquet", pickle.dumps(Touch())), "index"),
    "an index that unpacks to a terabyte": (bomb, "text: found"),
    "quality that is no JSON": (written("quality.json", b"{"), "quality"),
    "quality nested too deeply": (written("quality.json", b"[" * 200_000), "quality"),
    "quality that is a list": (written("quality.json", b"[1]"), "quality"),
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("damage", "says"), CASES.values(), ids=CASES)
def test_stores(damage: Damage, says: str, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = tmp_path / "here" / "box"
    shutil.copytree(tiny_store, box / "store")
    monkeypatch.chdir(tmp_path / "here")
    tree = tiny_tree(box / "store", box / "runs")
    Path("run.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    (store,) = (box / "store" / "one").iterdir()
    damage(store)
    said = refused(tmp_path, "pretrain", "run.yaml")
    assert says in said.err and str(box / "store" / "one") in said.err, said.err


def test_the_undamaged_store_is_taken(tiny_store: Path) -> None:
    """The damage above is what is refused: with every checksum made anew and nothing changed, the store opens."""
    (store,) = (tiny_store / "one").iterdir()
    assert len(open_store(store)) == 20


@pytest.mark.parametrize("version", [2, 3])
def test_no_memory_is_asked_for_that_a_header_names(version: int, tmp_path: Path) -> None:
    """One flipped byte makes four bytes of text a length; found by fuzzing (three of 42,015 inputs)."""
    np.save(tmp_path / "x.npy", np.zeros((5, 2), np.float32))
    content = bytearray((tmp_path / "x.npy").read_bytes())
    content[6] = version
    (tmp_path / "x.npy").write_bytes(content)
    named = int.from_bytes(content[8:12], "little")
    assert named > 2**28
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"a header of {named} bytes"):
            array_of(tmp_path / "x.npy")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    with pytest.raises(BadInput, match="a header of"):
        open_array(tmp_path / "x.npy")
