"""Raw data and stores on object storage: the same bytes as from folders, by way of pyarrow's file systems."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from corpora_cases import SMALL, small
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.dry import dry_run
from mdjpt_platform.preprocess.recipe import folder_of, is_prepared
from mdjpt_platform.preprocess.run import prepare
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.prepared import open_stores

PLAN = SMALL["seed"]
FACTS = {"stimuli": list(PLAN.stimuli), "sessions": PLAN.sessions, "seconds": PLAN.seconds}


def config(raw: str, store: str, cache: Path, **execution: Any) -> Config:
    return parse(
        {
            "corpora": {"c": {"layout": "seed", "facts": FACTS}},
            "sources": ["c"],
            "recipe": "minimal",
            "exec": {"raw": {"c": raw}, "store": store, "cache": str(cache), "engine": "local", "progress": False}
            | execution,
        }
    )


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of the store that folders give."""
    root = tmp_path_factory.mktemp("local")
    run = config(str(small("seed")), str(root / "store"), root / "cache")
    prepare(run)
    return files(folder_of(run, "c"))


def remote(tmp_path: Path, **execution: Any) -> Config:
    shutil.copytree(small("seed"), tmp_path / "bucket" / "raw")
    return config(f"file://{tmp_path}/bucket/raw", f"file://{tmp_path}/bucket/store", tmp_path / "cache", **execution)


def test_the_same_store_and_nothing_left_over(tmp_path: Path, local: dict[str, bytes]) -> None:
    run = remote(tmp_path)
    assert not is_prepared(run, "c")
    (outlook,) = dry_run(run)
    assert (
        outlook.raw
        == sum(p.stat().st_size for p in (tmp_path / "bucket" / "raw").rglob("*.mat") if p.name != "label.mat")
        + 4 * (tmp_path / "bucket" / "raw" / "Preprocessed_EEG" / "label.mat").stat().st_size
    )
    report = prepare(run)
    assert report.ok and len(report.corpora["c"].done) == 4
    published = tmp_path / "bucket" / "store" / folder_of(run, "c").relative_to(tmp_path / "cache" / "prepared")
    assert files(published) == local
    assert not list((tmp_path / "cache" / "raw").rglob("*.mat")), "what was fetched is gone"
    assert is_prepared(run, "c") and prepare(run).corpora["c"].unchanged


def test_another_machine_opens_what_was_published(tmp_path: Path, local: dict[str, bytes]) -> None:
    run = remote(tmp_path)
    prepare(run)
    shutil.rmtree(tmp_path / "cache")
    store = open_stores(run, ("c",), verify=True)["c"]
    assert store.folder.is_relative_to(tmp_path / "cache") and files(store.folder) == local
    shutil.rmtree(tmp_path / "cache")
    again = prepare(run)
    assert again.corpora["c"].unchanged, "the published store is fetched, not made anew"


def test_through_ray(tmp_path: Path, local: dict[str, bytes], ray_local: None) -> None:
    run = remote(tmp_path, engine="ray")
    assert prepare(run).ok
    assert files(folder_of(run, "c")) == local


def test_a_damaged_object_is_left_out_by_name(tmp_path: Path) -> None:
    run = remote(tmp_path)
    victim = sorted((tmp_path / "bucket" / "raw" / "Preprocessed_EEG").glob("1_*.mat"))[0]
    victim.write_bytes(victim.read_bytes()[:3000])
    report = prepare(run)
    ((name, reason),) = report.corpora["c"].failed
    assert name == "sub-1_ses-1" and victim.name in reason and str(tmp_path) not in reason


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing there"):
        prepare(config(f"file://{tmp_path}/none", str(tmp_path / "store"), tmp_path / "cache"))
    run = config(str(small("seed")), f"file://{tmp_path}/store", tmp_path / "cache")
    bare = run.model_copy(update={"exec": run.exec.model_copy(update={"cache": None})})
    for verb in (lambda: prepare(bare), lambda: open_stores(bare, ("c",), verify=False)):
        with pytest.raises(BadInput, match=r"exec\.cache"):
            verb()
    with pytest.raises(BadInput, match="credentials in it") as caught:
        prepare(config("s3://user:hush@bucket/raw", str(tmp_path / "store"), tmp_path / "cache"))
    assert "hush" not in str(caught.value)
