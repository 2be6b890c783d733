"""MAHNOB-HCI (DATASETS 12): a folder a clip, Part_<p>_S_Trial<n>_emotion.bdf and session.xml, clips in random order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from layouts.planted import SECONDS, planted, status, write_edf
from mdjpt_platform.config import CorpusConfig
from mdjpt_platform.corpora.deap import EEG
from mdjpt_platform.corpora.mahnob import TARGETS

OTHER = (*[f"EXG{number}" for number in range(1, 9)], "GSR1", "GSR2", "Erg1", "Erg2", "Resp", "Temp")
CLIPS = tuple(TARGETS)
RATE = 256
LENGTH, START = 4.0, 1.5


def order_of(subject: int) -> list[int]:
    """Rows of CLIPS as trials 1..20 of the subject."""
    return [int(number) for number in np.random.default_rng(200 + subject).permutation(len(CLIPS))]


def write(root: Path, subjects: int = 2) -> CorpusConfig:
    for subject in range(1, subjects + 1):
        for trial, clip in enumerate(order_of(subject), 1):
            write_session(root, session_of(subject, trial), subject, trial, clip)
        # the other experiment: same kind of folder, no ratings
        tagging = write_session(root, session_of(subject, 30), subject, 30, 0)
        (tagging / "session.xml").write_text(xml(mediaFile="image.jpg", isStim="0"), encoding="utf-8")
    return CorpusConfig(layout="mahnob")


def session_of(subject: int, trial: int) -> int:
    return 130 * subject + 2 * trial


def xml(**attributes: str) -> str:
    inside = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<session {inside}><subject id="1"/><track type="x"/></session>\n'


def about(clip: int) -> dict[str, str]:
    """Attributes of a session; the ratings tell the clip."""
    return {
        "sessionId": "2", "isStim": "1", "feltEmo": str(clip % 13), "feltArsl": str(1 + clip % 9),
        "feltVlnc": str(9 - clip % 9), "mediaFile": CLIPS[clip], "cutLenSec": "1.0",
    }  # fmt: skip


def write_session(root: Path, session: int, subject: int, trial: int, clip: int, marks: int = 3) -> Path:
    folder = root / "Sessions" / str(session)
    codes = [(START, 16), (START + SECONDS, 16), (LENGTH - 0.5, 16)][:marks]
    values = planted(32, RATE, LENGTH, [(clip + 1, START)])
    channels = [*zip(EEG, values, strict=True), *((name, np.zeros(values.shape[1])) for name in OTHER)]
    path = folder / f"Part_{subject}_S_Trial{trial}_emotion.bdf"
    write_edf(path, channels, RATE, status=("Status", status(codes, RATE, LENGTH)))
    (folder / "session.xml").write_text(xml(**about(clip)), encoding="utf-8")
    return folder
