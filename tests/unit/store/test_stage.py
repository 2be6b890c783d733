from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.store.stage import stage
from mdjpt_platform.train.prepared import open_stores


def test_one_copy_for_all_processes_of_a_node(tiny: Config, tmp_path: Path) -> None:
    store = open_stores(tiny, ("one",), verify=True)["one"]
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: stage(store, tmp_path / "cache"), range(4)))
    folders = {copy.folder for copy in copies}
    assert len(folders) == 1 and tmp_path in folders.pop().parents
    assert copies[0].fingerprint == store.fingerprint
    assert all(np.array_equal(copies[0].signal(row), store.signal(row)) for row in range(len(store)))
    assert copies[0].quality() == store.quality()
    made = (copies[0].folder / "manifest.json").stat().st_mtime_ns
    assert stage(store, tmp_path / "cache").folder.joinpath("manifest.json").stat().st_mtime_ns == made


def test_a_cache_that_cannot_be_written(tiny: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file"):
        stage(open_stores(tiny, ("one",), verify=False)["one"], tmp_path / "file" / "cache")


def test_training_reads_the_staged_copy(tiny: Config, tmp_path: Path) -> None:
    config = tiny.model_copy(update={"exec": tiny.exec.model_copy(update={"cache": str(tmp_path / "cache")})})
    stores = open_stores(config, ("one", "two"), verify=False, staged=True)
    assert all(tmp_path / "cache" in store.folder.parents for store in stores.values())
