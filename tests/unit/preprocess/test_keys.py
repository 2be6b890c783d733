"""Keys follow everything that decides numbers, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.corpora import CORPORA, bids
from mdjpt_platform.corpora.base import Recording
from mdjpt_platform.preprocess import keys, resolve, steps
from mdjpt_platform.preprocess.keys import chain, code_of, codes_of, files_behind

RECIPE = resolve("minimal")
RECORDING = Recording("mine", "deap", "01", 1, ("/x/s01.dat",), CorpusConfig(layout="deap"))
FILES = {"s01.dat": "aa"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader that needs `direct` for a constant, `late` inside a function, `deep` through `direct`."""
    room = tmp_path / "mdjpt_platform" / "corpora"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from mdjpt_platform.corpora import other\n")
    (room / "reader.py").write_text(
        "from mdjpt_platform.corpora.direct import RATE\nfrom mdjpt_platform.config import x\nimport json\n"
        "def read():\n    from mdjpt_platform.corpora import late\n"
    )
    (room / "direct.py").write_text("import mdjpt_platform.corpora.deep\nfrom mdjpt_platform.corpora import reader\n")
    for name in ("late", "deep", "other"):
        (room / f"{name}.py").write_text("X = 1\n")
    monkeypatch.setattr(keys, "HOME", room.parent)
    return room


def reader(package: Path) -> Callable[..., Any]:
    """`read`, without running its imports."""
    path = package / "reader.py"
    scope: dict[str, Any] = {}
    exec(compile("\n\n\ndef read(): pass", path, "exec"), scope)
    found: Callable[..., Any] = scope["read"]
    return found


@pytest.mark.parametrize("name", ["reader.py", "direct.py", "deep.py", "late.py", "direct.json"])
def test_an_edit_of_what_a_reader_uses_changes_its_code(package: Path, name: str) -> None:
    (package / "direct.json").write_text("{}")
    before = code_of(reader(package))
    (package / name).write_text((package / name).read_text() + "\n")
    assert code_of(reader(package)) != before


@pytest.mark.parametrize("name", ["other.py", "__init__.py"])
def test_an_edit_of_what_it_does_not_use_changes_nothing(package: Path, name: str) -> None:
    before = code_of(reader(package))
    (package / name).write_text("X = 2\n")
    assert code_of(reader(package)) == before


def test_files_behind_a_reader(package: Path) -> None:
    assert {path.name for path in files_behind(reader(package))} == {"reader.py", "direct.py", "deep.py", "late.py"}


def test_readers_and_steps_of_the_package() -> None:
    behind = {path.name for path in files_behind(bids.read)}
    assert {"bids.py", "edf.py", "faced.py", "affect.py", "reading.py", "base.py"} <= behind
    assert not behind & {"seed.py", "__init__.py", "config.py"}
    behind = {path.name for path in files_behind(partial(steps.ica, method="picard"))}
    assert {"ica.py", "signals.py", "montage.py"} <= behind and not behind & {"filters.py", "steps.py"}
    for corpus in CORPORA.values():
        assert any(path.name == "reading.py" for path in files_behind(corpus.read)), corpus.layout


def test_a_function_without_a_file() -> None:
    scope: dict[str, Any] = {}
    exec("def read(): pass", scope)
    assert files_behind(scope["read"]) == set()


def keys_of(recipe: tuple[StepConfig, ...] = RECIPE, recording: Recording = RECORDING, **files: str) -> tuple[str, ...]:
    return chain(recording, FILES | files, recipe, codes_of(CORPORA["deap"], recipe))


def test_two_recipes_share_keys_for_as_long_as_they_agree() -> None:
    first = keys_of()
    assert len(first) == len(set(first)) == len(RECIPE)  # as read, and after all steps but the subject's
    step = RECIPE[3]
    assert step.step == "band_pass"
    narrow = (*RECIPE[:3], StepConfig(step=step.step, params=step.params | {"high": 40.0}), *RECIPE[4:])
    assert [one == other for one, other in zip(first, keys_of(narrow), strict=True)] == [True] * 4 + [False]
    shorter = (*RECIPE[:2], *RECIPE[3:])
    assert keys_of(shorter)[:3] == first[:3] and not set(keys_of(shorter)[3:]) & set(first)
    assert keys_of(RECIPE[:-1]) == first


def test_what_decides_the_signal_as_read() -> None:
    first = keys_of()[0]
    for other in (
        replace(RECORDING, subject="02"),
        replace(RECORDING, options=CorpusConfig(layout="deap", labels="own_valence")),
        replace(RECORDING, corpus="yours"),
    ):
        assert keys_of(recording=other)[0] != first
    assert keys_of(more="bb")[0] != first
    assert keys_of(recording=replace(RECORDING, options=CorpusConfig(layout="deap", subjects=("01",))))[0] == first
    assert keys_of(recording=replace(RECORDING, files=("/elsewhere/s01.dat",)))[0] == first


def test_facts_and_the_code_of_a_step_count(monkeypatch: pytest.MonkeyPatch) -> None:
    first = codes_of(CORPORA["deap"], RECIPE)
    other = replace(CORPORA["deap"], facts=replace(CORPORA["deap"].facts, rate=1.0))
    assert [one == two for one, two in zip(first, codes_of(other, RECIPE), strict=True)] == [False] + [True] * 5
    assert len(set(first[1:])) >= 3
    genuine = keys.code_of
    monkeypatch.setattr(keys, "code_of", lambda f: "edited" if f is steps.resample else genuine(f))
    edited = codes_of(CORPORA["deap"], RECIPE)
    assert [one == two for one, two in zip(first, edited, strict=True)] == [True, True, True, False, True, True]


def test_an_upgrade_of_a_library_changes_the_keys_of_the_steps_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("channels", "band_pass", "ica", "average_reference")
    before = {name: code_of(steps.STEPS[name].work) for name in names}
    real = keys.version
    monkeypatch.setattr(keys, "version", lambda name: "99" if name == "python-picard" else real(name))
    changed = {name for name in names if code_of(steps.STEPS[name].work) != before[name]}
    assert changed == {"ica"}
    monkeypatch.setattr(keys, "version", lambda name: "99" if name == "scipy" else real(name))
    assert "band_pass" in {name for name in names if code_of(steps.STEPS[name].work) != before[name]}
