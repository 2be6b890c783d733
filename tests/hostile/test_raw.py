"""Hostile raw recordings: `mdjpt prepare` leaves each out by name, runs nothing, and does not wait or swell."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hostile.sandbox import refused, typed
from layouts import neuroscan
from mdjpt_platform.corpora import matfile
from mdjpt_platform.corpora.neuroscan import open_cnt
from mdjpt_platform.corpora.opcodes import check_operations
from mdjpt_platform.errors import BadInput

Make = Callable[[Path], None]


class Calls:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def chain() -> bytes:
    """getattr(getattr(numpy, 'f2py'), ...) as operations."""
    return b"\x80\x02cbuiltins\ngetattr\ncnumpy\nndarray\nX\x09\x00\x00\x00__class__\x86R."


def shared(count: int) -> bytes:
    """A dictionary of many arrays that share one text of a megabyte: a copy each would be gigabytes."""
    text = "\xff" * 2**20
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01J\x00\x00\x10\x00\x85"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89h\x01tb"
    )
    encoded = text.encode()
    entries = b"".join(b"U\x03" + f"{k:03d}".encode() + array + b"s" for k in range(count))
    return b"\x80\x02X" + struct.pack("<I", len(encoded)) + encoded + b"q\x010}" + entries + b"."


def nested(count: int) -> bytes:
    """A tuple in a tuple in a tuple ... as a key: hashing it overruns the stack."""
    return b"\x80\x02}N" + b"\x85" * count + b"K\x01s."


PICKLES: dict[str, bytes] = {
    "a command": pickle.dumps(Calls(os.system, "touch canary")),
    "a command of protocol 0": pickle.dumps(Calls(os.system, "touch canary"), 0),
    "a command inside": pickle.dumps({"data": [Calls(os.system, "touch canary")]}),
    "a command as a key": pickle.dumps({Calls(os.system, "touch canary"): 1}),
    "a command as an array's bytes": pickle.dumps(Calls(np.frombuffer, Calls(os.system, "touch canary"))),
    "eval": pickle.dumps(Calls(eval, "open('canary', 'w')")),
    "exec": pickle.dumps(Calls(exec, "open('canary', 'w')")),
    "a chain of getattr": chain(),
    "a class of ours": b"\x80\x04cmdjpt_platform.corpora.pickles\n_NotesOnly\n)\x81.",
    "an import": b"\x80\x04\x8c\x0ainternal/x\x8c\x01y\x93.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x18core.multiarray.frombytes\x93.",
    "an object built in place": b"(iposix\nsystem\np0\n.",
    "a persistent id": b"\x80\x02U\x01xQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "a memo of gigabytes": b"\x80\x02Nr\x00\x00\x00\x40.",
    "a memo without end": b"N" + b"p" + b"9" * 40 + b"\n.",
    "a text of gigabytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
    "a bytearray of gigabytes": b"\x80\x05\x96" + struct.pack("<Q", 2**35) + b"x.",
    "a frame of gigabytes": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "a stack that is nested": nested(400_000),
    "operations without end": b"\x80\x02" + b"N0" * 50_000 + b"N.",
    "one text, a thousand arrays": shared(300),
    "a shape beyond reason": pickle.dumps(np.zeros((0, 3)), 2).replace(b"K\x00K\x03\x86", b"K\x00\x8a\x08" + b"\xff" * 7
                                                                      + b"\x7f\x86"),
    "an array of objects": pickle.dumps(np.array([{}], dtype=object)),
    "a long number": b"L" + b"9" * 100_000 + b"L\n.",
    "nothing": b"",
    "text": b"hello\x1b[31m",
}  # fmt: skip


def mat(flags: bytes, shape: tuple[int, int], payload: bytes = b"") -> bytes:
    """A MAT file of version 5 with one variable of any class and any shape."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    body = element(6, flags + bytes(4)) + element(5, struct.pack("<ii", *shape)) + element(1, b"de_eeg1") + payload
    return head + struct.pack("<II", 14, len(body)) + body


def edf(signals: bytes = b"1   ", records: bytes = b"1       ", per: bytes = b"256     ") -> bytes:
    fixed = b"0".ljust(8) + b"x".ljust(160) + b"01.01.2001.01.01" + b"512".ljust(8) + b"".ljust(44) + records
    fixed += b"0       " + signals
    table = b"Fp1".ljust(16) + b"".ljust(80) + b"uV".ljust(8) + b"-1".ljust(8) + b"1".ljust(8) + b"-1".ljust(8)
    return fixed + table + b"1".ljust(8) + b"".ljust(80) + per + b"".ljust(32) + bytes(512)


TRIALS = "file,subject,session,trial,stimulus,label,start,stop\n"
TABLES: dict[str, str] = {
    "a file outside": TRIALS + "../../secret.fif,1,1,1,a,joy,0,1\n",
    "an absolute file": TRIALS + "/etc/passwd,1,1,1,a,joy,0,1\n",
    "a formula for a subject": TRIALS + "a.edf,=cmd|' /C calc'!A0,1,1,a,joy,0,1\n",
    "a path for a subject": TRIALS + "a.edf,../../x,1,1,a,joy,0,1\n",
    "an escape sequence": TRIALS + "a.edf,1,1,\x1b[2J,a,joy,0,1\n",
    "a number without end": TRIALS + f"a.edf,1,{'9' * 5000},1,a,joy,0,1\n",
    "a cell without end": TRIALS + f"a.edf,1,1,1,{'x' * 200_000},joy,0,1\n",
    "no row": TRIALS,
    "no header": "",
    "no text": "\ud800",
    "a ragged row": TRIALS + "a\n",
}
EDF: dict[str, bytes] = {
    "a signal too many": edf(signals=b"9999"),
    "records without end": edf(records=b"99999999"),
    "records below zero": edf(records=b"-5      "),
    "samples without end": edf(per=b"99999999"),
    "a number that is none": edf(per=b"1e9     "),
    "a record of no length": edf(),
    "nothing": b"",
}
CNT: dict[str, dict[int, bytes]] = {
    "channels without end": {370: b"\xff\xff"},
    "an event table elsewhere": {864: b"\xff\xff\xff\x7f", 886: b"\xff\xff\xff\x7f"},
    "no rate": {376: b"\0\0"},
}


def run_file(layout: str, **changes: Any) -> None:
    tree = {
        "corpora": {"one": {"layout": layout, **changes}}, "sources": ["one"], "recipe": "minimal",
        "exec": {"raw": {"one": "raw"}, "store": "box/store", "runs": "box/runs", "engine": "local", "mlflow": "off",
                 "progress": False},
    }  # fmt: skip
    Path("run.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "box").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")


def left_out(tmp_path: Path, name: str) -> None:
    """Preparing refuses for the file's sake, twice: what the first attempt left misleads nobody."""
    for _ in range(2):
        said = refused(tmp_path, "prepare", "run.yaml", own=["here/box"])
        assert name in said.err, said.err
    assert not list(Path("box").rglob("manifest.json"))


@pytest.mark.parametrize("content", PICKLES.values(), ids=PICKLES)
def test_pickles(tmp_path: Path, content: bytes) -> None:
    for layout, place in (("faced", "Processed_data/sub000.pkl"), ("deap", "data_preprocessed_python/s01.dat")):
        path = Path("raw", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        run_file(layout)
        left_out(tmp_path, path.name)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nothing"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = Path("raw/Processed_data/sub000.pkl")
    path.parent.mkdir(parents=True)
    {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "device": lambda: path.symlink_to("/dev/zero"),
     "nothing": lambda: path.symlink_to("nowhere")}[kind]()  # fmt: skip
    run_file("faced")
    left_out(tmp_path, "sub000.pkl" if kind != "pipe" else "one")
    said = typed("corpora", "faced", "raw")  # a reader that comes without the hashing before it
    assert said.code in (1, 2) and "Traceback" not in said.out + said.err


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_tables_of_trials(tmp_path: Path, content: str) -> None:
    Path("raw").mkdir()
    Path("raw/a.edf").write_bytes(edf())
    Path("raw/trials.csv").write_bytes(content.encode("utf-8", "surrogatepass"))
    run_file("folder")
    left_out(tmp_path, "trials.csv")


@pytest.mark.parametrize("content", EDF.values(), ids=EDF)
def test_edf(tmp_path: Path, content: bytes) -> None:
    Path("raw").mkdir()
    Path("raw/a.edf").write_bytes(content)
    Path("raw/trials.csv").write_text(TRIALS + "a.edf,1,1,1,a,joy,0,1\n", encoding="utf-8")
    run_file("folder")
    left_out(tmp_path, "one")


@pytest.mark.parametrize("changes", CNT.values(), ids=CNT)
def test_cnt(tmp_path: Path, changes: dict[int, bytes]) -> None:
    path = neuroscan.write_cnt(Path("some.cnt"), ("FP1", "FP2"), 5.0, rate=200)
    content = bytearray(path.read_bytes())
    for place, new in changes.items():
        content[place : place + len(new)] = new
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"some\.cnt: "):
        open_cnt(path, ("FP1", "FP2"), 200.0)


@pytest.mark.parametrize(
    "content",
    [mat(bytes([6, 0, 0, 0]), (2**31 - 1, 2**31 - 1)), mat(bytes([1, 0, 0, 0]), (2**31 - 1, 1)),
     mat(bytes([6, 0, 0, 0]), (-1, 5)), mat(bytes([17, 0, 0, 0]), (1, 1)), mat(b"\xff" * 4, (1, 1)),
     mat(bytes([6, 0, 0, 0]), (3, 3))[:150], b"MATLAB 7.3", b""],
    ids=["giant", "giant cell", "negative", "opaque", "odd", "truncated", "HDF5", "nothing"],
)  # fmt: skip
def test_mat(tmp_path: Path, content: bytes) -> None:
    Path("some.mat").write_bytes(content)
    for read in (lambda: matfile.numbers("some.mat", "de_eeg1"), lambda: matfile.load("some.mat", "de_eeg1")):
        with pytest.raises(BadInput, match=r"some\.mat: "):
            read()


@pytest.mark.parametrize(
    "kind", ["outside", "bomb", "empty lines", "two files", "no zip", "a cell without end", "pipe"]
)
@pytest.mark.timeout(60)
def test_archives(tmp_path: Path, kind: str) -> None:
    path = Path("raw/01/articulators.zip")
    path.parent.mkdir(parents=True)
    contents: dict[str, list[tuple[str, bytes]]] = {
        "outside": [("../../../../escaped.csv", b"x")],
        "bomb": [("a.csv", bytes(65 * 2**20))],
        "empty lines": [("a.csv", b"\n" * 2**20)],
        "two files": [("a.csv", b""), ("b.csv", b"")],
        "a cell without end": [("a.csv", b"x" * 200_000)],
    }
    if kind == "no zip":
        path.write_bytes(b"PK\x03\x04" + b"\xff" * 100)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in contents[kind]:
                archive.writestr(name, data)
    run_file("feis")
    left_out(tmp_path, "articulators.zip")
    assert not list(tmp_path.rglob("escaped*"))


def test_the_command_would_run_outside_of_here(tmp_path: Path) -> None:
    """What is refused above is dangerous: Python's own unpickler makes the file."""
    pickle.loads(PICKLES["a command"])
    assert Path("canary").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [("a memo of gigabytes", "memo index"), ("a memo without end", "memo index"), ("a text of gigabytes", "bytes in a"),
     ("a bytearray of gigabytes", "bytes in a"), ("a frame of gigabytes", "a frame of"),
     ("a stack that is nested", "operations"), ("operations without end", "operations"), ("nothing", "ends early")],
)  # fmt: skip
def test_pickles_that_swell_are_refused_before_they_are_loaded(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_operations(io.BytesIO(PICKLES[name]), len(PICKLES[name]))
