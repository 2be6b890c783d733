"""Any corpus can lie on object storage: listing it opens no signals, reading a recording opens its files alone."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpora_cases import SMALL, config, listed, made, read, real, small, small_config
from layouts import LAYOUTS
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.objects import at
from mdjpt_platform.preprocess import remote
from mdjpt_platform.preprocess.remote import outline


@pytest.mark.parametrize("layout", list(CORPORA))
def test_listed_and_read_as_from_a_folder(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SMALL", 3000)  # the signals of a test are as small as side files are in earnest
    if layout in SMALL:
        root, options = small(layout), small_config(layout)
    else:
        root, options = made(layout) if layout in LAYOUTS else (real(layout), config(layout))
    root = root.resolve()
    expected = listed(root, options)
    with outline(at(root.as_uri()), tmp_path) as found:
        recordings = listed(found.root, options)
    for ours, theirs in zip(recordings, expected, strict=True):
        names = tuple(found.name(file) for file in ours.files)
        assert replace(ours, files=names) == replace(theirs, files=names)
        assert names == tuple(Path(file).relative_to(root).as_posix() for file in theirs.files)
    whole = next(recording for recording in expected if not recording.problem)
    copies = tuple(str(alone(Path(file), root, tmp_path / "alone")) for file in whole.files)
    for one, other in zip(read(replace(whole, files=copies)), read(whole), strict=True):
        assert one.trials == other.trials and one.raw.ch_names == other.raw.ch_names
        np.testing.assert_array_equal(one.raw.get_data(stop=1000), other.raw.get_data(stop=1000))


def alone(file: Path, root: Path, target: Path) -> Path:
    """The file in a tree that holds nothing else of the corpus."""
    copy = target / file.relative_to(root)
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, copy)
    except OSError:  # another disk
        shutil.copyfile(file, copy)
    return copy
