"""A store gives back what was written, and refuses everything else by name."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.store import TrialRow, open_store, store_folder, write_store
from mdjpt_platform.store.write import save_signal

CORPUS = CorpusConfig(layout="seed")
RECIPE = (StepConfig(step="channels"), StepConfig(step="scale", params={"multiple": 30.0}))
CHANNELS = ("FP1", "FP2", "OZ")
LENGTHS = {1: 50, 2: 70}


def signal(subject: int, session: int, trial: int) -> np.ndarray:
    return np.random.default_rng((subject, session, trial)).standard_normal((LENGTHS[trial], 3)).astype(np.float32)


def write(root: Path, *, order: int = 1, recipe: tuple[StepConfig, ...] = RECIPE) -> Path:
    trials = [
        (
            TrialRow(
                corpus="one",
                subject=f"{subject:02d}",
                session=session,
                trial=trial,
                stimulus=f"s{trial}",
                play_order=trial,
                label="happy" if trial == 1 else None,
                valence=0.5 if trial == 1 else None,
                samples=1,
            ),
            signal(subject, session, trial),
        )
        for subject in (1, 2)
        for session in (1, 2)
        for trial in (1, 2)
    ]
    return write_store(
        root, "one", CORPUS, recipe, trials[::order], channels=CHANNELS, rate=125.0, labels=("sad", "happy")
    )


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "store")


def test_gives_back_what_was_written(folder: Path) -> None:
    store = open_store(folder)
    assert (store.channels, store.rate, store.labels, len(store)) == (CHANNELS, 125.0, ("sad", "happy"), 8)
    assert store.index.index.tolist() == list(range(8))
    assert list(zip(store.index["subject"], store.index["session"], store.index["trial"], strict=True)) == [
        (subject, session, trial) for subject in ("01", "02") for session in (1, 2) for trial in (1, 2)
    ]
    assert store.index["label"].isna().tolist() == [False, True] * 4
    assert store.index["arousal"].isna().all()
    for row, (subject, session, trial) in enumerate(
        zip(store.index["subject"], store.index["session"], store.index["trial"], strict=True)
    ):
        expected = signal(int(subject), session, trial)
        np.testing.assert_array_equal(store.signal(row), expected)
        np.testing.assert_array_equal(store.window(row, 7, 20), expected[7:27])


def test_views_are_read_only_and_of_the_file(folder: Path) -> None:
    view = open_store(folder).window(0, 0, 10)
    assert type(view) is np.ndarray
    assert view.dtype == np.float32 and view.flags.c_contiguous and not view.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, 51), (46, 5), (0, 0)])
def test_a_window_outside_its_trial_is_an_error(folder: Path, start: int, length: int) -> None:
    with pytest.raises(ValueError, match="outside trial 0 of 50"):
        open_store(folder).window(0, start, length)


def test_a_row_outside_the_index_is_an_error(folder: Path) -> None:
    with pytest.raises(IndexError):
        open_store(folder).signal(-1)
    with pytest.raises(IndexError):
        open_store(folder).window(8, 0, 1)


def test_bytes_do_not_depend_on_the_order_or_the_place(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a"), write(tmp_path / "b", order=-1)
    assert digest(one) == digest(other)
    assert open_store(one).fingerprint == open_store(other).fingerprint
    assert str(tmp_path) not in (one / "manifest.json").read_text()


def test_quality_is_read_when_asked_for_and_verified(folder: Path) -> None:
    assert open_store(folder).quality() == {}
    (folder / "quality.json").write_text('{"sub-01_ses-1":{}}\n')
    with pytest.raises(BadInput, match=r"quality\.json: sha256: found .*: damaged"):
        open_store(folder)
    store = open_store(folder, verify=False)  # a worker has no use for it
    with pytest.raises(BadInput, match=r"quality\.json: sha256"):
        store.quality()
    (folder / "quality.json").unlink()
    with pytest.raises(BadInput, match=r"quality\.json: quality: found No such file"):
        store.quality()


def test_fingerprint_follows_the_signals(folder: Path, tmp_path: Path) -> None:
    trials = [
        (TrialRow(corpus="one", subject="01", session=1, trial=1, stimulus="s", play_order=1, label=None, samples=1), x)
        for x in (np.zeros((5, 3), np.float32),)
    ]
    other = write_store(tmp_path / "x", "one", CORPUS, RECIPE, trials, channels=CHANNELS, rate=125.0, labels=())
    assert open_store(other).fingerprint != open_store(folder).fingerprint


def test_pickles_as_its_folder(folder: Path) -> None:
    store = open_store(folder)
    store.signal(0)
    frozen = pickle.dumps(store)
    assert len(frozen) < 1000
    again = pickle.loads(frozen)
    np.testing.assert_array_equal(again.signal(3), store.signal(3))
    assert again.fingerprint == store.fingerprint


def test_another_recipe_is_another_folder_and_is_refused(folder: Path, tmp_path: Path) -> None:
    other = (StepConfig(step="channels"), StepConfig(step="scale", params={"multiple": 20.0}))
    wanted = store_folder(tmp_path / "store", "one", CORPUS, other)
    assert wanted != folder
    shutil.copytree(folder, wanted)
    with pytest.raises(BadInput, match="a store written by another recipe"):
        open_store(wanted)
    with pytest.raises(BadInput, match="a store written by another recipe"):
        open_store(folder, key=wanted.name)


def test_a_manifest_with_another_recipe_inside_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    tree = json.loads(path.read_text())
    tree["recipe"][1]["params"]["multiple"] = 10.0
    path.write_text(json.dumps(tree))
    with pytest.raises(BadInput, match="another recipe"):
        open_store(folder)


def test_a_staged_copy_opens_by_its_key(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "staged")
    assert open_store(tmp_path / "staged", key=folder.name).fingerprint == open_store(folder).fingerprint


@pytest.mark.parametrize("verify", [True, False])
def test_a_truncated_signal_file_is_named(folder: Path, verify: bool) -> None:
    path = folder / "signals" / "sub-01_ses-2.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadInput, match=r"sub-01_ses-2\.npy: signal file: found \d+ bytes: truncated"):
        open_store(folder, verify=verify)


def test_a_flipped_bit_is_named(folder: Path) -> None:
    path = folder / "signals" / "sub-02_ses-1.npy"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"sub-02_ses-1\.npy: sha256: found .* damaged"):
        open_store(folder)
    assert len(open_store(folder, verify=False)) == 8  # what only checks sizes cannot see it


def test_a_foreign_file_of_the_right_size_is_never_read(folder: Path) -> None:
    path = folder / "signals" / "sub-02_ses-1.npy"
    path.write_bytes(b"x" * path.stat().st_size)
    store = open_store(folder, verify=False)
    with pytest.raises(BadInput, match=r"sub-02_ses-1\.npy"):
        store.signal(4)


def test_a_missing_signal_file_is_named(folder: Path) -> None:
    (folder / "signals" / "sub-02_ses-2.npy").unlink()
    with pytest.raises(BadInput, match=r"sub-02_ses-2\.npy"):
        open_store(folder, verify=False)


def test_a_damaged_index_is_refused(folder: Path) -> None:
    path = folder / "index.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"index\.parquet: sha256"):
        open_store(folder, verify=False)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 99}', '{"format": 1}'])
def test_a_broken_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        open_store(folder)


def test_nothing_prepared_yet(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="mdjpt prepare"):
        open_store(tmp_path / "none")


def _rewrite(folder: Path, name: str) -> None:
    """Point the first signal file somewhere else, with index and checksums that agree."""
    path = folder / "manifest.json"
    tree = json.loads(path.read_text())
    table = pq.read_table(folder / "index.parquet").to_pylist()
    old = table[0]["file"]
    for row in table:
        row["file"] = name if row["file"] == old else row["file"]
    schema = pq.read_schema(folder / "index.parquet")
    pq.write_table(pa.Table.from_pylist(table, schema=schema), folder / "index.parquet")
    tree["index"] = hashlib.sha256((folder / "index.parquet").read_bytes()).hexdigest()
    tree["files"][name] = tree["files"].pop(old)
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize("name", ["../../outside.npy", "signals/../../outside.npy", "/etc/passwd", "signals/a/b.npy"])
def test_paths_out_of_the_store_are_refused(folder: Path, name: str) -> None:
    shutil.copy(folder / "signals" / "sub-01_ses-1.npy", folder.parents[1] / "outside.npy")
    _rewrite(folder, name)
    with pytest.raises(BadInput, match="inside the store"):
        open_store(folder, verify=False)


def test_a_link_out_of_the_store_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "signals" / "sub-01_ses-1.npy"
    shutil.move(path, tmp_path / "outside.npy")
    path.symlink_to(tmp_path / "outside.npy")
    with pytest.raises(BadInput, match="inside the store"):
        open_store(folder, verify=False)


def test_offsets_beyond_the_file_are_refused(folder: Path) -> None:
    path = folder / "index.parquet"
    table = pq.read_table(path).to_pylist()
    table[1]["offset"] += 1
    pq.write_table(pa.Table.from_pylist(table, schema=pq.read_schema(path)), path)
    manifest = folder / "manifest.json"
    tree = json.loads(manifest.read_text())
    tree["index"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(tree))
    with pytest.raises(BadInput, match="offset"):
        open_store(folder)


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"exec\.store"):
        write(tmp_path / "file" / "store")


def test_names_that_would_leave_the_root_are_refused(tmp_path: Path) -> None:
    for name in ("..", "a/b", "", ".hidden"):
        with pytest.raises(BadInput, match="corpora"):
            store_folder(tmp_path, name, CORPUS, RECIPE)


def test_a_signal_that_does_not_add_up_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 samples written, 6 announced"):
        save_signal(tmp_path / "x.npy", [np.zeros((5, 3), np.float32)], (6, 3))
    assert list(tmp_path.iterdir()) == []


def test_writing_over_a_store_replaces_it_and_leaves_no_drafts(folder: Path, tmp_path: Path) -> None:
    before = digest(folder)
    (folder / "signals" / "sub-01_ses-1.npy").write_bytes(b"")
    assert write(tmp_path / "store") == folder
    assert digest(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
