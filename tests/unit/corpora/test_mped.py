"""MPED: which cuts are trials, where the mastoids lie, what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from scipy.io import savemat

from corpora_cases import config, first, listed, made, microvolts, read, refused
from mdjpt_platform.corpora import mped


def write(root: Path, lengths: dict[int, int] | int, rows: int = 64, subject: str = "liwei") -> Path:
    """Zeros, but the first value of row r of cut c holds r + 100 c."""
    if isinstance(lengths, int):
        lengths = dict.fromkeys(range(1, 35), lengths)
    folder = root / "raw_EEG_signals" / subject
    folder.mkdir(parents=True, exist_ok=True)
    for half, cuts in mped.HALVES.items():
        tree = {}
        for cut in cuts:
            if cut in lengths:
                tree[f"raw_eeg{cut}"] = np.zeros((rows, lengths[cut]), np.int16)
                tree[f"raw_eeg{cut}"][:, 0] = np.arange(rows) + 100 * cut
        savemat(folder / f"{subject}_{half}.mat", tree, do_compression=True)
    return folder


def test_published_counts() -> None:
    assert (*range(2, 9), *range(10, 13), *range(14, 18), *range(19, 25), *range(26, 34)) == mped.USED
    assert Counter(s.label for s in mped.FACTS.shown) == dict.fromkeys(mped.EMOTIONS, 4)
    assert (mped.ROWS[32], mped.ROWS[42], len(mped.ROWS)) == ("M1", "M2", 64)
    assert [s.label for s in mped.FACTS.shown[:7]] == [
        "joy", "neutral", "anger", "amusement", "fear", "disgust", "sadness",
    ]  # fmt: skip


def test_trials_are_the_used_cuts_and_mastoids_no_eeg(tmp_path: Path) -> None:
    write(tmp_path, 1000, rows=68)
    segments = first(tmp_path, config("mped", seconds=1))
    firsts = [microvolts(s)[:, 0] for s in segments]
    assert [round(v[0]) for v in firsts] == [100 * cut for cut in mped.USED]
    eeg = [row for row in range(64) if mped.ROWS[row] not in ("M1", "M2", "CB1", "CB2")]
    assert [round(v) for v in firsts[0]] == [200 + row for row in eeg]
    assert segments[0].raw.ch_names == list(mped.ROWS)  # what follows the 64 is left out
    subset = first(tmp_path, config("mped", seconds=1, stimuli=(28, 1)))
    assert [(s.trials[0].stimulus, round(microvolts(s)[0, 0])) for s in subset] == [("28", 3300), ("1", 200)]


def test_subjects_go_by_name() -> None:
    assert [r.id for r in listed(*made("mped"))] == ["sub-chenyi_ses-1", "sub-wangxue_ses-1"]


def test_half_a_subject(tmp_path: Path) -> None:
    write(tmp_path, 1000)
    (write(tmp_path, 1000, subject="zhao") / "zhao_dd.mat").unlink()
    good, bad = listed(tmp_path, config("mped", seconds=1))
    assert not good.problem
    assert len(read(good)) == 28
    assert bad.subject == "zhao"
    assert "files: found no zhao_dd.mat, expected both halves" in bad.problem


def test_refusals(tmp_path: Path) -> None:
    folder = write(tmp_path, 1000, rows=62)
    refused(lambda: first(tmp_path, config("mped", seconds=1)), "liwei_d.mat", "raw_eeg2", "(62, 1000)", "64 or more")
    write(tmp_path, 1000)
    refused(lambda: first(tmp_path, config("mped", seconds=2)), "shape of raw_eeg2", "(64, 1000)", "2000)")
    lengths = dict.fromkeys(range(1, 35), 1000)
    del lengths[20]
    write(tmp_path, lengths)
    refused(lambda: first(tmp_path, config("mped", seconds=1)), "liwei_dd.mat", "no raw_eeg20")
    (folder / "liwei_d.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    refused(lambda: first(tmp_path, config("mped", seconds=1)), "liwei_d.mat", "MAT file")


def test_a_copy_at_another_rate_is_too_short(tmp_path: Path) -> None:
    """EMOD counts 530 windows of 10 s; at 200 Hz the same files seem to hold a fifth."""
    write(tmp_path, 10_000)
    refused(lambda: first(tmp_path, config("mped")), "windows of 10 s", "found 28", "530")
