"""From raw recordings to a store: interruption, failure and order change nothing; Ray and its local twin agree."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch
from toy import config, digest, facts, toy, write_raw

from mdjpt_platform.corpora.base import Corpus, Recording, Segment
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.preprocess import folder_of, resolve, stages
from mdjpt_platform.preprocess.run import prepare
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import open_store

# Ray Data copies its context attribute by attribute and so warns of its own deprecated ones.
RAY_COPIES = pytest.mark.filterwarnings("ignore:::ray.data.context")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


LAYOUTS = {"toy": toy()}


def test_from_files_to_a_verified_store(raw: Path, tmp_path: Path) -> None:
    settings = config(raw, tmp_path / "store")
    report = prepare(settings, corpora=LAYOUTS)
    toy_report = report.corpora["toy"]
    assert report.ok and len(toy_report.done) == 6 and not toy_report.unchanged
    assert toy_report.hours == pytest.approx(6 * 12 / 3600, rel=0.01)
    assert Path(toy_report.folder) == folder_of(settings, "toy").absolute()
    store = open_store(toy_report.folder)
    assert store.fingerprint == toy_report.fingerprint
    assert (store.rate, store.labels) == (125.0, ("sad", "happy"))
    assert store.channels == ("FP1", "FP2", "F3", "F4", "T7", "C3", "C4", "T8", "P3", "P4", "O1", "O2")
    assert store.index["play_order"].tolist() == [2, 1] * 6
    assert store.index["label"].tolist() == ["happy", "sad"] * 6
    for subject, rows in store.index.groupby("subject").groups.items():
        everything = np.concatenate([store.signal(row) for row in rows])
        assert abs(everything.mean()) < 1e-3 and abs(everything.std() - 1) < 0.02, subject
        np.testing.assert_allclose(everything.mean(axis=1), everything.mean(), atol=1e-5)  # average reference
    frequency, power = welch(store.signal(0)[:, 11], 125.0, nperseg=500)
    assert frequency[np.argmax(power)] == 10.0
    assert power[frequency == 60.0] < 1e-6 * power.max()
    assert str(tmp_path) not in (folder_of(settings, "toy") / "manifest.json").read_text()


def test_a_gain_of_the_amplifier_changes_nothing(raw: Path, tmp_path: Path) -> None:
    other = write_raw(tmp_path / "gained", gain=3e6)  # times three, and in the wrong unit
    one = prepare(config(raw, tmp_path / "a"), corpora=LAYOUTS).corpora["toy"]
    two = prepare(config(other, tmp_path / "b"), corpora=LAYOUTS).corpora["toy"]
    assert not one.corrected and set(two.corrected.values()) == {1e-6}
    first, second = open_store(one.folder), open_store(two.folder)
    for row in range(len(first)):
        np.testing.assert_allclose(first.signal(row), second.signal(row), atol=2e-6)


def test_a_second_run_does_nothing(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(raw, tmp_path / "store")
    first = prepare(settings, corpora=LAYOUTS).corpora["toy"]
    before = {path: path.stat().st_mtime_ns for path in Path(first.folder).rglob("*")}
    monkeypatch.setattr(stages, "scale_subject", None)  # would fail if it were called
    second = prepare(settings, corpora=LAYOUTS)
    assert second.corpora["toy"].unchanged and not second.corpora["toy"].done
    assert len(second.corpora["toy"].skipped) == 6
    assert "nothing to do" in second.lines()[0]
    assert {path: path.stat().st_mtime_ns for path in Path(first.folder).rglob("*")} == before


def test_touched_raw_files_are_hashed_again_and_changed_ones_prepared_again(raw: Path, tmp_path: Path) -> None:
    settings = config(raw, tmp_path / "store")
    first = prepare(settings, corpora=LAYOUTS).corpora["toy"]
    os.utime(raw / "01-1.npy", ns=(1, 1))
    assert prepare(settings, corpora=LAYOUTS).corpora["toy"].unchanged
    np.save(raw / "01-1.npy", np.load(raw / "01-2.npy"))
    again = prepare(settings, corpora=LAYOUTS).corpora["toy"]
    assert not again.unchanged and again.fingerprint != first.fingerprint
    fresh = prepare(config(raw, tmp_path / "fresh"), corpora=LAYOUTS).corpora["toy"]
    assert digest(Path(again.folder)) == digest(Path(fresh.folder))


def test_two_preparations_at_once_take_turns(raw: Path, tmp_path: Path) -> None:
    settings = config(raw, tmp_path / "store")
    with ThreadPoolExecutor(2) as pool:
        reports = [f.result() for f in [pool.submit(prepare, settings, corpora=LAYOUTS) for _ in range(2)]]
    assert sorted(report.corpora["toy"].unchanged for report in reports) == [False, True]


def test_a_work_folder_that_vanishes_is_no_reason_to_leave_a_subject_out(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = stages.scale_subject

    def after_a_loss(*args: object) -> object:
        shutil.rmtree(tmp_path / "store" / "toy" / ".work", ignore_errors=True)
        return genuine(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(stages, "scale_subject", after_a_loss)
    with pytest.raises(MdjptError, match=r"signal\.npy"):
        prepare(config(raw, tmp_path / "store"), corpora=LAYOUTS)


def _break_off(after: int) -> Callable[..., object]:
    genuine, calls = stages.prepare_recording, iter(range(100))

    def interrupted(*args: object) -> object:
        if next(calls) == after:
            raise KeyboardInterrupt
        return genuine(*args)  # type: ignore[arg-type]

    return interrupted


def test_an_interrupted_run_continues_to_the_same_bytes(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(config(raw, tmp_path / "whole"), corpora=LAYOUTS).corpora["toy"]
    settings = config(raw, tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(stages, "prepare_recording", _break_off(4))
        with pytest.raises(KeyboardInterrupt):
            prepare(settings, corpora=LAYOUTS)
    assert not folder_of(settings, "toy").exists()
    with monkeypatch.context() as patch:

        def killed(*args: object, **kwargs: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(stages, "assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(settings, corpora=LAYOUTS)
    assert not folder_of(settings, "toy").exists()
    last = prepare(settings, corpora=LAYOUTS).corpora["toy"]
    assert (len(last.done), len(last.skipped)) == (0, 6)
    assert digest(Path(last.folder)) == digest(Path(whole.folder))
    assert sorted(path.name for path in Path(last.folder).parent.iterdir()) == [".work", Path(last.folder).name]
    assert set(os.listdir(Path(last.folder).parent / ".work")) <= {"inputs.json", "lock", "steps", "timings.json"}


def test_a_damaged_work_folder_is_prepared_again(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(config(raw, tmp_path / "whole"), corpora=LAYOUTS).corpora["toy"]
    settings = config(raw, tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(stages, "prepare_recording", _break_off(3))
        with pytest.raises(KeyboardInterrupt):
            prepare(settings, corpora=LAYOUTS)
    one, two, _ = sorted((tmp_path / "store" / "toy" / ".work").glob("*/signal.npy"))
    one.write_bytes(one.read_bytes()[:-100])
    (two.parent / "result.json").write_text("{")
    report = prepare(settings, corpora=LAYOUTS).corpora["toy"]
    assert (len(report.done), len(report.skipped)) == (5, 1)
    assert digest(Path(report.folder)) == digest(Path(whole.folder))


def test_a_damaged_store_is_mended(raw: Path, tmp_path: Path) -> None:
    settings = config(raw, tmp_path / "store")
    folder = Path(prepare(settings, corpora=LAYOUTS).corpora["toy"].folder)
    before = digest(folder)
    path = folder / "signals" / "sub-02_ses-1.npy"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    assert not prepare(settings, corpora=LAYOUTS).corpora["toy"].unchanged
    assert digest(folder) == before


def test_a_bad_recording_is_left_out_and_comes_back(raw: Path, tmp_path: Path) -> None:
    whole = prepare(config(raw, tmp_path / "whole"), corpora=LAYOUTS).corpora["toy"]
    settings = config(raw, tmp_path / "store")
    good = (raw / "02-1.npy").read_bytes()
    broken = np.load(raw / "02-1.npy")
    broken[3, 100] = np.nan
    np.save(raw / "02-1.npy", broken)
    (raw / "03-2.npy").write_bytes(good[:1000])
    report = prepare(settings, corpora=LAYOUTS)
    assert not report.ok
    failed = dict(report.corpora["toy"].failed)
    assert set(failed) == {"sub-02_ses-1", "sub-03_ses-2"} and "NaN or infinity in F4" in failed["sub-02_ses-1"]
    assert any("left out sub-03_ses-2" in line for line in report.lines())
    store = open_store(report.corpora["toy"].folder)
    assert dict(store.manifest.failed) == failed and len(store) == 8
    again = prepare(settings, corpora=LAYOUTS)
    assert not again.ok and again.corpora["toy"].unchanged
    (raw / "02-1.npy").write_bytes(good)
    shutil.copy(write_raw(tmp_path / "new") / "03-2.npy", raw / "03-2.npy")
    mended = prepare(settings, corpora=LAYOUTS)
    assert mended.ok
    assert (len(mended.corpora["toy"].done), len(mended.corpora["toy"].skipped)) == (2, 4)
    assert digest(Path(mended.corpora["toy"].folder)) == digest(Path(whole.folder))


def test_recordings_that_disagree_with_the_others_are_left_out(raw: Path, tmp_path: Path) -> None:
    np.save(raw / "01-2.npy", np.load(raw / "01-2.npy")[:11])
    report = prepare(config(raw, tmp_path / "a"), corpora={"toy": toy()}).corpora["toy"]
    assert [name for name, _ in report.failed] == ["sub-01_ses-2"] and "no O2" in report.failed[0][1]


def test_nothing_usable_is_an_error(raw: Path, tmp_path: Path) -> None:
    for path in raw.glob("*.npy"):
        np.save(path, np.zeros((12, 3000)))
    with pytest.raises(BadInput, match=r"none usable of 6; the first: sub-01_ses-1: .*every channel flat"):
        prepare(config(raw, tmp_path / "store"), corpora=LAYOUTS)


def test_a_label_outside_the_scheme_is_left_out(raw: Path, tmp_path: Path) -> None:
    corpus = Corpus("toy", facts(classes=("sad", "angry")), toy().recordings, toy().read)
    with pytest.raises(BadInput, match="label 'happy', expected one of: sad, angry"):
        prepare(config(raw, tmp_path / "store"), corpora={"toy": corpus})


def test_what_is_refused_before_any_work(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(BadInput, match=r"corpora\.toy\.layout: found 'toy', expected one of: sled"):
        prepare(config(raw, store), corpora={"sled": toy()})
    with pytest.raises(BadInput, match="Toy: labels: found 'nine', expected one of: default"):
        prepare(config(raw, store, labels="nine"), corpora=LAYOUTS)
    with pytest.raises(BadInput, match=r"corpora\.toy\.subjects: found no 09, expected 01, 02, 03"):
        prepare(config(raw, store, subjects=["01", "09"]), corpora=LAYOUTS)
    with pytest.raises(BadInput, match="corpora: found 'other', expected one of: toy"):
        prepare(config(raw, store), only=["other"], corpora=LAYOUTS)
    without = parse({"corpora": {"toy": {"layout": "toy"}}, "sources": ["toy"], "exec": {"engine": "local"}})
    with pytest.raises(BadInput, match=r"exec\.raw\.toy"):
        prepare(without, corpora=LAYOUTS)
    assert not list(tmp_path.glob("store/*/*.npy"))


def test_only_some_subjects(raw: Path, tmp_path: Path) -> None:
    report = prepare(config(raw, tmp_path / "store", subjects=["03", "01"]), corpora=LAYOUTS).corpora["toy"]
    assert open_store(report.folder).index["subject"].unique().tolist() == ["01", "03"]


def test_an_unwritable_store(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match=r"exec\.store: found Not a directory"):
        prepare(config(raw, tmp_path / "file" / "store"), corpora=LAYOUTS)
    assert (tmp_path / "file").read_text() == "x"


def test_a_full_disk_stops_with_one_line(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mdjpt_platform.preprocess.result.save_signal", full)
    with pytest.raises(BadInput, match=r"exec\.store: found No space left on device"):
        prepare(config(raw, tmp_path / "store", keep="none"), corpora=LAYOUTS)
    assert not list((tmp_path / "store").rglob("*.npy"))


def test_passing_errors_of_the_file_system_are_tried_again(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, failures = toy().read, iter([OSError(5, "Input/output error")])

    def shaky(recording: Recording) -> list[Segment]:
        for failure in failures:
            raise failure
        return genuine(recording)

    monkeypatch.setattr("mdjpt_platform.preprocess.recording.time.sleep", lambda seconds: None)
    corpus = Corpus("toy", toy().facts, toy().recordings, shaky)
    assert prepare(config(raw, tmp_path / "store"), corpora={"toy": corpus}).ok


@RAY_COPIES
@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_ray_writes_the_bytes_of_its_local_twin(raw: Path, tmp_path: Path) -> None:
    (raw / "03-1.npy").write_bytes(b"nonsense")
    here = prepare(config(raw, tmp_path / "here"), corpora=LAYOUTS).corpora["toy"]
    settings = config(raw, tmp_path / "there", engine="ray")
    there = prepare(settings, corpora=LAYOUTS).corpora["toy"]
    assert (len(there.done), there.failed) == (5, here.failed)
    assert digest(Path(there.folder)) == digest(Path(here.folder))
    assert prepare(settings, corpora=LAYOUTS).corpora["toy"].unchanged


@RAY_COPIES
@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_on_ray_a_dead_worker_is_replaced(raw: Path, tmp_path: Path) -> None:
    here = prepare(config(raw, tmp_path / "here"), corpora=LAYOUTS).corpora["toy"]
    mark, corpus = tmp_path / "died", toy()
    genuine = corpus.read

    def deadly(recording: Recording) -> list[Segment]:
        if recording.id == "sub-02_ses-2" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return genuine(recording)

    report = prepare(
        config(raw, tmp_path / "there", engine="ray"),
        corpora={"toy": Corpus("toy", corpus.facts, corpus.recordings, deadly)},
    ).corpora["toy"]
    assert mark.exists() and not report.failed
    assert report.fingerprint == here.fingerprint


def test_real_recordings_keep_what_is_known_of_them(shared: Path, tmp_path: Path) -> None:
    """SSVEP: a wrong unit is mended and the peak survives; mental arithmetic: alpha over O1 and O2 survives."""
    tree = {
        "corpora": {
            "ssvep": {"layout": "ssvep_exo", "subjects": ["07", "12"]},
            "eegmat": {"layout": "eegmat", "subjects": ["00", "05"]},
        },
        "sources": ["ssvep", "eegmat"],
        "exec": {
            "raw": {"ssvep": str(shared / "eeg" / "ssvep_exo"), "eegmat": str(shared / "eeg" / "eegmat")},
            "store": str(tmp_path),
            "engine": "local",
            "progress": False,
        },
    }
    report = prepare(parse(tree))
    assert report.ok and set(report.corpora["ssvep"].corrected.values()) == {1e-3}
    store = open_store(report.corpora["ssvep"].folder)
    for subject in ("07", "12"):
        for label, hertz in (("13Hz", 13), ("17Hz", 17), ("21Hz", 21)):
            rows = store.index.query("subject == @subject and label == @label").index
            power = np.mean([welch(store.signal(r).T, 125.0, nperseg=625)[1].mean(0) for r in rows], axis=0)
            peak = 5 * hertz
            beside = power[[*range(peak - 7, peak - 2), *range(peak + 3, peak + 8)]].mean()
            assert power[peak] > 2 * beside, (subject, label)
    store = open_store(report.corpora["eegmat"].folder)
    occipital = [store.channels.index(name) for name in ("O1", "O2")]
    for row in range(len(store)):
        frequency, power = welch(store.signal(row)[:, occipital].T, 125.0, nperseg=500)
        band = (frequency >= 7) & (frequency <= 20)
        assert 9.5 <= frequency[band][np.argmax(power.mean(0)[band])] <= 12.75
    assert json.loads((Path(report.corpora["ssvep"].folder) / "manifest.json").read_text())["recipe"] == [
        step.model_dump(mode="json") for step in resolve("mdjpt")
    ]
