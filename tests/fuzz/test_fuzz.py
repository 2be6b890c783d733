"""Some seconds of fuzzing with a fixed seed, and proof that the fuzzer sees what it looks for."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import pytest

from fuzz.fuzz import LARGEST, examined, fuzz
from fuzz.targets import Target, target


@pytest.mark.parametrize(("name", "count"), [("unpickler", 400), ("store", 60), ("runfile", 60)])
def test_a_fixed_number_of_inputs(name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    attack = target(name, tmp_path / "base")
    (tmp_path / "sound").mkdir()
    attack.hand(tmp_path / "sound", attack.sound)
    for number in range(count):
        fault = examined(attack, tmp_path / "input", attack.make(random.Random(f"7-{number}")))
        assert not fault, (number, fault)


def test_equal_seeds_give_equal_inputs(tmp_path: Path) -> None:
    attack = target("unpickler", tmp_path)
    assert [attack.make(random.Random("1-5")) for _ in range(2)] == [attack.make(random.Random("1-5"))] * 2


def test_a_process_that_reads_under_limits(tmp_path: Path) -> None:
    outcome = fuzz("unpickler", 3.0, 3, tmp_path / "findings")
    assert outcome["findings"] == [] and not (tmp_path / "findings").exists()


def test_what_a_plain_unpickler_does_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Command:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch canary",)

    monkeypatch.chdir(tmp_path)
    careless = Target(b"", lambda rng: b"", lambda folder, content: pickle.loads(content))
    assert "UnpicklingError" in examined(careless, tmp_path / "input", b"\x80\x02\xff")
    assert examined(careless, tmp_path / "input", pickle.dumps(Command())) == "a command ran"
    assert LARGEST < 2**30
