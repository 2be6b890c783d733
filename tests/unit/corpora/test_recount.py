"""A folder's facts counted anew: what differs from the declared ones is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from corpora_cases import config, real, small, small_config
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.corpora.base import Corpus, Facts, Stimulus
from mdjpt_platform.corpora.recount import differences, recount
from mdjpt_platform.verbs import corpora

SEED = CORPORA["seed"]


def declared(**changes: object) -> Facts:
    """Facts of the small copy, but for the changes."""
    shown = tuple(replace(stimulus, seconds=5.0) for stimulus in SEED.facts.shown[:3])
    return replace(SEED.facts, **{"subjects": 2, "sessions": 2, "shown": shown} | changes)  # type: ignore[arg-type]


def lines(facts: Facts) -> list[str]:
    options = small_config("seed")
    options = options.model_copy(update={"facts": options.facts.model_copy(update={"sessions": None, "seconds": None})})
    found = recount(SEED, small_config("seed"), small("seed"))
    return differences(facts, options, found)


def test_nothing_differs() -> None:
    assert lines(declared()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subjects": 3}, ["subjects: 2 found, 3 declared"]),
        ({"sessions": 1}, ["sessions: 2 found, 1 declared"]),
        ({"rate": 250.0}, ["rate: 200 Hz found, 250 Hz declared"]),
        ({"channels": SEED.facts.channels[1:]}, ["channels: 60 found, differing in FP1"]),
        ({"channels": SEED.facts.channels[::-1]}, ["channels: 60 found, differing in order"]),
    ],
)
def test_a_difference_is_named(changes: dict[str, object], said: list[str]) -> None:
    assert lines(declared(**changes)) == said


def test_stimuli_labels_and_lengths() -> None:
    one, two, three = declared().shown
    assert lines(declared(shown=(one, two, replace(three, seconds=6.0)))) == [
        "seconds of stimulus 3: 5 found, 6 declared"
    ]
    assert lines(declared(shown=(one, two, replace(three, label="neutral")))) == [
        "label of stimulus 3: negative found, neutral declared"
    ]
    assert lines(declared(shown=(one, two, three, Stimulus("4", None, None)))) == []  # this copy declares three


def test_an_unusable_recording_is_named_and_the_others_counted(tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(small("seed"), root)
    broken = sorted((root / "Preprocessed_EEG").glob("1_*.mat"))[0]
    broken.write_bytes(broken.read_bytes()[:1000])
    found = recount(SEED, small_config("seed"), root)
    assert (found.recordings, found.opened, list(found.unusable)) == (4, 3, ["sub-1_ses-1"])
    assert any(
        line.startswith("sub-1_ses-1: ") and broken.name in line
        for line in differences(declared(), small_config("seed"), found)
    )


def test_only_the_first_is_opened_unless_asked() -> None:
    assert recount(SEED, small_config("seed"), small("seed"), every=False).opened == 1


def test_layouts_that_leave_facts_to_the_files_differ_in_nothing() -> None:
    bids: Corpus = CORPORA["bids"]
    found = recount(bids, small_config("bids"), small("bids"))
    assert found.trials
    assert differences(bids.facts, small_config("bids"), found) == []


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert corpora() == 0
    table = capsys.readouterr().out
    assert all(layout in table for layout in CORPORA)
    assert corpora("faced") == 0
    assert "Sci. Data" in capsys.readouterr().out
    assert corpora("eegmat", real("eegmat"), every=True) == 1
    assert "subjects: 10 found, 36 declared" in capsys.readouterr().out
    assert config("eegmat").labels == "default"
