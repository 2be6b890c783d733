"""A recording by itself goes through the recipe as a corpus' does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anybody import SITES, raw_of, write
from corpora_cases import config, listed
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.corpora.anyfile import open_recording, segment_of
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.finalise import scale_subject
from mdjpt_platform.preprocess.keys import codes_of
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.preprocess.recording import Task, prepare_recording
from mdjpt_platform.preprocess.result import load_prepared
from mdjpt_platform.preprocess.single import Single, prepare_single
from mdjpt_platform.store.read import map_signal
from mdjpt_platform.store.schema import SIGNALS


def alone(path: Path, preset: str, **more: object) -> Single:
    opened = open_recording(path)
    return prepare_single(segment_of(opened), path.name, resolve(preset), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["mdjpt_no_ica", "minimal", "emod"])
def test_equal_to_the_store_of_a_corpus_to_the_last_bit(tmp_path: Path, preset: str) -> None:
    root = tmp_path / "raw"
    raw = raw_of(rate=250.0)
    raw._data[4] *= 40  # a channel that bad_channels replaces
    write(root / "one_raw.fif", raw)
    (root / "trials.csv").write_text(
        "file,subject,session,trial,stimulus,label,start,stop\none_raw.fif,1,1,1,a,joy,0,\n"
    )
    recipe, corpus = resolve(preset), CORPORA["folder"]
    (recording,) = listed(root, config("folder"))
    outcome = prepare_recording(recording, Task(corpus, recipe, tmp_path / "work", codes_of(corpus, recipe), "none"))
    assert outcome.state == "done", outcome.reason
    prepared = load_prepared(tmp_path / "work" / outcome.work)
    assert prepared is not None
    (tmp_path / "draft" / SIGNALS).mkdir(parents=True)
    scaled = scale_subject("1", [(recording.id, prepared)], tmp_path / "work", tmp_path / "draft", recipe[-1])
    assert not scaled.reason + scaled.fatal
    stored = np.load(tmp_path / "draft" / SIGNALS / f"{recording.id}.npy")
    found = alone(root / "one_raw.fif", preset)
    assert found.channels == prepared.channels and found.rate == prepared.rate
    assert found.signal.dtype == np.float32 and np.array_equal(found.signal, stored)
    before = map_signal(tmp_path / "work" / outcome.work / "signal.npy", prepared.signal)
    assert found.spread == pytest.approx(float(before.std()) / float(stored.std()), rel=1e-4)
    if preset == "mdjpt_no_ica":
        assert found.quality["trials"][0]["bad"] == ["C3"]


def test_what_the_file_calls_bad_is_replaced(tmp_path: Path) -> None:
    raw = raw_of()
    path = write(tmp_path / "x_raw.fif", raw)
    plain = alone(path, "minimal")
    place = plain.channels.index("C3")
    raw._data[list(SITES).index("C3")] = 3e-4 * np.sin(np.arange(raw.n_times))
    found = alone(write(tmp_path / "y_raw.fif", raw), "minimal", marked=["C3"])
    assert found.quality["trials"][0]["bad"] == ["C3"]
    others = [n for n in range(len(SITES)) if n != place]
    assert np.corrcoef(found.signal[:, place], found.signal[:, others].mean(1))[0, 1] > 0.7
    with pytest.raises(BadInput, match="marked bad"):
        alone(path, "minimal", marked=[name.upper() for name in SITES[:8]])


def test_bad_stretches_do_not_move_the_scaling(tmp_path: Path) -> None:
    raw = raw_of()
    quiet = alone(write(tmp_path / "x_raw.fif", raw), "minimal")
    raw._data[:, 800:1200] *= 20
    loud = alone(write(tmp_path / "y_raw.fif", raw), "minimal")
    spared = alone(tmp_path / "y_raw.fif", "minimal", artefacts=[(3.0, 7.0)])
    assert loud.spread > 1.5 * quiet.spread and spared.spread == pytest.approx(quiet.spread, rel=0.2)
    assert spared.good == ((0, 375), (875, 1500))
    with pytest.raises(BadInput, match="whole recording marked bad"):
        alone(tmp_path / "y_raw.fif", "minimal", artefacts=[(0.0, 99.0)])
