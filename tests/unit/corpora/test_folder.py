"""Any folder with trials.csv: files of every kind, tables that are not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne
import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, real, refused
from layouts import folder as files
from mdjpt_platform.config import CorpusConfig, MappingConfig

OPTIONS = config("folder")
COLUMNS = "file,subject,session,trial,stimulus,label,start,stop\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("folder")[0], tmp_path / "folder"))


def test_trials_types_and_order() -> None:
    root, options = made("folder")
    found = listed(root, options)
    assert [r.id for r in found] == ["sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1", "sub-2_ses-2"]
    assert [Path(f).name for f in found[0].files] == ["trials.csv", "channels.csv", "day1a_raw.fif", "day1b.edf"]
    one, two = read(found[0])
    assert one.raw.ch_names[2] == "FCz"
    assert one.raw.get_channel_types() == two.raw.get_channel_types() == ["eeg"] * 5 + ["eog"]
    assert [t.trial for t in (*one.trials, *two.trials)] == [1, 2, 3, 4]
    assert [t.play_order for t in (*one.trials, *two.trials)] == [4, 3, 2, 1]
    assert [t.label for t in (*one.trials, *two.trials)] == ["positive", "negative", "neutral", "negative"]
    assert (one.trials[0].valence, one.trials[0].arousal) == (0.5, -0.5)  # rated
    assert (one.trials[1].valence, one.trials[1].arousal) == (-0.6, 0.6)  # fear's place
    for seed, segment in ((10, one), (11, two)):
        expected = files.signal(seed).get_data()[:5] * 1e6
        for index, trial in enumerate(segment.trials):
            start = round(200 * trial.start)
            np.testing.assert_allclose(microvolts(segment, index), expected[:, start : start + 800], atol=2e-2)


def test_rows_may_lie_in_any_order(copy: Path) -> None:
    expected = [s.trials for s in first(copy, OPTIONS)]
    table = copy / "trials.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert [r.id for r in listed(copy, OPTIONS)][:2] == ["sub-1_ses-1", "sub-1_ses-2"]
    assert [s.trials for s in first(copy, OPTIONS)] == expected
    table.write_text(table.read_text().replace(",1,1,1,", ",1,1,10,"))
    assert [t.trial for s in first(copy, OPTIONS) for t in s.trials] == [2, 10, 3, 4]


def test_subjects_are_sorted_as_numbers(tmp_path: Path) -> None:
    files.signal(1).save(tmp_path / "x_raw.fif", verbose="ERROR")
    rows = "".join(f"x_raw.fif,{s},{n},1,a,joy,1,2\n" for s, n in (("10", 1), ("2", 2), ("2", 1), ("A", 1)))
    (tmp_path / "trials.csv").write_text(COLUMNS + rows, encoding="utf-8")
    assert [r.id for r in listed(tmp_path, OPTIONS)] == ["sub-2_ses-1", "sub-2_ses-2", "sub-10_ses-1", "sub-A_ses-1"]
    assert [r.id for r in listed(tmp_path, config("folder", subjects=("10",)))] == ["sub-10_ses-1"]


def test_ones_own_columns(copy: Path) -> None:
    table = copy / "trials.csv"
    table.write_text(table.read_text().replace("stimulus,label", "clip,code").replace("valence", "pleasure"))
    options = CorpusConfig(
        layout="folder",
        mapping=MappingConfig(
            label="code",
            stimulus="clip",
            classes=("calm", "tense"),
            values={"joy": "calm", "fear": "tense"},
            valence="pleasure",
            scale=(0.0, 1.0),
        ),
    )
    refused(lambda: first(copy, options), "arousal", "-0.5", "0..1")
    table.write_text(table.read_text().replace("-0.5", "0.25"))
    trials = [t for s in first(copy, options) for t in s.trials]
    assert [(t.stimulus, t.label) for t in trials] == [
        ("clip-1", "calm"), ("clip-2", "tense"), ("clip-3", None), ("clip-4", None),
    ]  # fmt: skip
    assert (trials[0].valence, trials[0].arousal) == (0.0, -0.5)
    wrong = options.model_copy(update={"mapping": MappingConfig(source="participants")})
    refused(lambda: listed(copy, wrong), "mapping.source", "participants")


def test_paths_stay_below_the_folder(copy: Path) -> None:
    table = copy / "trials.csv"
    text = table.read_text()
    files.signal(3).save(copy.parent / "outside_raw.fif", verbose="ERROR")
    (copy / "link_raw.fif").symlink_to(copy.parent / "outside_raw.fif")
    for name in ("../outside_raw.fif", str(copy.parent / "outside_raw.fif"), "a/../../outside_raw.fif", "link_raw.fif",
                 "", "."):  # fmt: skip
        table.write_text(text.replace("person 1/day1b.edf", name))
        refused(lambda: listed(copy, OPTIONS), table, "file", repr(name), "below the folder")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (",1,1,1,clip-1,", ",1,1,2,clip-1,", ("trial", "subject 1, session 1, trial 2 twice")),
        (",1,1,1,clip-1,", ",1,one,1,clip-1,", ("session", "'one'", "a number from 1 on")),
        (",1,1,1,clip-1,", ",1,1,0,clip-1,", ("trial", "'0'")),
        (",1,1,1,clip-1,", ",1/2,1,1,clip-1,", ("subject", "'1/2'")),
        (",1,1,1,clip-1,", ",1,1,1,,", ("stimulus of trial 1", "nothing")),
        (",0.5,-0.5,4", ",0.5,-0.5", ("row 2", "10 cells", "11")),
        (",0.5,-0.5,4", ",0.5,-0.5,2.5", ("play_order", "'2.5'")),
        ("stimulus,", "stimuli,", ("columns", "no stimulus")),
        ("file,", "label,", ("columns", "no file")),
    ],
)
def test_tables_that_are_not_whole(copy: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    table = copy / "trials.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    refused(lambda: listed(copy, OPTIONS), table, *parts)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (",1,5,", ",1,21,", ("trial 1", "1 s to 21 s", "within 20.00 s of person 1/day1a_raw.fif")),
        (",1,5,", ",5,5,", ("trial 1", "5 s to 5 s")),
        (",1,5,", ",-1,5,", ("trial 1", "-1 s")),
        (",1,5,", ",nan,5,", ("start", "nan", "a number")),
        (",0.5,-0.5,", ",0.5,high,", ("arousal", "high")),
        (",0.5,-0.5,", ",1.5,-0.5,", ("valence", "1.5", "-1..1")),
    ],
)
def test_rows_that_do_not_fit_their_file(copy: Path, old: str, new: str, parts: tuple[str, ...]) -> None:
    table = copy / "trials.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    refused(lambda: first(copy, OPTIONS), table, *parts)
    assert read(listed(copy, OPTIONS)[1])


def test_files_and_channels_that_are_not_whole(copy: Path) -> None:
    person = copy / "person 1"
    for name in ("day1a_raw.fif", "day1b.edf"):
        content = (person / name).read_bytes()
        for length in (0, 100, len(content) // 2, len(content) - 1):
            (person / name).write_bytes(content[:length])
            refused(lambda: first(copy, OPTIONS), name)
        (person / name).write_bytes(content)
    channels = copy / "channels.csv"
    for text, parts in (
        ("name,type,rename\nlidd,EOG,\n", ("channel", "lidd", "lid")),
        ("name,type,rename\nlid,EYE,\n", ("type", "EYE", "EOG")),
        ("name,type,rename\nlid,EOG,Oz\n", ("rename",)),
        ("name,type,rename\nlid,EOG,\nlid,EEG,\n", ("lid twice",)),
        ("channel,type\nlid,EOG\n", ("columns", "no name")),
    ):
        channels.write_text(text, encoding="utf-8")
        refused(lambda: first(copy, OPTIONS), channels, *parts)
    channels.unlink()
    assert first(copy, OPTIONS)[0].raw.get_channel_types() == ["eeg"] * 6
    (person / "day1b.edf").unlink()
    found = listed(copy, OPTIONS)
    assert [bool(r.problem) for r in found] == [True, False, False, False]
    assert "day1b.edf" in found[0].problem
    table = copy / "trials.csv"
    table.write_text(table.read_text().replace("day1b.edf", "day1b.mp3"))
    (person / "day1b.mp3").write_bytes(b"music")
    refused(lambda: first(copy, OPTIONS), "day1b.mp3", "suffix", ".mp3", ".edf")
    table.write_text(COLUMNS, encoding="utf-8")
    refused(lambda: listed(copy, OPTIONS), table, "no row")
    table.unlink()
    refused(lambda: listed(copy, OPTIONS), "trials.csv", "nothing there")


def test_a_header_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    mne.export.export_raw(tmp_path / "data" / "a.vhdr", files.signal(1), fmt="brainvision", verbose="ERROR")
    (tmp_path / "data" / "trials.csv").write_text(COLUMNS + "a.vhdr,1,1,1,x,joy,1,2\n", encoding="utf-8")
    assert first(tmp_path / "data", OPTIONS)
    (tmp_path / "data" / "a.eeg").rename(tmp_path / "elsewhere.eeg")
    header = tmp_path / "data" / "a.vhdr"
    header.write_text(header.read_text(encoding="utf-8").replace("=a.eeg", "=../elsewhere.eeg"), encoding="utf-8")
    refused(lambda: first(tmp_path / "data", OPTIONS), header, "in elsewhere.eeg", "a.*")


@pytest.mark.parametrize(
    ("name", "channels", "rate", "seconds"),
    [
        ("test.vhdr", 26, 1000.0, 7.9),
        ("test.bdf", 72, 2048.0, 1.0),
        ("test.edf", 138, 512.0, 6.0),
        ("duplicate_channel_labels.edf", 3, 250.0, 10.0),
        ("test_egi.raw", 256, 250.0, 0.308),
    ],
)
def test_real_files_of_five_formats(tmp_path: Path, name: str, channels: int, rate: float, seconds: float) -> None:
    source = real("formats") / "mne"
    for part in source.glob(f"{Path(name).stem}.*"):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / "trials.csv").write_text(COLUMNS + f"{name},7,1,1,x,joy,0.1,\n", encoding="utf-8")
    (recording,) = listed(tmp_path, OPTIONS)
    (segment,) = read(recording)
    assert segment.raw.get_channel_types().count("eeg") == channels
    assert segment.raw.info["sfreq"] == rate
    assert segment.trials[0].stop == pytest.approx(seconds, abs=1e-3)
    assert microvolts(segment).std() > 0
