"""The door to braindecode where it is shut: real packages that are broken as theirs are, each in a fresh Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TORCHAUDIO = """
import ctypes, pathlib
for path in sorted((pathlib.Path(__file__).parent / "lib").glob("*.so")):
    ctypes.CDLL(str(path))
"""
ASK = "from mdjpt_platform.library.load import networks\nprint(networks().__name__)"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages: a braindecode that needs torchaudio, and one that finds a library it cannot load."""
    for name, text in {"braindecode": "", "torchaudio": TORCHAUDIO}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "braindecode" / "models.py").write_text("import torchaudio")
    (tmp_path / "torchaudio" / "lib").mkdir()
    (tmp_path / "torchaudio" / "lib" / "_torchaudio.so").write_bytes(b"no library")
    return tmp_path


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def repair(site: Path) -> subprocess.CompletedProcess[str]:
    return python(site, "-m", "mdjpt_platform.library.repair")


def last(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_clash_is_one_line_with_its_cure(site: Path) -> None:
    line = last(python(site, "-c", ASK))
    assert "model.family library: torchaudio: found" in line and "_torchaudio.so" in line
    assert line.endswith("or none: python -m mdjpt_platform.library.repair")


def test_repair_sets_compiled_files_aside_and_the_door_opens(site: Path) -> None:
    done = repair(site)
    assert (done.returncode, done.stdout) == (0, "set aside: _torchaudio.so.aside\n")
    assert [path.name for path in (site / "torchaudio" / "lib").iterdir()] == ["_torchaudio.so.aside"]
    assert python(site, "-c", ASK).stdout == "braindecode.models\n"


def test_repair_leaves_alone_what_works(site: Path) -> None:
    (site / "torchaudio" / "__init__.py").write_text("")
    assert repair(site).stdout == "torchaudio works as it is\n"
    assert [path.name for path in (site / "torchaudio" / "lib").iterdir()] == ["_torchaudio.so"]


def test_repair_puts_back_what_was_not_to_blame(site: Path) -> None:
    (site / "torchaudio" / "__init__.py").write_text("raise ImportError('too old')")
    assert last(repair(site)).startswith("torchaudio: import: found ImportError: too old")
    assert [path.name for path in (site / "torchaudio" / "lib").iterdir()] == ["_torchaudio.so"]


def test_what_is_not_installed_is_named_with_the_extra(site: Path) -> None:
    (site / "braindecode" / "models.py").write_text("import nowhere_at_all")
    line = last(python(site, "-c", ASK))
    assert "braindecode: found No module named 'nowhere_at_all', expected the extra `baselines`: make baseline" in line


def test_another_fault_is_not_blamed_on_torchaudio(site: Path) -> None:
    (site / "braindecode" / "models.py").write_text("from os import nothing_of_the_kind")
    line = last(python(site, "-c", ASK))
    assert "braindecode: found cannot import name 'nothing_of_the_kind'" in line and "repair" not in line
