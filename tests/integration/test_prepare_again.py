"""Preparing again: after a change of recipe, after a kill, with copies and problems among the recordings."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import config, digest, toy, write_raw

from mdjpt_platform.config import Config, CorpusConfig
from mdjpt_platform.corpora.base import Recording, Segment
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import STEPS, kept
from mdjpt_platform.preprocess.run import PrepareReport, prepare
from mdjpt_platform.preprocess.timings import load_timings
from mdjpt_platform.store import open_store

RECIPE: list[dict[str, Any]] = [
    {"step": "channels"}, {"step": "unit"}, {"step": "resample"}, {"step": "band_pass"}, {"step": "bad_channels"},
    {"step": "average_reference"}, {"step": "scale"},
]  # fmt: skip
IDS = [f"sub-0{subject}_ses-{session}" for subject in (1, 2, 3) for session in (1, 2)]


def with_params(step: str, **params: object) -> list[dict[str, Any]]:
    return [{**one, "params": params} if one["step"] == step else one for one in RECIPE]


class Watched:
    """The toy corpus and the registry of steps, with everything done counted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        corpus = toy()
        self.corpora = {"toy": replace(corpus, read=self._counted("read", corpus.read))}
        for name, step in list(STEPS.items()):
            patch.setitem(STEPS, name, replace(step, work=self._counted(name, step.work)))

    def _counted(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return work(*args, **kwargs)

        return counted

    def prepare(self, settings: Config) -> tuple[PrepareReport, dict[str, int]]:
        self.calls.clear()
        return prepare(settings, corpora=self.corpora), dict(self.calls)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def keys(store: Path) -> set[str]:
    return {path.name for path in (store / "toy" / ".work" / "steps").glob("*")}


def folder(report: PrepareReport) -> Path:
    return Path(report.corpora["toy"].folder)


@pytest.mark.parametrize(
    ("step", "params", "again"),
    [
        ("bad_channels", {"moderate": 2.5}, ["bad_channels", "average_reference", "scale"]),
        ("band_pass", {"high": 40.0}, ["band_pass", "bad_channels", "average_reference", "scale"]),
        ("scale", {"multiple": 20.0}, ["average_reference", "scale"]),
        ("unit", {"high": 200.0}, ["read", *(one["step"] for one in RECIPE)]),
    ],
)
def test_a_changed_step_redoes_itself_and_what_follows(
    raw: Path, tmp_path: Path, watched: Watched, step: str, params: dict[str, object], again: list[str]
) -> None:
    watched.prepare(config(raw, tmp_path / "store", recipe=RECIPE))
    first = keys(tmp_path / "store")
    assert len(first) == 18  # three steps that can be kept, six recordings
    changed = with_params(step, **params)
    report, calls = watched.prepare(config(raw, tmp_path / "store", recipe=changed))
    assert calls == {name: 3 if name == "scale" else 6 for name in again}
    whole, _ = watched.prepare(config(raw, tmp_path / "whole", recipe=changed, keep="none"))
    assert digest(folder(report)) == digest(folder(whole))
    kept_since = [one for one in ("resample", "band_pass", "bad_channels") if one not in again]
    assert len(keys(tmp_path / "store")) == 18 and len(keys(tmp_path / "store") & first) == 6 * len(kept_since)


def test_nothing_is_kept_unless_it_is_worth_it(raw: Path, tmp_path: Path, watched: Watched) -> None:
    store = tmp_path / "store"
    watched.prepare(config(raw, store, recipe=RECIPE, keep="none"))
    assert not keys(store)
    costly, changed = with_params("bad_channels", moderate=2.5), with_params("bad_channels", moderate=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdjpt_platform.preprocess.recording.WORTH", 0.0)
        watched.prepare(config(raw, store, recipe=costly, keep="costly"))
        assert not keys(store)
        patch.setattr("mdjpt_platform.preprocess.recording.WORTH", 1e12)
        watched.prepare(config(raw, store, recipe=changed, keep="costly"))
    assert len(keys(store)) == 18
    _, calls = watched.prepare(config(raw, store, recipe=changed, keep="none"))
    assert calls == {} and not keys(store)  # nothing to do but to give the room back


def test_a_damaged_state_is_made_again(raw: Path, tmp_path: Path, watched: Watched) -> None:
    store = tmp_path / "store"
    watched.prepare(config(raw, store, recipe=RECIPE))
    for path in (store / "toy" / ".work" / "steps").rglob(kept.PIECES):
        data = bytearray(path.read_bytes())
        data[5000] ^= 1
        path.write_bytes(data)
    changed = with_params("bad_channels", moderate=2.5)
    report, calls = watched.prepare(config(raw, store, recipe=changed))
    assert calls["read"] == 6
    whole, _ = watched.prepare(config(raw, tmp_path / "whole", recipe=changed, keep="none"))
    assert digest(folder(report)) == digest(folder(whole))


def test_room_that_is_lacking_for_states_stops_nothing(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "Hashing", full)
    assert prepare(config(raw, tmp_path / "store"), corpora={"toy": toy()}).ok
    assert not keys(tmp_path / "store")


def test_what_was_looked_at_before_is_that_of_an_unbroken_run(raw: Path, tmp_path: Path, watched: Watched) -> None:
    """A state kept before the signal was looked at, and one kept after a later look."""
    shorter, store = [one for one in RECIPE if one["step"] != "unit"], tmp_path / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STEPS, "channels", replace(STEPS["channels"], keep=True))
        for recipe in (shorter, RECIPE, shorter):
            shutil.rmtree(tmp_path / "whole", ignore_errors=True)
            report, calls = watched.prepare(config(raw, store, recipe=recipe))
            whole, _ = watched.prepare(config(raw, tmp_path / "whole", recipe=recipe, keep="none"))
            assert digest(folder(report)) == digest(folder(whole))
    assert calls == {}


def die_midway(raw: str, store: str, where: str) -> None:
    """Kill this very process in the third recording: in the step after kept ones, or while a state is being kept."""
    count = iter(range(100))

    def deadly(genuine: Callable[..., Any], moment: int) -> Callable[..., Any]:
        @functools.wraps(genuine)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(count) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return genuine(*args, **kwargs)

        return wrapped

    if where == "step":
        STEPS["bad_channels"] = replace(STEPS["bad_channels"], work=deadly(STEPS["bad_channels"].work, 2))
    else:
        vars(kept)["Hashing"] = deadly(kept.Hashing, 7)  # three states a recording: the second of the third
    prepare(config(Path(raw), Path(store), recipe=RECIPE), corpora={"toy": toy()})


@pytest.mark.parametrize(("where", "again"), [("step", "bad_channels"), ("keeping", "band_pass")])
def test_a_killed_driver_continues_in_the_midst_of_a_recording(
    raw: Path, tmp_path: Path, watched: Watched, where: str, again: str
) -> None:
    code = f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
    code += "from test_prepare_again import die_midway\ndie_midway(*sys.argv[1:])"
    store = tmp_path / "store"
    line = [sys.executable, "-c", code, str(raw), str(store), where]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list((store / "toy").glob("*/manifest.json"))
    report, calls = watched.prepare(config(raw, store, recipe=RECIPE))
    corpus = report.corpora["toy"]
    assert (list(corpus.done), list(corpus.skipped)) == (IDS[2:], IDS[:2])
    assert (calls["read"], calls["resample"]) == (3, 3)  # the third recording goes on after what was kept
    assert (calls["band_pass"], calls["bad_channels"]) == (3 if again == "bad_channels" else 4, 4)
    whole, _ = watched.prepare(config(raw, tmp_path / "whole", recipe=RECIPE, keep="none"))
    assert digest(folder(report)) == digest(folder(whole))
    left = [path for path in (store / "toy").rglob("*") if ".draft-" in path.name or path.suffix == ".part"]
    assert left == [] or all(path.is_relative_to(store / "toy" / ".work") for path in left)
    assert len(keys(store)) == 18


def test_a_copied_recording_is_left_out_once_and_for_all(raw: Path, tmp_path: Path, watched: Watched) -> None:
    good = (raw / "03-1.npy").read_bytes()
    shutil.copy(raw / "01-2.npy", raw / "03-1.npy")
    part = np.load(raw / "02-2.npy")
    half = part.shape[1] // 2 + 10
    part[:, :half] = np.load(raw / "02-1.npy")[:, :half]  # the first of two trials
    np.save(raw / "02-2.npy", part)
    settings = config(raw, tmp_path / "store", recipe=RECIPE)
    report, _ = watched.prepare(settings)
    assert not report.ok
    reason = "sub-03_ses-1: signal: found that of sub-01_ses-2 (2 of 2 trials), expected one of its own"
    assert report.corpora["toy"].failed == (("sub-03_ses-1", reason),)
    store = open_store(folder(report))
    assert len(store) == 10 and not (store.index["subject"] == "03").all()
    trials = store.quality()["sub-02_ses-2"]["trials"]
    assert [trial.get("same_as") for trial in trials] == ["sub-02_ses-1 trial 1", None]
    again, calls = watched.prepare(settings)
    assert not again.ok and again.corpora["toy"].unchanged and calls == {}
    (raw / "03-1.npy").write_bytes(good)
    mended, calls = watched.prepare(settings)
    assert mended.ok and calls["read"] == 1
    whole, _ = watched.prepare(config(raw, tmp_path / "whole", recipe=RECIPE, keep="none"))
    assert digest(folder(mended)) == digest(folder(whole))


def test_a_recording_with_a_problem_is_left_out_unread(raw: Path, tmp_path: Path, watched: Watched) -> None:
    genuine = watched.corpora["toy"].recordings
    (raw / "02-2.npy").write_bytes(b"")

    def listed(name: str, options: CorpusConfig, place: Path) -> list[Recording]:
        problem = str(BadInput(place / "02-2.npy", "size", 0, "a recording"))
        return [replace(r, problem=problem) if r.id == "sub-02_ses-2" else r for r in genuine(name, options, place)]

    watched.corpora["toy"] = replace(watched.corpora["toy"], recordings=listed)
    report, calls = watched.prepare(config(raw, tmp_path / "store", recipe=RECIPE))
    reason = "02-2.npy: size: found 0, expected a recording"
    assert report.corpora["toy"].failed == (("sub-02_ses-2", reason),) and calls["read"] == 5
    again, calls = watched.prepare(config(raw, tmp_path / "store", recipe=RECIPE))
    assert again.corpora["toy"].unchanged and calls == {}


def test_an_edit_of_the_subject_step_writes_the_store_anew(
    raw: Path, tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdjpt_platform.preprocess import keys as keys_module

    settings = config(raw, tmp_path / "store", recipe=RECIPE)
    watched.prepare(settings)
    genuine = keys_module.code_of
    monkeypatch.setattr(keys_module, "code_of", lambda f: "new" if f is STEPS["scale"].work else genuine(f))
    report, calls = watched.prepare(settings)
    assert not report.corpora["toy"].unchanged
    assert calls == {"average_reference": 6, "scale": 3}


def test_times_are_told_and_kept_and_never_enter_the_store(raw: Path, tmp_path: Path, watched: Watched) -> None:
    settings = config(raw, tmp_path / "store", recipe=RECIPE)
    report, _ = watched.prepare(settings)
    spent = report.corpora["toy"].timings
    steps = [step["step"] for step in RECIPE[:-1]]
    assert {"hash", "read", "quality", "save", "finish", *steps} == set(spent) - {"resume"}
    slow = replace(report.corpora["toy"], timings={**spent, "finish": 1.0})  # a fast machine has nothing to tell
    lines = PrepareReport({"toy": slow}).lines()
    assert any(line.startswith("toy: ") and "finish 1.0 s" in line for line in lines)
    kept_times = load_timings(tmp_path / "store" / "toy" / ".work")
    assert set(kept_times.recordings) == set(IDS)
    assert all(one.bytes == (raw / "01-1.npy").stat().st_size for one in kept_times.recordings.values())
    watched.prepare(config(raw, tmp_path / "store", recipe=with_params("bad_channels", moderate=2.5)))
    after = load_timings(tmp_path / "store" / "toy" / ".work")
    assert after.recordings[IDS[0]].seconds["read"] == kept_times.recordings[IDS[0]].seconds["read"]
    assert after.recordings[IDS[0]].seconds["bad_channels"] != kept_times.recordings[IDS[0]].seconds["bad_channels"]


def test_quality_of_every_recording_lies_in_the_store(raw: Path, tmp_path: Path) -> None:
    flat = np.load(raw / "01-1.npy")
    flat[2] = 0.0
    np.save(raw / "01-1.npy", flat)
    report = prepare(config(raw, tmp_path / "store"), corpora={"toy": toy()})
    store = open_store(folder(report))
    found = store.quality()
    assert sorted(found) == IDS
    one = found["sub-01_ses-1"]
    assert set(one) == {"before", "after", "notes", "trials"}
    assert (one["before"]["rate"], one["after"]["rate"]) == (256.0, 125.0)
    assert one["before"]["line"]["60"] > 20
    first, second = one["trials"]
    assert first["bad"] == ["F3"] and first["dropped"] is None and first["stimulus"] == "a" and "same_as" not in first
    assert first["seconds"] + second["seconds"] == pytest.approx(12, abs=0.02)
    marks = {trial["fingerprint"] for entry in found.values() for trial in entry["trials"]}
    assert len(marks) == 12 and all(len(mark) == 16 for mark in marks)


def test_one_recording_is_in_memory_at_a_time(raw: Path, tmp_path: Path) -> None:
    """Segments of a reader are let go of one by one: their own copies do not pile up beside the pieces."""
    import tracemalloc

    from mdjpt_platform.preprocess import signals

    genuine = toy()
    big = np.random.default_rng(0).standard_normal((12, 200_000))
    listed = genuine.recordings("toy", CorpusConfig(layout="toy"), raw)[0]
    whole = genuine.read(listed)[0]

    def segments() -> list[Segment]:
        import mne

        step = big.shape[1] // 20
        return [
            Segment(
                mne.io.RawArray(big[:, k * step : (k + 1) * step].copy(), whole.raw.info, verbose="ERROR"),
                (replace(whole.trials[0], trial=k + 1),),
            )
            for k in range(20)
        ]

    tracemalloc.start()
    try:
        state = signals.begin(segments(), "r")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(state.pieces) == 20 and peak < 1.3 * big.nbytes
