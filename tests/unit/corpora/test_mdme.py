"""MDME: trials cut by published lengths, ratings with arousal first."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts import mdme as files
from mdjpt_platform.corpora import mdme

OPTIONS = config("mdme", seconds=files.SECONDS)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("mdme")[0], tmp_path / "mdme"))


def test_trials_of_the_published_lengths(tmp_path: Path) -> None:
    assert (len(mdme.SAMPLES), sum(mdme.SAMPLES)) == (32, 258_900)
    values = np.repeat(np.arange(32, dtype=np.int16), mdme.SAMPLES)[None].repeat(18, axis=0)
    files.save(tmp_path, 7, values)
    segments = first(tmp_path, config("mdme"))
    assert [s.raw.n_times for s in segments] == list(mdme.SAMPLES)
    for index, segment in enumerate(segments):
        np.testing.assert_allclose(microvolts(segment), index)  # no neighbour's sample at either end


def test_ratings_have_arousal_first_and_rows_in_any_order(copy: Path) -> None:
    table = copy / "raw_data/1/1/Arousal_Valence.csv"
    table.write_text("\n".join(reversed(table.read_text().splitlines())), encoding="utf-8")
    trials = [t for s in first(copy, OPTIONS) for t in s.trials]
    assert [(t.arousal, t.valence) for t in trials] == [((k % 9 - 4) / 4, (4 - k % 9) / 4) for k in range(32)]
    assert [t.label for t in trials] == ["positive"] * 8 + ["negative"] * 8 + ["mixed"] * 16
    own = [t.label for s in first(copy, OPTIONS.model_copy(update={"labels": "own_arousal"})) for t in s.trials]
    assert own[:6] == ["low", "low", "low", "low", "high", "high"]  # 1 2 3 4 5 6: 5 is high


def test_refusals(copy: Path) -> None:
    folder = copy / "raw_data" / "1"
    table = folder / "1" / "Arousal_Valence.csv"
    good = table.read_text()
    length = 32 * round(300 * files.SECONDS)
    for values, parts in (
        (files.signal(0, length - 1), (length - 1, length)),
        (files.signal(0, length + 2), (length + 2, length)),
        (files.signal(0, length).T, (f"({length}, 21)",)),
        (files.signal(0, length)[:17], ("(17,", "18 or more")),
        (np.full((18, length), np.inf), ("infinite",)),
    ):
        files.save(copy, 1, values)
        refused(lambda: first(copy, OPTIONS), folder / "datas.mat", *parts)
    files.save(copy, 1, files.signal(0, length + 1))
    assert [s.raw.n_times for s in first(copy, OPTIONS)] == [600] * 32  # the sample too many is nobody's
    for text, parts in (
        (good.replace("3,4,6\n", ""), ("trials", "0..31")),
        (good.replace("3,4,6\n", "4,4,6\n"), ("trials", "once")),
        (good.replace("3,4,6\n", "3,4,0\n"), ("row", "0.0", "1..9")),
        (good.replace("3,4,6\n", "3,4\n"), ("row", "[3.0, 4.0]")),
        ("trial,arousal,valence\n" + good, ("table", "numbers")),
        (good.replace("3,4,6\n", "3,nan,6\n"), ("row", "1..9")),
    ):
        table.write_text(text, encoding="utf-8")
        refused(lambda: first(copy, OPTIONS), table, *parts)
    table.unlink()
    found = listed(copy, OPTIONS)
    assert "Arousal_Valence.csv" in found[0].problem
    assert len(read(found[1])) == 32
    savemat(folder / "datas.mat", {"eeg": np.zeros((18, length))})
    table.write_text(good, encoding="utf-8")
    refused(lambda: first(copy, OPTIONS), "datas.mat", "eeg_datas", "no such variable")
    (folder / "datas.mat").write_bytes(b"damaged")
    refused(lambda: first(copy, OPTIONS), "datas.mat", "MAT file")
