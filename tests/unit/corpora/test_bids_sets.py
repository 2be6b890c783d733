"""BIDS data sets as they are found: EEGLAB, several runs, one's own columns, inherited and absent tables, git-annex."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne_bids
import numpy as np
import pytest

from corpora_cases import config, first, listed, microvolts, read, refused, small, small_config
from layouts import eeglab
from mdjpt_platform.config import CorpusConfig, FactsConfig, MappingConfig

NAMES = ("Fp1", "Cz", "Oz", "eye")
HEADER = "onset\tduration\ttrial_type\tstimulus\n"


def run(folder: Path, stem: str, rows: str | None = HEADER + "1\t2\tjoy\ta\n5\t2\tfear\tb\n", *, seed: int = 0,
        fdt: bool = True, seconds: float = 10.0) -> Path:  # fmt: skip
    """One EEGLAB run with events.tsv beside it (none if `rows` is None)."""
    values = np.random.default_rng(seed).normal(0, 10, (4, round(100 * seconds))).astype(np.float32)
    path = eeglab.save(folder / "eeg" / f"{stem}_eeg.set", values, NAMES, 100.0, f"{stem}_eeg.fdt" if fdt else "")
    if rows is not None:
        (folder / "eeg" / f"{stem}_events.tsv").write_text(rows, encoding="utf-8")
    return path


def mapped(**fields: object) -> CorpusConfig:
    return CorpusConfig(layout="bids", mapping=MappingConfig.model_validate(fields))


@pytest.mark.parametrize("fdt", [False, True])
def test_eeglab_runs_types_and_bad_channels(tmp_path: Path, fdt: bool) -> None:
    folder = tmp_path / "sub-01"
    for number in (10, 2):
        run(folder, f"sub-01_task-film_run-{number}", HEADER + f"1\t2\tjoy\ta{number}\n", seed=number, fdt=fdt)
    # One table for all runs and subjects, where BIDS' inheritance puts it.
    table = "name\ttype\tunits\tstatus\nFp1\tEEG\tuV\tgood\nCz\tEEG\tuV\tbad\nOz\tEEG\tn/a\tn/a\neye\tVEOG\tuV\tgood\n"
    (tmp_path / "task-film_channels.tsv").write_text(table, encoding="utf-8")
    (recording,) = listed(tmp_path, config("bids"))
    assert [Path(f).name for f in recording.files if f.endswith(".set")] == [
        "sub-01_task-film_run-2_eeg.set", "sub-01_task-film_run-10_eeg.set",
    ]  # fmt: skip
    assert sum(f.endswith(".fdt") for f in recording.files) == 2 * fdt
    segments = read(recording)
    assert [(t.trial, t.play_order, t.stimulus) for s in segments for t in s.trials] == [(1, 1, "a2"), (2, 2, "a10")]
    for number, segment in zip((2, 10), segments, strict=True):
        assert segment.raw.get_channel_types() == ["eeg", "eeg", "eeg", "eog"]
        assert segment.raw.info["bads"] == ["Cz"]
        values = np.random.default_rng(number).normal(0, 10, (4, 1000)).astype(np.float32)
        np.testing.assert_allclose(microvolts(segment), values[:3, 100:300], rtol=1e-5)


def test_units_of_files_that_have_none(tmp_path: Path) -> None:
    run(tmp_path / "sub-01", "sub-01_task-film")
    plain = microvolts(first(tmp_path, config("bids"))[0])
    table = tmp_path / "sub-01/eeg/sub-01_task-film_channels.tsv"
    table.write_text("name\ttype\tunits\nFp1\tEEG\tmV\nCz\tEEG\tuV\nOz\tEEG\tV\neye\tEEG\tµV\n", encoding="utf-8")
    scaled = microvolts(first(tmp_path, config("bids"))[0])
    np.testing.assert_allclose(scaled, plain * np.array([[1e3], [1], [1e6], [1]]), rtol=1e-9)
    table.write_text("name\ttype\nFp9\tEEG\n", encoding="utf-8")
    refused(lambda: first(tmp_path, config("bids")), table, "Fp9", "Fp1")
    table.write_text("name\ttype\nstatus\tTRIG\nFp1\tEEG\n", encoding="utf-8")  # MNE has no such channel: fine
    assert first(tmp_path, config("bids"))
    table.write_text("name\ttype\nFp1\tEEG\nFp1\tEEG\n", encoding="utf-8")
    refused(lambda: first(tmp_path, config("bids")), table, "Fp1 twice")


def test_eeglab_truncated(tmp_path: Path) -> None:
    path = run(tmp_path / "sub-01", "sub-01_task-film")
    numbers = path.with_suffix(".fdt")
    content = numbers.read_bytes()
    for length in (0, 1600, len(content) - 4):
        numbers.write_bytes(content[:length])
        refused(lambda: first(tmp_path, config("bids")), numbers, "size", len(content))
    numbers.unlink()
    refused(lambda: first(tmp_path, config("bids")), path, "EEG file")
    content = run(tmp_path / "sub-01", "sub-01_task-film", fdt=False).read_bytes()
    for length in (0, 200, len(content) // 2):
        path.write_bytes(content[:length])
        refused(lambda: first(tmp_path, config("bids")), path, "EEG file")


def test_ones_own_columns_codes_and_scale(tmp_path: Path) -> None:
    rows = (
        "onset\tduration\tcode\tclip\tv\ta\tkind\n"
        "1\t1\tC\tc1\t9\t1\tshow\n2\t1\tT\tc2\t5\tn/a\tshow\n3\t1\tX\tc3\tn/a\tn/a\tshow\n4\t1\tC\tkey\t1\t1\tpress\n"
    )
    run(tmp_path / "sub-01", "sub-01_task-film", rows)
    fields = {
        "label": "code", "stimulus": "clip", "classes": ("calm", "tense"), "values": {"C": "calm", "T": "tense"},
        "valence": "v", "arousal": "a", "scale": (1, 9), "only": {"kind": ("show",)},
    }  # fmt: skip
    trials = first(tmp_path, mapped(**fields))[0].trials
    assert [(t.stimulus, t.label, t.valence, t.arousal) for t in trials] == [
        ("c1", "calm", 1.0, -1.0), ("c2", "tense", 0.0, None), ("c3", None, None, None),
    ]  # fmt: skip
    words = first(tmp_path, mapped(**fields | {"classes": (), "values": {"C": "joy", "T": "fear"}}))[0].trials
    assert [(t.label, t.valence, t.arousal) for t in words[:2]] == [("positive", 1.0, -1.0), ("negative", 0.0, 0.6)]
    for change, parts in (
        ({"label": "kode"}, ("columns", "no kode")),
        ({"stimulus": "film"}, ("columns", "no film")),
        ({"valence": "pleasure"}, ("columns", "no pleasure")),
        ({"only": {"type": ("show",)}}, ("columns", "no type")),
        ({"scale": (1, 7)}, ("v", "9", "1..7")),
        ({"values": {}}, ("column code", "C, T, X", "calm, tense")),
        ({"only": {"kind": ("hide",)}}, ("stimuli", "at least one")),
    ):
        refused(lambda change=change: first(tmp_path, mapped(**fields | change)), *parts)
    refused(lambda: listed(tmp_path, mapped(**fields).model_copy(update={"labels": "emotions"})), "labels", "default")


def test_label_of_the_participant(tmp_path: Path) -> None:
    for subject in ("01", "02", "03"):
        for task in ("rest", "film_run-1", "film_run-2"):
            run(tmp_path / f"sub-{subject}", f"sub-{subject}_task-{task}", None)
    people = tmp_path / "participants.tsv"
    people.write_text("participant_id\tgroup\tage\nsub-01\tP\t30\nsub-02\tn/a\t31\n", encoding="utf-8")
    options = mapped(source="participants", label="group", classes=("patient", "control"), values={"P": "patient"})
    found = listed(tmp_path, options)
    assert [bool(r.problem) for r in found] == [False, False, True]
    assert "sub-03" in found[2].problem
    segments = read(found[0])
    assert [(t.trial, t.stimulus, t.label, t.stop) for s in segments for t in s.trials] == [
        (1, "film-1", "patient", None), (2, "film-2", "patient", None), (3, "rest", "patient", None),
    ]  # fmt: skip
    refused(lambda: read(found[1]), people, "column group", "n/a", "patient, control")
    people.write_text("participant_id\tage\nsub-01\t30\n", encoding="utf-8")
    refused(lambda: listed(tmp_path, options), people, "no group")
    people.unlink()
    refused(lambda: listed(tmp_path, options), "participants.tsv", "nothing there")


def test_what_is_wrong_with_one_recording_leaves_the_others(tmp_path: Path) -> None:
    run(tmp_path / "sub-01", "sub-01_task-film")
    path = run(tmp_path / "sub-02", "sub-02_task-film")
    numbers = path.with_suffix(".fdt")
    (tmp_path / "sub-03" / "beh").mkdir(parents=True)
    run(tmp_path / "sub-04", "sub-04_task-Emotion", None)
    lower = tmp_path / "sub-04/eeg/sub-04_task-emotion_events.tsv"  # DENS: another case, so another task
    lower.write_text(HEADER, encoding="utf-8")

    def problems() -> list[str]:
        return [r.problem for r in listed(tmp_path, config("bids"))]

    assert [bool(p) for p in problems()] == [False, False, True, True]
    assert "no *_eeg file" in problems()[2]
    assert "sub-04_task-Emotion_events.tsv" in problems()[3]
    content = numbers.read_bytes()
    numbers.unlink()
    numbers.symlink_to("../../.git/annex/objects/XX/yy/MD5E-s1.fdt/MD5E-s1.fdt")
    assert "a link to nothing" in problems()[1]
    assert "datalad get" in problems()[1]
    numbers.unlink()
    numbers.write_bytes(b"/annex/objects/MD5E-s1600000--abc.fdt\n")
    assert "an address in place of the data" in problems()[1]
    numbers.write_bytes(content)
    path.with_suffix(".edf").write_bytes(b"a copy")
    assert "two formats" in problems()[1]
    path.with_suffix(".edf").unlink()
    assert problems()[1] == ""
    assert len(read(listed(tmp_path, config("bids"))[0])[0].trials) == 2


def test_a_run_without_trials_goes_along(tmp_path: Path) -> None:
    run(tmp_path / "sub-01", "sub-01_task-run1", HEADER + "0\t10\trest\tn/a\n")
    run(tmp_path / "sub-01", "sub-01_task-run2")
    rest, film = first(tmp_path, config("bids"))
    assert (rest.trials, [t.trial for t in film.trials]) == ((), [1, 2])


def test_sessions_are_numbered_over_the_whole_set(tmp_path: Path) -> None:
    for subject, session in (("01", "b"), ("02", "a"), ("02", "b")):
        run(tmp_path / f"sub-{subject}" / f"ses-{session}", f"sub-{subject}_ses-{session}_task-film")
    assert [r.id for r in listed(tmp_path, config("bids"))] == ["sub-01_ses-2", "sub-02_ses-1", "sub-02_ses-2"]
    found = listed(tmp_path, config("bids", sessions=2))
    assert [r.id for r in found if r.problem] == ["sub-01_ses-1"]
    assert "ses-a" in found[0].problem
    assert [r.session for r in listed(tmp_path, config("bids", subjects=("01",)))] == [2]


def test_onsets_in_samples_and_durations_that_say_nothing(tmp_path: Path) -> None:
    rows = HEADER + "\n".join(f"{onset}\t150\tjoy\t{onset}" for onset in (5, 200, 400, 600)) + "\n"
    run(tmp_path / "sub-01", "sub-01_task-film", rows)
    refused(lambda: first(tmp_path, config("bids")), "events.tsv", "onset", "600 in a recording of 10.00 s", "samples?")
    rows = HEADER + "1\t0\tjoy\ta\n5\tn/a\tfear\tb\nn/a\t0\tfear\tn/a\n"
    run(tmp_path / "sub-01", "sub-01_task-film", rows)
    refused(lambda: first(tmp_path, config("bids")), "duration of trial 1", "facts.seconds")
    options = CorpusConfig(layout="bids", facts=FactsConfig(seconds=3.0))
    assert [(t.start, t.stop) for t in first(tmp_path, options)[0].trials] == [(1.0, 4.0), (5.0, 8.0)]
    for text, parts in (
        (HEADER + "n/a\t1\tjoy\ta\n", ("onset", "n/a", "a number")),
        (HEADER + "1\t1\tjoy\n", ("row 2", "3 cells", "4")),
        (HEADER.replace("duration", "onset") + "1\t1\tjoy\ta\n", ("columns", "duration")),
        ("", ("columns", "onset")),
        (HEADER + "nan\t1\tjoy\ta\n", ("onset", "nan")),
    ):
        run(tmp_path / "sub-01", "sub-01_task-film", text)
        refused(lambda: first(tmp_path, config("bids")), "events.tsv", *parts)


def test_a_header_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    path = run(tmp_path / "data" / "sub-01", "sub-01_task-film")
    eeglab.save(path, np.zeros((4, 1000), dtype=np.float32), NAMES, 100.0, "../../../elsewhere.fdt")
    refused(lambda: first(tmp_path / "data", config("bids")), path, "in elsewhere.fdt", "sub-01_task-film_eeg.*")


def test_signals_types_and_bad_channels_are_those_of_mne_bids(tmp_path: Path) -> None:
    """The reader goes its own way (object storage, whole files, lazy); mne-bids says what it must come to."""
    shutil.copytree(small("bids"), tmp_path / "copy")
    options = small_config("bids")
    (signal,) = (tmp_path / "copy" / "sub-01").rglob("*_eeg.vhdr")
    table = signal.with_name(signal.name.replace("_eeg.vhdr", "_channels.tsv"))
    lines = table.read_text(encoding="utf-8").splitlines()
    names = lines[0].lstrip("\ufeff").split("\t")
    cells = [line.split("\t") for line in lines[1:]]
    cells[1][names.index("status")] = "bad"
    cells[2][names.index("type")] = "EOG"
    table.write_text("\n".join("\t".join(row) for row in [names, *cells]) + "\n", encoding="utf-8")
    (segment,) = first(tmp_path / "copy", options)
    theirs = mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(signal), verbose="ERROR")
    assert segment.raw.ch_names == theirs.ch_names
    assert segment.raw.get_channel_types() == theirs.get_channel_types()
    assert "eog" in theirs.get_channel_types() and theirs.info["bads"] == segment.raw.info["bads"] == [cells[1][0]]
    np.testing.assert_array_equal(segment.raw.get_data(), theirs.get_data())
