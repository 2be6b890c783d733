"""Odd names: what a recipe may rename and leave out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import resolve, steps
from signal_cases import recording

ODD = ("EEG 1", "Cb1x", "EEG T3-REF", "Pulse", "O2")
RENAME = {"eeg 1": "Fp1", "T7": "C5"}


def test_renamed_and_dropped_by_any_spelling() -> None:
    data = np.arange(5.0)[:, None] * np.ones((5, 10))
    out = steps.channels(recording(data, names=ODD), rename=RENAME, drop=("CB1X", " pulse", "Cz"))
    assert out.names == ("FP1", "C5", "O2")
    assert out.pieces[0].data[:, 0].tolist() == [0, 2, 4]


def test_declared_names_follow_and_keep_their_order() -> None:
    data = np.arange(5.0)[:, None] * np.ones((5, 10))
    state = replace(recording(data, names=ODD), declared=("O2", "Pulse", "T3", "Eeg 1", "Cb1x"))
    out = steps.channels(state, rename=RENAME, drop=("Cb1x", "Pulse"))
    assert out.names == ("O2", "C5", "FP1")
    assert out.pieces[0].data[:, 0].tolist() == [4, 2, 0]
    with pytest.raises(BadInput, match="no O1; extra FP1"):
        steps.channels(replace(state, declared=("O2", "T3", "O1")), rename=RENAME, drop=("Cb1x", "Pulse"))


def test_what_is_not_named_is_still_refused() -> None:
    state = recording(np.ones((5, 10)), names=ODD)
    with pytest.raises(BadInput, match=r"unknown Cb1x, Pulse"):
        steps.channels(state, rename=RENAME)
    with pytest.raises(BadInput, match=r"the same position twice: O2 and O2"):
        steps.channels(state, rename={**RENAME, "Pulse": "O2"}, drop=("Cb1x",))


def test_parameters_survive_a_run_file() -> None:
    (step,) = resolve([StepConfig(step="channels", params={"rename": RENAME, "drop": ["Pulse", "Cb1x"]})])
    assert step.params == {"rename": RENAME, "drop": ["Pulse", "Cb1x"]}
    out = steps.channels(recording(np.ones((5, 10)), names=ODD), **step.params)
    assert out.names == ("FP1", "C5", "O2")
