"""Windows as annotations: what MNE reads back."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pandas as pd

from mdjpt_platform.report.prediction.annotations import annotations_csv, stretches


def windows(labels: str, starts: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"start": starts, "label": list(labels)})


def test_neighbours_of_one_label_are_one_stretch() -> None:
    table = windows("aabba", [0, 2, 4, 6, 8])
    # the label changes halfway between the middles: of 2..7 and 4..9 at 5.5
    assert stretches(table, 5.0) == [(0, 5.5, "a"), (5.5, 9.5, "b"), (9.5, 13, "a")]
    assert stretches(table.iloc[:1], 5.0) == [(0, 5, "a")]
    assert stretches(windows("aaa", [0, 2, 20]), 5.0) == [(0, 7, "a"), (20, 25, "a")]  # between them, windows left out
    assert stretches(windows("aa", [0, 9]), 5.0) == [(0, 5, "a"), (9, 14, "a")]  # windows that do not touch


def test_mne_reads_it_back_and_nothing_overlaps(tmp_path: Path) -> None:
    starts = (0.1 * np.arange(999) / 3 + 7 / 3).tolist()
    random = np.random.default_rng(0)
    labels = [("calm", "=1+1", "joy, pure")[k] for k in random.integers(0, 3, 999)]
    table = pd.DataFrame({"start": starts, "label": labels})
    path = tmp_path / "x-annotations.csv"
    path.write_bytes(annotations_csv(table, 2.56))
    found = mne.read_annotations(path)
    expected = [(0.0, 7 / 3, ""), *stretches(table, 2.56)]
    assert list(found.description) == ["not predicted", *(f"emotion/{label}" for _, _, label in expected[1:])]
    assert np.allclose(found.onset, [start for start, _, _ in expected], atol=1e-3)
    stops = found.onset + found.duration
    assert (stops[:-1] - found.onset[1:] < 1e-9).all() and np.allclose(stops[:-1], found.onset[1:])
    assert np.isclose(stops[-1], starts[-1] + 2.56, atol=1e-3)
    raw = mne.io.RawArray(np.zeros((1, 40_00)), mne.create_info(1, 100.0, "eeg"), verbose="ERROR", first_samp=300)
    raw.set_annotations(found)
    assert len(raw.annotations) == len(found) and np.isclose(
        raw.annotations.onset[1] - raw.first_time, 7 / 3, atol=1e-3
    )
