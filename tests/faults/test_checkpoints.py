"""Damaged, foreign and missing checkpoints, and a disk without room for the next one."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mdjpt_platform.config import Config
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import Pretraining, pretrain
from mdjpt_platform.train.process import METRICS

Damage = Callable[[Path, Path], object]


def short(config: Config, runs: Path, **run: Any) -> Config:
    train = config.run.train.model_copy(update={"episodes": 1, "steps": 2, "epochs": 3})
    execution = config.exec.model_copy(update={"runs": str(runs)})
    changed = config.run.model_copy(update={"train": train, **run})
    return config.model_copy(update={"run": changed, "exec": execution})


def stopped(config: Config, epoch: int) -> Path:
    """A training that a person ends after an epoch; the folder of its checkpoints."""

    def report(done: int, values: dict[str, float]) -> None:
        if done == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(config, hooks=Context(report=report))
    (folder,) = Path(config.exec.runs).glob("*/checkpoints")
    return folder


@pytest.fixture(scope="module")
def whole(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Pretraining:
    from conftest import tiny_tree
    from mdjpt_platform.runfile import parse

    runs = tmp_path_factory.mktemp("whole")
    return pretrain(short(parse(tiny_tree(tiny_store, runs)), runs))


def flipped(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path, other: Path) -> None:
    """The checkpoint of another run at the same step, whole and of the same architecture."""
    path.unlink()
    (theirs,) = other.glob("step-00000004-*")
    (path.parent / theirs.name).write_bytes(theirs.read_bytes())


@pytest.fixture(scope="module")
def others(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from conftest import tiny_tree
    from mdjpt_platform.runfile import parse

    runs = tmp_path_factory.mktemp("other")
    return stopped(short(parse(tiny_tree(tiny_store, runs)), runs, seed=11), 1)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path, _: path.write_bytes(path.read_bytes()[:-1]), "is damaged; going back .*bytes that are not those"),
        (flipped, "is damaged; going back"),
        (lambda path, _: path.write_bytes(b""), "is damaged; going back .*: 0 bytes"),
        (foreign, r"is of run [0-9a-f]{16}, this is [0-9a-f]{16}; going back"),
        (lambda path, _: path.unlink(), None),
    ],
    ids=["truncated", "flipped", "empty", "of another run", "missing"],
)
def test_the_one_before_a_bad_one_gives_the_same(
    tiny: Config,
    tmp_path: Path,
    whole: Pretraining,
    others: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
    said: str | None,
) -> None:
    import re

    config = short(tiny, tmp_path)
    folder = stopped(config, 1)
    assert len(list(folder.iterdir())) == 2
    damage(max(folder.iterdir()), others)
    with caplog.at_level(logging.WARNING, "mdjpt_platform"):
        done = pretrain(config)
    assert done.trained.resumed_at == 2 and done.trained.weights_sha256 == whole.trained.weights_sha256
    assert [m["step"] for m in read_jsonl(done.folder / METRICS)] == list(range(6))
    assert (said is None) or (re.search(said, caplog.text) and "going on from" in caplog.text), caplog.text


def test_a_damaged_one_takes_no_place_of_a_sound_one(tiny: Config, tmp_path: Path) -> None:
    config = short(tiny, tmp_path)
    folder = stopped(config, 1)
    bad = max(folder.iterdir())
    flipped(bad, folder)
    bad.rename(folder / bad.name.replace("00000004", "00000099"))
    stopped(config, 1)
    assert [path.name[:13] for path in sorted(folder.iterdir())] == ["step-00000002", "step-00000004"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may be larger; stands for a full disk where nobody may mount one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_for_a_checkpoint(tiny: Config, tmp_path: Path, whole: Pretraining) -> None:
    config = short(tiny, tmp_path)
    folder = stopped(config, 0)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    said = r"step-00000004-.*: the checkpoint cannot be written: File too large; make room there and start the same"
    with largest_file(30_000), pytest.raises(MdjptError, match=said) as full:
        pretrain(config)
    assert "\n" not in str(full.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before, "and nothing half written beside it"
    done = pretrain(config)
    assert done.trained.resumed_at == 2 and done.trained.weights_sha256 == whole.trained.weights_sha256
