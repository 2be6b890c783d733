"""EmoEEG-MC, prepared arrays: two contexts, either order of axes, links and pickles in the place of arrays."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import config, first, listed, made, microvolts, read, refused
from layouts.emoeeg_mc import array, number_of
from layouts.planted import level
from mdjpt_platform.corpora import CORPORA, emoeeg_mc

OPTIONS = config("emoeeg_mc_video", seconds=1.0)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("emoeeg_mc_video")[0], tmp_path / "copy"))


@pytest.mark.parametrize(("layout", "context"), [("emoeeg_mc_video", "vid"), ("emoeeg_mc_imagery", "ima")])
def test_contexts_are_two_corpora_of_one_download(layout: str, context: str) -> None:
    root, options = made(layout)
    recordings = listed(root, options)
    assert [recording.subject for recording in recordings] == ["01", "02"]  # 55 is there, and has no arrays
    segments = read(recordings[0])
    assert [segment.trials[0].stimulus for segment in segments[:4]] == [
        f"{context}-sad4", f"{context}-sad5", f"{context}-sad8", f"{context}-dis4",
    ]  # fmt: skip
    for segment in segments:
        code = segment.trials[0].stimulus.partition("-")[2]
        means = microvolts(segment).mean(axis=1)
        assert means == pytest.approx(level(number_of(context, code), np.arange(64)), abs=0.01)
    labels = [segment.trials[0].label for segment in segments]
    assert labels[::3] == ["sadness", "disgust", "fear", "neutral", "joy", "tenderness", "inspiration"]
    assert {labels.count(label) for label in labels} == {3}
    binary = [s.trials[0].label for s in first(root, config(layout, "binary", seconds=1.0))]
    assert binary == ["negative"] * 9 + [None] * 3 + ["positive"] * 9
    measured = options.model_copy(update={"affect": "measured"})
    assert first(root, measured)[0].trials[0].valence == pytest.approx(2.28 / 3.5 - 1)


def test_as_published_in_length_and_subset(copy: Path) -> None:
    path = Path(listed(copy, OPTIONS)[0].files[0])
    long = np.repeat(array("vid")[:, [0, 20]].astype(np.float32), 30, axis=2)
    np.save(path, long)
    segments = first(copy, config("emoeeg_mc_video", stimuli=(1, 21)))
    assert [(s.raw.n_times, s.trials[0].stimulus) for s in segments] == [(6000, "vid-sad4"), (6000, "vid-ins8")]
    refused(lambda: first(copy, config("emoeeg_mc_video")), path, "shape", "(64, 2, 6000)", "(64, 21, 6000)")


def test_either_order_of_axes_and_of_bytes(copy: Path) -> None:
    path = Path(listed(copy, OPTIONS)[0].files[0])
    expected = [microvolts(segment) for segment in first(copy, OPTIONS)]
    values = np.load(path)
    for other in (values.transpose(1, 0, 2), np.asfortranarray(values)):
        np.save(path, other)
        assert all(np.array_equal(a, microvolts(b)) for a, b in zip(expected, first(copy, OPTIONS), strict=True))
    for wrong in (values[:63], values[:, :, :-1], values[0], values.transpose(2, 1, 0)):
        np.save(path, wrong)
        refused(lambda: first(copy, OPTIONS), path, "shape", "(64, 21, 200)")


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("was-executed"),)  # type: ignore[return-value]


def test_what_is_called_npy_and_is_none(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    path = Path(listed(copy, OPTIONS)[0].files[0])
    whole = path.read_bytes()
    path.write_bytes(path.with_name(path.name.replace("reorder", "de")).read_bytes())
    refused(lambda: first(copy, OPTIONS), path, "a pickle", "nothing was unpickled")
    path.write_bytes(pickle.dumps(_Hostile()))
    refused(lambda: first(copy, OPTIONS), path, "a pickle")
    np.save(path, np.array([_Hostile()]), allow_pickle=True)
    refused(lambda: first(copy, OPTIONS), path, "NumPy file")
    assert not Path("was-executed").exists()
    for length in (0, 6, 60, 200, len(whole) - 8):
        path.write_bytes(whole[:length])
        refused(lambda: first(copy, OPTIONS), path, "NumPy file")
    path.write_bytes(whole[:10] + b"{'shape': (2**62, (((" + whole[31:])
    refused(lambda: first(copy, OPTIONS), path, "NumPy file")
    values = array("vid")
    values[5, 3, 7] = np.nan
    np.save(path, values)
    refused(lambda: first(copy, OPTIONS), path, "trial 4", "NaN")
    np.save(path, array("vid").astype("c8"))
    refused(lambda: first(copy, OPTIONS), path, "type of trial 1", "real numbers")
    assert read(listed(copy, OPTIONS)[1])


def test_clones_without_their_data(copy: Path) -> None:
    """`git clone` leaves links that lead nowhere, or (where links are unknown) small files with an address."""
    path = Path(listed(copy, OPTIONS)[0].files[0])
    key = ".git/annex/objects/0x/zW/SHA256E-s64512128--00f8a38c/SHA256E-s64512128--00f8a38c.npy"
    path.unlink()
    path.symlink_to(f"../../../../{key}")
    lacking, sound = listed(copy, OPTIONS)
    assert "link to nothing" in lacking.problem
    assert "datalad get" in lacking.problem
    assert not sound.problem
    path.unlink()
    path.write_text("/annex/objects/SHA256E-s64512128--00f8a38c.npy\n")
    assert "openneuro download" in listed(copy, OPTIONS)[0].problem
    refused(lambda: first(copy, OPTIONS), path, "openneuro download")
    path.unlink()
    assert "nothing there" in listed(copy, OPTIONS)[0].problem


def test_folders(tmp_path: Path) -> None:
    refused(lambda: listed(tmp_path, OPTIONS), "derivatives", "nothing there")
    (tmp_path / "derivatives" / "sub-56").mkdir(parents=True)
    refused(lambda: listed(tmp_path, OPTIONS), "none but subjects 55-60")
    refused(lambda: listed(made("emoeeg_mc_video")[0], config("emoeeg_mc_video", sessions=2)), "facts.sessions")


def test_facts() -> None:
    shown = {layout: [s.id for s in CORPORA[layout].facts.shown] for layout in emoeeg_mc.CONTEXTS}
    assert all(len(set(ids)) == 21 for ids in shown.values())
    assert not set(shown["emoeeg_mc_video"]) & set(shown["emoeeg_mc_imagery"])
    assert len(emoeeg_mc.EEG) == 64
