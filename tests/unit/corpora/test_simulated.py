"""Simulated corpora hold what their truth says they hold, and nothing when permuted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from corpora_cases import SMALL, listed, microvolts, read, refused, small, small_config
from mdjpt_platform.corpora.simulated import (
    PUBLISHED,
    Simulation,
    balanced,
    contents_seen,
    corpus_config,
    recording,
    simulate,
    write,
)  # fmt: skip
from mdjpt_platform.corpora.simulated_files import LAYOUTS

BANDS = {"theta": (4, 8), "alpha": (8, 13), "beta": (14, 30), "gamma": (30, 45)}


def envelopes(root: Path, options: Any) -> dict[str, np.ndarray]:
    """Log band power in 1-s steps: subject -> (stimuli, bands, channels, seconds)."""
    found = {}
    for item in listed(root, options):
        stack = []
        for segment in read(item):
            rate = segment.raw.info["sfreq"]
            x = microvolts(segment)
            whole = int(x.shape[1] // rate)
            filters = [butter(4, band, "bandpass", fs=rate, output="sos") for band in BANDS.values()]
            power = np.stack([sosfiltfilt(sos, x, axis=1) for sos in filters])[..., : whole * round(rate)] ** 2
            stack.append(np.log(power.reshape(*power.shape[:2], whole, -1).mean(axis=-1)))
        found[item.subject] = np.stack(stack)
    return found


def agreement(found: dict[str, np.ndarray]) -> tuple[float, float]:
    """Mean correlation of envelopes between subjects: (same stimulus, other stimulus)."""
    shapes = [e - e.mean(axis=-1, keepdims=True) for e in found.values()]
    flat = [s.reshape(len(s), -1) / np.linalg.norm(s.reshape(len(s), -1), axis=1, keepdims=True) for s in shapes]
    tables = [a @ b.T for a, b in combinations(flat, 2)]
    eye = np.eye(len(tables[0]), dtype=bool)
    return float(np.mean([t[eye] for t in tables])), float(np.mean([t[~eye] for t in tables]))


@pytest.fixture(scope="module")
def faced(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Path, Any, dict[str, np.ndarray]]]:
    """Six subjects and six stimuli: as they are, and permuted."""
    root, made = tmp_path_factory.mktemp("faced"), {}
    plan = Simulation("sim-b", "faced", 6, balanced("faced", 6), seconds=20.0)
    for permuted in (False, True):
        about = replace(plan, permute_stimuli=permuted)
        folder = write(about, root / str(permuted), progress=False)
        made[permuted] = (
            folder,
            json.loads((folder / "truth.json").read_text()),
            envelopes(folder, corpus_config(about, "valence")),
        )
    return made


def test_subjects_share_envelopes_of_a_stimulus_unless_permuted(faced: Any) -> None:
    same, other = agreement(faced[False][2])
    assert same > 0.15
    assert abs(other) < 0.03
    same, other = agreement(faced[True][2])
    assert abs(same) < 0.04
    assert other > abs(same)  # the contents are still shared, under other ids


def test_permuted_contents_never_meet_and_undoing_it_brings_them_back(faced: Any) -> None:
    _, truth, found = faced[True]
    seen = truth["contents_seen"]
    for a, b in combinations(seen.values(), 2):
        assert all(x != y for x, y in zip(a, b, strict=True))
    undone = {
        subject: envelope[np.argsort(order)]
        for (subject, envelope), order in zip(found.items(), seen.values(), strict=True)
    }
    same, other = agreement(undone)
    assert same > 0.15
    assert abs(other) < 0.03


@pytest.mark.parametrize("permuted", [False, True])
def test_laterality_follows_the_valence_of_the_truth(faced: Any, permuted: bool) -> None:
    _, truth, found = faced[permuted]
    valence = [about["valence"] for about in truth["stimuli"].values()]
    left, right, alpha = 3, 4, list(BANDS).index("alpha")  # F3, F4 in the order of the file
    index = np.mean([(e[:, alpha, right] - e[:, alpha, left]).mean(axis=-1) for e in found.values()], axis=0)
    correlation = np.corrcoef(index, valence)[0, 1]
    assert abs(correlation) < 0.6 if permuted else correlation > 0.75


def test_time_courses_follow_the_truth(faced: Any) -> None:
    _, truth, found = faced[False]
    source = next(i for i, s in enumerate(truth["sources"]) if s["site"] == "F4")
    for place, about in enumerate(truth["stimuli"].values()):
        frequency, phase = (np.array(about[key][source]) for key in ("frequencies", "phases"))
        times = np.arange(20) + 0.5
        expected = np.cos(2 * np.pi * frequency[:, None] * times + phase[:, None]).sum(axis=0)
        seen = np.mean([e[place, 1, 4] - e[place, 1, 4].mean() for e in found.values()], axis=0)
        assert np.corrcoef(expected, seen)[0, 1] > 0.4


def test_truth_is_complete(faced: Any) -> None:
    _, truth, _ = faced[False]
    assert truth["simulation"]["permute_stimuli"] is False
    radius = [np.linalg.norm(np.array(s["position"]) - [0, 0, 0.04]) for s in truth["sources"] + truth["evoked"]]
    np.testing.assert_allclose(radius, 0.07)
    assert set(truth["bad_channels"]) == {f"{u}/1" for u in range(1, 7)}
    assert {about["label"] for about in truth["stimuli"].values()} <= set(PUBLISHED["faced"])


def digest(root: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*.pkl"))}


def test_seed_decides_everything_and_the_global_generator_nothing(tmp_path: Path) -> None:
    plan = SMALL["faced"]
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    more = digest(write(replace(plan, subjects=3), tmp_path / "more", progress=False))
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    same = digest(small("faced"))
    assert {name: more[name] for name in same} == same  # one subject more changes no other
    other = digest(write(replace(plan, seed=2), tmp_path / "other", progress=False))
    renamed = digest(write(replace(plan, name="x"), tmp_path / "renamed", progress=False))
    assert not set(other.values()) & set(same.values())
    assert not set(renamed.values()) & set(same.values())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "used"
    target.mkdir()
    (target / "mine").write_text("kept")
    refused(lambda: simulate("faced", target, "x", subjects=1, seconds=2, progress=False), target, "new folder")
    assert [p.name for p in tmp_path.rglob("*")] == ["used", "mine"]


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        simulate("faced", tmp_path / "x", "\udc80", subjects=1, seconds=2, progress=False)
    assert not list(tmp_path.iterdir())


def test_refusals(tmp_path: Path) -> None:
    def refuse(layout: str, *parts: object, **changes: Any) -> None:
        refused(lambda: simulate(layout, tmp_path / "x", "name", progress=False, **changes), "name", *parts)

    refuse("dreamer", "layout", "dreamer", "seed")
    refuse("faced", "stimuli", "1..28", stimuli=(29,))
    refuse("faced", "stimuli", stimuli=(1, 1))
    refuse("faced", "stimuli", stimuli=0)
    refuse("deap", "2 sessions", "1..1", sessions=2)
    refuse("seed", "0 subjects", subjects=0)
    assert not list(tmp_path.iterdir())


def test_numbers_are_balanced_over_classes() -> None:
    assert balanced("seed", 9) == tuple(range(1, 10))
    assert balanced("faced", 6) == (1, 4, 13, 14, 17, 20)
    assert balanced("deap", 4) == (1, 2, 21, 22)


def test_more_subjects_than_stimuli_can_be_permuted() -> None:
    plan = replace(SMALL["faced"], subjects=7, permute_stimuli=True)
    orders = [contents_seen(plan, subject) for subject in range(1, 8)]
    assert all(sorted(order) == list(plan.stimuli) for order in orders)
    for a, b in combinations(orders[:3], 2):
        assert all(x != y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("layout", list(SMALL))
def test_files_hold_what_the_model_made(layout: str) -> None:
    plan = SMALL[layout]
    eeg, _, shown, _ = recording(plan, 1, 1)
    segments = read(listed(small(layout), small_config(layout))[0])
    names = LAYOUTS[layout].channels
    for block, segment in enumerate(segments):
        data = segment.raw.get_data(list(names))[:, : eeg.shape[2]] * 1e6
        np.testing.assert_allclose(data, eeg[block], rtol=1e-5, atol=1e-3)
    assert [t.stimulus for s in segments for t in s.trials] == [str(about.stimulus) for about in shown]


def test_corpora_share_source_places_but_not_the_stimuli() -> None:
    truths = {layout: json.loads((small(layout) / "truth.json").read_text()) for layout in ("seed", "deap")}
    places = [[source["position"] for source in truth["sources"]] for truth in truths.values()]
    assert places[0] == places[1]
    assert truths["seed"]["stimuli"]["1"]["phases"] != truths["deap"]["stimuli"]["1"]["phases"]
