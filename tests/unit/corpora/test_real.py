"""Readers of the real recordings: what they hold is known beforehand."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from corpora_cases import config, first, listed, microvolts, read, real, refused
from mdjpt_platform.corpora.feis import HEADER, MAX_BYTES


def part_of(layout: str, names: list[str], target: Path) -> Path:
    """A writable copy of some entries of a real corpus."""
    for name in names:
        source = real(layout) / name
        for path in [source, *source.rglob("*")] if source.is_dir() else [source]:
            place = target / path.relative_to(real(layout))
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                place.write_bytes(path.read_bytes())
    return target


def test_ssvep_lists_twelve_subjects_with_thirty_two_trials() -> None:
    found = listed(real("ssvep_exo"), config("ssvep_exo"))
    assert [r.subject for r in found] == [f"{n:02d}" for n in range(1, 13)]
    orders = []
    for recording in found:
        (segment,) = read(recording)
        assert Counter(t.label for t in segment.trials) == {"rest": 8, "13Hz": 8, "17Hz": 8, "21Hz": 8}
        assert len({t.stimulus for t in segment.trials}) == 32
        assert all(microvolts(segment, i).shape == (8, 1280) for i in range(32))
        orders.append([t.stimulus for t in segment.trials])
    assert orders[:11] == [orders[0]] * 11
    assert orders[11] != orders[0]


def test_ssvep_unit_is_left_to_the_preparation() -> None:
    (segment,) = first(real("ssvep_exo"), config("ssvep_exo"))
    assert 1e-3 < segment.raw.get_data().std() < 0.1


@pytest.mark.parametrize("subject", ["03", "07", "08", "09", "10", "12"])
def test_ssvep_peaks_at_the_light_that_was_watched(subject: str) -> None:
    (recording,) = listed(real("ssvep_exo"), config("ssvep_exo", subjects=(subject,)))
    (segment,) = read(recording)
    power: dict[str, list[np.ndarray]] = {}
    for index, trial in enumerate(segment.trials):
        x = microvolts(segment, index)
        frequency, spectrum = welch(x - x.mean(axis=1, keepdims=True), 256, nperseg=512)
        power.setdefault(str(trial.label), []).append(np.log(spectrum[:3]).mean(axis=0))  # Oz, O1, O2
    mean = {label: np.mean(spectra, axis=0) for label, spectra in power.items()}
    lights = {"13Hz": 13, "17Hz": 17, "21Hz": 21}
    gains = np.array(
        [[mean[watched][frequency == hz][0] - mean["rest"][frequency == hz][0] for hz in lights.values()]
         for watched in lights]
    )  # fmt: skip
    own, other = np.diag(gains).mean(), gains[~np.eye(3, dtype=bool)].mean()
    assert own > other + 0.3, gains


def test_ssvep_refusals(tmp_path: Path) -> None:
    part_of("ssvep_exo", ["fif/subject01"], tmp_path)
    options = config("ssvep_exo")
    (recording,) = listed(tmp_path, options)
    raw, events = map(Path, recording.files)
    content = raw.read_bytes()
    for length in (0, 100, 5000, len(content) // 2, len(content) - 20000, len(content) - 5000, len(content) - 1):
        raw.write_bytes(content[:length])
        refused(lambda: read(recording), raw)
    damaged = bytearray(content)
    damaged[200:3000:7] = bytes(len(damaged[200:3000:7]))
    raw.write_bytes(damaged)
    refused(lambda: read(recording), raw)
    raw.write_bytes(content)
    refused(lambda: first(tmp_path, config("ssvep_exo", seconds=20)), "trial 30")
    content = events.read_bytes()
    events.write_bytes(b"no events")
    refused(lambda: read(recording), events, "truncated")
    events.unlink()
    refused(lambda: listed(tmp_path, options), events.name, "nothing there")
    events.write_bytes(content)
    shutil.copy(raw, raw.with_name("again_raw.fif"))
    refused(lambda: listed(tmp_path, options), "2 *_raw.fif", "one")


def test_eegmat_types_and_durations() -> None:
    found = listed(real("eegmat"), config("eegmat"))
    assert [r.subject for r in found] == ["00", "01", "02", "03", "04", "05", "10", "11", "31", "35"]
    for recording in found:
        rest, arithmetic = read(recording)
        assert [s.trials[0].stimulus for s in (rest, arithmetic)] == ["rest", "arithmetic"]
        assert arithmetic.raw.times[-1] == pytest.approx(62, abs=0.01)
        assert rest.raw.times[-1] == pytest.approx(
            {"04": 170, "10": 188, "31": 80}.get(recording.subject, 182), abs=0.01
        )
        assert rest.raw.get_channel_types(["EEG A2-A1", "ECG ECG"]) == ["misc", "ecg"]
        for segment in (rest, arithmetic):
            x = microvolts(segment)
            assert x.shape[0] == 19
            assert 1 < np.median(x.std(axis=1)) < 300
            sites = [segment.raw.copy().pick("eeg").ch_names.index(f"EEG {name}") for name in ("O1", "O2")]
            frequency, spectrum = welch(x[sites], 500, nperseg=2000)
            level = np.log(spectrum.mean(axis=0))
            around = ((frequency >= 3) & (frequency <= 7)) | ((frequency >= 15) & (frequency <= 30))
            slope = np.polyfit(np.log(frequency[around]), level[around], 1)
            shown = (frequency >= 7) & (frequency <= 15)
            above = level[shown] - np.polyval(slope, np.log(frequency[shown]))  # over the 1/f line
            assert above.max() > 1  # a factor of e in power
            assert 9.5 <= frequency[shown][above.argmax()] <= 13.5


def test_eegmat_refusals(tmp_path: Path) -> None:
    root = part_of("eegmat", ["Subject00_1.edf", "Subject00_2.edf"], tmp_path / "eegmat")
    path = root / "Subject00_2.edf"
    content = path.read_bytes()
    for length in (0, 200, 3000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refused(lambda: first(root, config("eegmat")), path)
    path.write_bytes(content[:252] + b"many" + content[256:])
    refused(lambda: first(root, config("eegmat")), path, "number of signals")
    path.write_bytes(content.replace(b"EEG Fp1 ", b"EEG Fp9 ", 1))
    refused(lambda: first(root, config("eegmat")), path, "EEG Fp1", "EEG Fp9")
    refused(lambda: listed(root, config("eegmat", seconds=10)), "facts.seconds")
    path.unlink()
    refused(lambda: listed(root, config("eegmat")), path.name, "nothing there")


def test_feis_epochs() -> None:
    found = listed(real("feis"), config("feis"))
    assert len(found) == 21
    ids = {}
    for recording in (found[0], found[11], found[20]):
        segments = read(recording)
        assert all(s.raw.n_times == 256 and s.raw.info["sfreq"] == 256 for s in segments)
        ids[recording.subject] = [s.trials[0].stimulus for s in segments]
        centre = np.mean([microvolts(s).mean() for s in segments])
        assert 4000 < centre < 4500
        spread = np.median([microvolts(s).std(axis=1) for s in segments])
        assert 1 < spread < 300
    assert [len(v) for v in ids.values()] == [160, 112, 160]
    assert ids["01"] == ids["21"]
    assert ids["01"][:112] == ids["12"]
    assert Counter(stimulus.partition("-")[0] for stimulus in ids["01"]).most_common()[-1][1] == 10


def test_feis_refusals(tmp_path: Path) -> None:
    path = tmp_path / "01" / "articulators.zip"
    path.parent.mkdir()
    refused(lambda: listed(tmp_path, config("feis")), "articulators.zip", "nothing there")
    line = ["10.0", "0", *["4200.0"] * 14, "goose", "articulators", ""]

    def write(rows: list[list[str]], name: str = "articulators.csv") -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, "\n".join(",".join(row) for row in rows))

    def refuse(*parts: object) -> None:
        refused(lambda: first(tmp_path, config("feis")), path, *parts)

    write([HEADER, *[line] * 256])
    (segment,) = first(tmp_path, config("feis"))
    assert segment.trials[0].stimulus == "goose-1"
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    refuse("archive")
    write([HEADER, *[line] * 255])
    refuse("255 rows", "multiple of 256")
    write([HEADER, *[line] * 255, [*line[:2], "none", *line[3:]]])
    refuse("CSV values")
    write([HEADER, *[line] * 255, ["10.0", "1", *line[2:]]])
    refuse("epoch 0")
    write([HEADER[::-1], *[line] * 256])
    refuse("CSV header")
    write([HEADER], "other.txt")
    refuse("one CSV file")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("articulators.csv", b"0" * (MAX_BYTES + 1))
    assert path.stat().st_size < 1e5
    refuse("unpacks to more")
