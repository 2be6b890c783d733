"""Hostile run files and study files: one line, exit code 2, nothing written, nothing executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hostile.sandbox import refused

TREE: dict[str, Any] = {
    "name": "some", "corpora": {"one": {"layout": "seed"}}, "sources": ["one"],
    "exec": {"raw": {"one": "raw"}, "store": "box/store", "runs": "box/runs", "simulated": "box/raw", "engine": "local",
             "mlflow": "off", "progress": False},
}  # fmt: skip
SIMULATED = {"layout": "faced", "facts": {"stimuli": [1, 2], "seconds": 5.0}, "simulate": {"subjects": 1}}
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{k}: &a{k} {{<<: [{','.join([f'*a{k - 1}'] * 9)}]}}\n" for k in range(1, 12))

TEXTS: dict[str, str] = {
    "empty": "",
    "a list": "[1, 2]",
    "a call": "name: !!python/object/apply:os.system ['touch canary']",
    "a call of the newer kind": "name: !!python/object/new:subprocess.Popen [['touch', 'canary']]",
    "a name of Python": "name: !!python/name:os.system",
    "a module": "!!python/module:os",
    "a local tag": "name: !include /etc/passwd",
    "a billion laughs": LAUGHS,
    "a billion laughs in a value": LAUGHS + "name: *a11",
    "merged laughs": MERGES,
    "an alias in itself": "a: &a [*a]",
    "an alias in its own mapping": "a: &a {b: *a}",
    "an alias to nothing": "a: *b",
    "deep lists": "[" * 3000,
    "deep mappings": "\n".join(" " * k + f"a{k}:" for k in range(900)),
    "two documents": "a: 1\n---\nb: 2",
    "a key that is a list": "? [a]\n: 1",
    "a key twice merged": "<<: 3",
    "a long number": f"seed: {'9' * 6000}",
    "an odd date": "name: 2020-99-99",
    "an odd number in base 60": "seed: 1:99999999999999999999999:z",
    "binary": "\x00\x01\x02",
    "an escape sequence as a key": '"\\e[2J\\e]0;owned\\a": 1',
    "text against its direction": '"\\u202egnp.exe": 1',
    "an escape sequence as a value": 'corpora: "\\e[31m"',
    "tabs": "a:\tb\n\tc: 1",
    "a very long key": f"{'k' * 1000}: 1",
    "a very long value": f"seed: {'v' * 200_000}",
}
FIELDS: dict[str, dict[str, Any]] = {
    "a corpus outside": {"corpora": {"../../escaped": {"layout": "seed"}}, "sources": ["../../escaped"]},
    "an absolute corpus": {"corpora": {"/tmp/escaped": {"layout": "seed"}}, "sources": ["/tmp/escaped"]},
    "a simulated corpus outside": {"corpora": {"../../escaped": SIMULATED}, "sources": ["../../escaped"]},
    "a hidden corpus": {"corpora": {".ssh": SIMULATED}, "sources": [".ssh"]},
    "a corpus with an escape": {"corpora": {"\x1b[31mred": SIMULATED}, "sources": ["\x1b[31mred"]},
    "a corpus with a NUL": {"corpora": {"a\0b": SIMULATED}, "sources": ["a\0b"]},
    "a corpus without a name": {"corpora": {"": SIMULATED}, "sources": [""]},
    "a run outside": {"name": "../../escaped"},
    "an absolute run": {"name": "/tmp/escaped"},
    "a run with an escape": {"name": "a\x1b[2Jb"},
    "a run without a name": {"name": ""},
    "an endless name": {"name": "n" * 5000},
    "a layout that is a path": {"corpora": {"one": {"layout": "../corpora/seed"}}},
    "a recipe that is a path": {"recipe": "../../etc/passwd"},
    "a step of Python": {"recipe": [{"step": "__import__", "params": {}}]},
    "a step with not-a-number": {"recipe": [{"step": "scale", "params": {"multiple": float("nan")}}]},
    "a step with infinity": {"recipe": [{"step": "scale", "params": {"multiple": float("inf")}}]},
    "a step with an unknown setting": {"recipe": [{"step": "scale", "params": {"__class__": 1}}]},
    "not-a-number": {"window": {"seconds": float("nan")}},
    "a negative seed": {"seed": -1},
    "a seed beyond 64 bits": {"seed": 10**40},
    "text for a number": {"seed": "1; touch canary"},
    "a list for a mapping": {"train": [1, 2]},
    "an unknown key": {"__init__": {"x": 1}},
    "a dunder in exec": {"exec": {"__class__": "x"}},
    "a null of corpora": {"corpora": None},
    "an address with a password, and a defect": {
        "exec": {"raw": {"one": "s3://key:hunter2@bucket/x"}, "store": "box/store"}},
    "an unknown scheme": {"exec": {"raw": {"one": "gopher://host/x"}, "store": "box/store"}},
    "raw that is a file": {"exec": {**TREE["exec"], "raw": {"one": "run.yaml"}}},
    "raw that is nothing": {"exec": {**TREE["exec"], "raw": {"one": "/nowhere/\x1b[31m"}}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "box").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_texts(tmp_path: Path, text: str) -> None:
    Path("run.yaml").write_text(text, encoding="utf-8")
    said = refused(tmp_path, "prepare", "run.yaml")
    assert "run.yaml: " in said.err
    if "!!" not in text:  # the same text as a study, which is another reader
        refused(tmp_path, "study", "status", "run.yaml")


@pytest.mark.parametrize("changes", FIELDS.values(), ids=FIELDS)
def test_fields(tmp_path: Path, changes: dict[str, Any]) -> None:
    Path("run.yaml").write_text(yaml.safe_dump(TREE | changes), encoding="utf-8")
    said = refused(tmp_path, "prepare", "run.yaml", own=["here/box"])
    assert "hunter2" not in said.err + said.out
    assert not list(Path("box").rglob("*escaped*"))


@pytest.mark.parametrize(
    "override",
    ["name=!!python/object/apply:os.system ['touch canary']", "=1", "a", "name.x=1", "seed=[" + "[" * 1500, "exec=1",
     "corpora.one.layout=*x", "seed=\x1b[31m", "name=../../escaped"],
)  # fmt: skip
def test_overrides(tmp_path: Path, override: str) -> None:
    Path("run.yaml").write_text(yaml.safe_dump(TREE), encoding="utf-8")
    refused(tmp_path, "prepare", "run.yaml", "--set", override)


@pytest.mark.parametrize(
    "study",
    [
        {"name": "../../escaped", "base": "run.yaml"},
        {"name": "a/b", "base": "run.yaml"},
        {"name": "some", "base": "\x1b[31m"},
        {"name": "some", "base": "run.yaml", "set": {"name": "../../escaped"}},
        {"name": "some", "base": "run.yaml", "exec": {"__class__": 1}},
        {"name": "some", "base": "run.yaml", "axes": {"seed": list(range(30)), "window.seconds": list(range(1, 30))}},
        {"name": "some", "base": "run.yaml", "axes": {"\x1b[31m": [1]}},
        {"name": "some", "base": "run.yaml", "seeds": [-1]},
    ],
)
def test_study_files(tmp_path: Path, study: dict[str, Any]) -> None:
    Path("run.yaml").write_text(yaml.safe_dump({**TREE, "targets": ["one"]}), encoding="utf-8")
    Path("study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    refused(tmp_path, "study", "status", "study.yaml")
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "unreadable"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = Path("run.yaml")
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to("run.yaml")
        case "unreadable":
            path.write_text("name: x")
            path.chmod(0)
            if os.geteuid() == 0:
                pytest.skip("root reads everything")
    refused(tmp_path, "prepare", "run.yaml")
    refused(tmp_path, "study", "status", "run.yaml")


def test_a_process_of_its_own(tmp_path: Path) -> None:
    """What the tests above see inside this process is what a shell sees."""
    Path("run.yaml").write_text(TEXTS["a call"] + "\n" + TEXTS["an escape sequence as a key"], encoding="utf-8")
    line = [sys.executable, "-m", "mdjpt_platform.cli", "prepare", "run.yaml"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path / "here")
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert done.stderr.startswith("mdjpt: run.yaml: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "here" / "canary").exists()
