"""`mdjpt predict` from files to folders: many files and a bad one, again, damaged models, odd names."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import sys
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from anybody import SITES, raw_of, write
from mdjpt_platform import cli
from mdjpt_platform.predict.one import predict_file
from mdjpt_platform.predict.settings import Settings
from model_folder import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), recipe="mdjpt_no_ica")


def mdjpt(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["mdjpt", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_folder_with_bad_files_among_good_ones(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write(raw / "a" / "=cmd|calc [1].edf")
    write(raw / "b" / "good_raw.fif", raw_of(seconds=20))
    write(raw / "short_raw.fif", raw_of(seconds=2))
    write(raw / "hearts.edf", raw_of(["ECG 1", "ECG 2"]))
    whole = write(raw / "torn.edf").read_bytes()
    (raw / "torn.edf").write_bytes(whole[:-100])
    (raw / "notes.txt").write_text("not a recording")
    write(tmp_path / "elsewhere" / "good_raw.fif")
    (raw / "b" / "good-eve.fif").write_bytes(b"events")
    (tmp_path / "empty").mkdir()
    given = (raw, tmp_path / "empty", tmp_path / "elsewhere" / "good_raw.fif", raw / "notes.txt")
    assert mdjpt(monkeypatch, "predict", model, *given, "--out", out) == 2
    said = capsys.readouterr().out
    failed = [line for line in said.splitlines() if line.startswith("failed:")]
    assert len(failed) == 5 and "3 of 8 predicted" in said
    for words in (
        "short_raw.fif: length: found 2 s",
        "hearts.edf: channels: found no EEG",
        "torn.edf: size",
        "notes.txt: suffix",
        "empty: recordings: found none",
    ):
        assert sum(words in line for line in failed) == 1, words
    assert sorted(path.name for path in out.iterdir()) == ["cmd_calc_1", "good_raw", "good_raw-2", "summary.csv"]
    overall = pd.read_csv(out / "summary.csv")
    assert overall["state"].value_counts().to_dict() == {"failed": 5, "done": 3}
    assert "'=cmd|calc [1].edf" in set(overall["file"])  # no spreadsheet runs it
    assert overall.loc[overall["state"] == "failed", "reason"].notna().all()
    assert str(tmp_path) not in (out / "summary.csv").read_text()
    for folder in (path for path in out.iterdir() if path.is_dir()):
        csv, parquet = pd.read_csv(folder / "windows.csv"), pd.read_parquet(folder / "windows.parquet")
        assert list(csv) == list(parquet) and len(csv) == len(parquet) > 20
        numbers = ["start", "p_negative", "valence", "arousal_high"]
        assert np.allclose(csv[numbers], parquet[numbers], rtol=1e-4)
        assert len(mne.read_annotations(folder / f"{folder.name}-annotations.csv")) > 0
        for name in ("page.html", "summary.json"):
            assert str(tmp_path) not in (folder / name).read_text()
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.parent != out}
    assert mdjpt(monkeypatch, "predict", model, raw, tmp_path / "elsewhere" / "good_raw.fif", "--out", out) == 2
    assert capsys.readouterr().out.count("unchanged") == 3
    assert stamps == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.parent != out}
    # other settings, or a result that was damaged: done again
    (out / "good_raw" / "windows.csv").write_text("")
    again = ["predict", model, raw / "b" / "good_raw.fif", "--out", out]
    assert mdjpt(monkeypatch, *again) == 0 and "unchanged" not in capsys.readouterr().out
    assert mdjpt(monkeypatch, *again, "--step", "1") == 0 and "unchanged" not in capsys.readouterr().out
    assert len(pd.read_csv(out / "good_raw" / "windows.csv")) == 18


def test_one_window_is_read_by_itself(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x_raw.fif", raw_of(seconds=2.8))
    outcome = predict_file(str(path), str(model), str(tmp_path / "out" / "x"), Settings())
    assert outcome.state == "done" and pickle.loads(pickle.dumps(outcome)) == outcome
    summary = json.loads((tmp_path / "out" / "x" / "summary.json").read_text())
    assert summary["mode"] == "frozen" and summary["windows"]["count"] == 1
    assert "A single window" in (tmp_path / "out" / "x" / "page.html").read_text()


@pytest.mark.parametrize("damage", ["weights", "recipe", "absent"])
def test_a_model_that_cannot_be_used_is_one_line(
    damage: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    if damage == "weights":
        content = bytearray((copy / "model.safetensors").read_bytes())
        content[-5] ^= 1
        (copy / "model.safetensors").write_bytes(bytes(content))
    elif damage == "recipe":
        config = json.loads((copy / "config.json").read_text())
        config["recipe"]["hash"] = "0" * 16
        (copy / "config.json").write_text(json.dumps(config))
        sums = json.loads((copy / "checksums.json").read_text())
        sums["config.json"] = hashlib.sha256((copy / "config.json").read_bytes()).hexdigest()
        (copy / "checksums.json").write_text(json.dumps(sums))
    else:
        shutil.rmtree(copy)
    path = write(tmp_path / "x_raw.fif")
    assert mdjpt(monkeypatch, "predict", copy, path, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    (line,) = said.err.strip().splitlines()
    assert {"weights": "model.safetensors", "recipe": "another version", "absent": "checksums.json"}[damage] in line
    assert said.out == "" and not (tmp_path / "out").exists()


def test_what_is_not_ours_is_not_replaced(model: Path, tmp_path: Path) -> None:
    path, folder = write(tmp_path / "x_raw.fif"), tmp_path / "out" / "x_raw"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    outcome = predict_file(str(path), str(model), str(folder), Settings())
    assert outcome.state == "failed" and "something else of that name" in outcome.reason
    assert [one.name for one in folder.iterdir()] == ["thesis.tex"]


def test_any_montage_and_rate_and_reference_says_nearly_the_same(model: Path, tmp_path: Path) -> None:
    """The same ten electrodes under other names, in another order, at another rate and in another unit."""
    raw = raw_of(rate=500.0, seconds=16)
    one = predict_file(str(write(tmp_path / "x_raw.fif", raw)), str(model), str(tmp_path / "out" / "x"), Settings())
    other = (
        raw.copy().reorder_channels(list(reversed(SITES))).rename_channels({name: f"EEG {name}-Ref" for name in SITES})
    )
    other = other.resample(250.0, verbose="ERROR").apply_function(lambda row: 1e3 * row)
    two = predict_file(str(write(tmp_path / "y_raw.fif", other)), str(model), str(tmp_path / "out" / "y"), Settings())
    assert one.state == two.state == "done"
    first, second = (pd.read_parquet(tmp_path / "out" / name / "windows.parquet") for name in ("x", "y"))
    assert np.corrcoef(first["valence"], second["valence"])[0, 1] > 0.99
    assert np.allclose(first["p_negative"], second["p_negative"], atol=0.05)
    assert json.loads((tmp_path / "out" / "y" / "summary.json").read_text())["recording"]["factor"] == pytest.approx(
        1e-3
    )
