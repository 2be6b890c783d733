"""What is attacked: a target makes an input from (seed, number) and hands it to the code, which may refuse it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fuzz.mutate import NUMBERS, VALUES, leaf, pickled, scrambled
from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.corpora.pickles import load_arrays
from mdjpt_platform.runfile import load
from mdjpt_platform.store import TrialRow, open_store, write_store

INDEX, MANIFEST, QUALITY = "index.parquet", "manifest.json", "quality.json"
CHANNELS = ("FP1", "FP2", "OZ")
RUN: dict[str, Any] = {
    "name": "some", "seed": 1, "corpora": {"one": {"layout": "seed", "subjects": ["1", "2"]}}, "sources": ["one"],
    "window": {"seconds": 2.0}, "recipe": [{"step": "scale", "params": {"multiple": 30.0}}],
    "evaluate": {"probe": {"hidden": [4, 4]}}, "exec": {"runs": "runs", "workers": 1, "mlflow": "off"},
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """An attack: `make` gives the input, `hand` hands it over in a folder and returns what came of it; nothing is wrong
    with the input `sound`.
    """

    sound: bytes
    make: Callable[[random.Random], bytes]
    hand: Callable[[Path, bytes], object]


def pickles() -> list[bytes]:
    """Whole and harmless pickles of every protocol, as the seeds of damage."""
    array = np.arange(6.0).reshape(2, 3)
    trees = (
        array,
        {"data": array, "labels": np.arange(4, dtype=">i2")},
        {"a": np.asfortranarray(array)},
        np.float64(3),
    )
    return [pickle.dumps(tree, protocol=protocol) for tree in trees for protocol in range(6)]


def unpickle(folder: Path, content: bytes) -> object:
    path = folder / "some.pkl"
    path.write_bytes(content)
    found = load_arrays(path)
    arrays = found.values() if isinstance(found, dict) else [found]
    assert all(type(one) is np.ndarray and one.dtype.kind in "fiu" for one in arrays), "more than arrays"
    return sum(one.size for one in arrays)


def sound_store(folder: Path) -> Path:
    """A small store of two subjects."""
    trials = [
        (
            TrialRow(corpus="one", subject=f"{subject:02d}", session=1, trial=trial, stimulus=f"s{trial}",
                     play_order=trial, label="happy", valence=0.5, samples=1),
            np.random.default_rng((subject, trial)).standard_normal((20 + trial, 3)).astype(np.float32),
        )
        for subject in (1, 2)
        for trial in (1, 2)
    ]  # fmt: skip
    recipe = (StepConfig(step="scale", params={"multiple": 30.0}),)
    return write_store(folder, "one", CorpusConfig(layout="seed"), recipe, trials, channels=CHANNELS, rate=125.0,
                       labels=("sad", "happy"))  # fmt: skip


def bundle(folder: Path) -> dict[str, bytes]:
    """The files of a store by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def damaged_store(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """One file damaged; mostly with the checksums made to fit, so that the damage gets as far as it can."""
    files = dict(files)
    manifest = json.loads(files[MANIFEST])
    name = rng.choice((MANIFEST, INDEX, INDEX, QUALITY, *[one for one in files if one.endswith(".npy")][:1]))
    if name == MANIFEST:
        tree = leaf(manifest, rng)
        text = json.dumps(tree).encode()
        files[MANIFEST] = scrambled(text, rng) if rng.random() < 0.2 else text
        return files
    if name == INDEX:
        files[INDEX] = scrambled(files[INDEX], rng) if rng.random() < 0.5 else other_index(files[INDEX], rng)
    elif name == QUALITY:
        files[QUALITY] = scrambled(b'{"sub-01_ses-1": {"before": {"sd": [1.0]}, "notes": {}}}', rng)
    else:
        head, rest = files[name][:128], files[name][128:]
        content = header(rng) + rest if rng.random() < 0.4 else scrambled(head, rng) + rest
        files[name] = content
    if rng.random() < 0.9:
        manifest["index"] = hashlib.sha256(files[INDEX]).hexdigest()
        manifest["quality"] = hashlib.sha256(files[QUALITY]).hexdigest()
        for one, entry in manifest["files"].items():
            entry |= {"bytes": len(files[one]), "sha256": hashlib.sha256(files[one]).hexdigest()}
            if one == name and rng.random() < 0.3:
                entry["shape"] = [rng.choice(NUMBERS), rng.choice((3, rng.choice(NUMBERS)))]
        files[MANIFEST] = json.dumps(manifest).encode()
    return files


def header(rng: random.Random) -> bytes:
    """A .npy header that says anything."""
    kind = rng.choice(("<f4", "|O", ">f4", "<f8", "V8", "<U9", [("a", "<f4")], "f4, O"))
    shape = tuple(rng.choice((-1, *NUMBERS)) for _ in range(rng.randrange(4)))
    text = repr({"descr": kind, "fortran_order": rng.random() < 0.5, "shape": shape}).encode()
    text = rng.choice((text, b"(" * 300, b"{'descr': __import__('os')}", text[:-3]))
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def other_index(content: bytes, rng: random.Random) -> bytes:
    """The index with a column that says something else."""
    table = pq.read_table(io.BytesIO(content))
    place = rng.randrange(table.num_columns)
    name, field = table.schema.names[place], table.schema.field(place)
    values = table[name].to_pylist()
    match rng.randrange(5):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = pa.concat_tables([table, table])
        case 2:
            table = table.set_column(place, name, pa.array([str(value) * 3 for value in values]))
        case 3 if pa.types.is_integer(field.type):
            values[0] = rng.choice((-1, *NUMBERS))
            table = table.set_column(place, field, pa.array(values, field.type))
        case _:
            if pa.types.is_string(field.type):
                values[0] = str(rng.choice(VALUES))
                table = table.set_column(place, field, pa.array(values, field.type))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def read_store(folder: Path, content: bytes) -> object:
    home = folder / "one" / KEY
    for name, data in pickle.loads(content).items():  # the fuzzer's own bundle
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    total = 0.0
    for verify in (False, True):
        store = open_store(home, verify=verify)
        for row in range(min(len(store), 8)):
            view = store.signal(row)
            assert view.dtype == np.float32 and view.shape == (store.index["samples"][row], len(store.channels))
            total += float(np.nansum(view[:3]))
        assert len(store.codes) == len(store.affect) == len(store)
        store.quality()
    return total


def run_file(rng: random.Random) -> bytes:
    """A run file with one thing wrong, or scrambled."""
    text = yaml.safe_dump(leaf(RUN, rng)).encode()
    if rng.random() < 0.3:
        text += rng.choice(
            (b"\nb: &b [*b]", b"\n<<: *x", b"\n!!python/object/apply:os.system [touch canary]", b"\n? [1]")
        )
    return scrambled(text, rng) if rng.random() < 0.4 else text


def read_run(folder: Path, content: bytes) -> object:
    path = folder / "run.yaml"
    path.write_bytes(content)
    return load(path).run.identity()


KEY = ""


def target(name: str, scratch: Path) -> Target:
    """The target of that name; a store's base is written below `scratch`."""
    global KEY
    if name == "unpickler":
        seeds = pickles()
        return Target(seeds[-1], lambda rng: pickled(rng.choice(seeds), rng), unpickle)
    if name == "runfile":
        return Target(yaml.safe_dump(RUN).encode(), run_file, read_run)
    if name == "store":
        base = sound_store(scratch)
        KEY, files = base.name, bundle(base)
        return Target(pickle.dumps(files), lambda rng: pickle.dumps(damaged_store(files, rng)), read_store)
    sys.exit(f"no target {name!r}: unpickler, store or runfile")
