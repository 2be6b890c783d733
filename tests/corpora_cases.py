"""Real recordings and small simulated corpora for the tests of the readers."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layouts import LAYOUTS
from mdjpt_platform.config import CorpusConfig, FactsConfig
from mdjpt_platform.corpora import CORPORA
from mdjpt_platform.corpora.base import Recording, Segment
from mdjpt_platform.corpora.simulated import Simulation, write
from mdjpt_platform.errors import BadInput

SMALL = {
    "seed": Simulation("small-seed", "seed", 2, (1, 2, 3), sessions=2, seconds=5.0, seed=1),
    "faced": Simulation("small-faced", "faced", 2, (1, 13, 28), seconds=5.0, seed=1),
    "deap": Simulation("small-deap", "deap", 2, (1, 11, 21, 31), seconds=5.0, seed=1),
    "bids": Simulation("small-bids", "bids", 3, (1, 5, 13, 17, 20), seconds=5.0, seed=1),
}


def real(layout: str) -> Path:
    """Folder of a real corpus; skips the test where the recordings are not at hand."""
    path = Path(__file__).resolve().parents[1] / ".." / "shared" / "eeg" / layout
    if not path.is_dir():
        pytest.skip(f"no real recordings: ../shared/eeg/{layout} is absent")
    return path


@cache
def small(layout: str) -> Path:
    """Folder of a small simulated corpus, written once a process: read it, do not write into it."""
    root = tempfile.TemporaryDirectory(prefix="mdjpt-corpora-")
    atexit.register(root.cleanup)
    return write(SMALL[layout], Path(root.name) / layout, progress=False)


@cache
def made(layout: str) -> tuple[Path, CorpusConfig]:
    """Folder of files made to a published layout and the configuration that reads them; read only."""
    root = tempfile.TemporaryDirectory(prefix="mdjpt-layout-")
    atexit.register(root.cleanup)
    return Path(root.name), LAYOUTS[layout](Path(root.name))


def config(layout: str, labels: str = "default", subjects: tuple[str, ...] | None = None, **facts: Any) -> CorpusConfig:
    return CorpusConfig(layout=layout, labels=labels, subjects=subjects, facts=FactsConfig(**facts))


def small_config(layout: str, labels: str = "default", **changes: Any) -> CorpusConfig:
    plan = SMALL[layout]
    return config(
        layout, labels, **{"stimuli": plan.stimuli, "sessions": plan.sessions, "seconds": plan.seconds} | changes
    )


def listed(root: Path, options: CorpusConfig) -> list[Recording]:
    return CORPORA[options.layout].recordings("corpus", options, root)


def first(root: Path, options: CorpusConfig) -> list[Segment]:
    recording = listed(root, options)[0]
    return CORPORA[options.layout].read(recording)


def read(recording: Recording) -> list[Segment]:
    return CORPORA[recording.layout].read(recording)


def microvolts(segment: Segment, trial: int = 0) -> np.ndarray:
    """EEG of one trial, (channels, samples)."""
    rate, about = segment.raw.info["sfreq"], segment.trials[trial]
    stop = None if about.stop is None else round(about.stop * rate)
    return segment.raw.get_data("eeg")[:, round(about.start * rate) : stop] * 1e6


def refused(call: Callable[[], object], *parts: object) -> None:
    """The call raises BadInput with a message of one line that holds every part."""
    with pytest.raises(BadInput) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert all(str(part) in message for part in parts), message
