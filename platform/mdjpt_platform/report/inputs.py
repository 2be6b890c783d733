"""What a report is made of: plain data, every part optional, so that half a run has a page too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import json_of, read, table_of


@dataclass(frozen=True)
class CorpusInfo:
    """One corpus of the run, as its store has it."""

    name: str
    layout: str
    subjects: int
    sessions: int
    """Recordings: subjects times their sessions."""
    trials: int
    hours: float
    channels: tuple[str, ...]
    rate: float
    """Samples per second."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Trials per class; the class None is called 'no label' by the caller."""
    failed: Mapping[str, str] | Sequence[str] = ()
    """Recordings that could not be prepared. Only their number is shown: names and reasons identify people."""
    role: str = ""
    """'source', 'target' or both."""


class TargetLike(Protocol):
    """What a page needs of an evaluation; `evaluate.result.TargetResult` and `TargetInputs` have it."""

    @property
    def target(self) -> str:
        """Name of the corpus."""

    @property
    def scores(self) -> pd.DataFrame | None:
        """Means over subjects."""

    @property
    def subjects(self) -> pd.DataFrame | None:
        """Scores by subject."""

    @property
    def tests(self) -> pd.DataFrame | None:
        """Comparisons with the controls."""

    @property
    def embedding(self) -> pd.DataFrame | None:
        """Trials on a plane."""

    @property
    def confusion(self) -> Sequence[Mapping[str, Any]]:
        """Counts by truth and answer."""

    @property
    def affect(self) -> pd.DataFrame | None:
        """Trials with true and answered valence and arousal."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader must know."""


@dataclass(frozen=True)
class TargetInputs:
    """An evaluation of one target, each table optional; columns as `evaluate.result.TargetResult` says."""

    target: str
    scores: pd.DataFrame | None = None
    """target, method, readout, lds, metric, value, low, high, chance, n_subjects, protocol [, chance_low/_high]."""
    subjects: pd.DataFrame | None = None
    """method, readout, lds, metric, subject, value."""
    tests: pd.DataFrame | None = None
    """readout, lds, metric, method, control, difference, effect, p_*, *_holm."""
    embedding: pd.DataFrame | None = None
    """x, y, label, subject, method [, corpus]."""
    confusion: Sequence[Mapping[str, Any]] = ()
    """method, readout, lds, labels, counts[truth][answer]."""
    notes: Sequence[str] = ()
    affect: pd.DataFrame | None = None
    """method, readout, lds, label, valence, arousal, answered_valence, answered_arousal."""


@dataclass(frozen=True)
class ReportInputs:
    """A run as a page shows it."""

    title: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """The run's configuration, nested; named subjects are counted, not shown."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """Hashes: run, weights, stores."""
    versions: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    """Records of the metrics log (`tracking.read_jsonl`): step, epoch, loss/..., time/step."""
    contrast_chance: Mapping[str, float] = field(default_factory=dict)
    """Per corpus the contrastive loss of a guess, ln(2V - 1); also read from `chance/contrast.<corpus>`."""
    corpora: Sequence[CorpusInfo] = ()
    targets: Sequence[TargetLike] = ()
    atlas: pd.DataFrame | None = None
    """All corpora on one map: method, corpus, subject, label, x, y."""


def load_target(folder: str | Path) -> TargetInputs:
    """Read what `evaluate.result.write_result` wrote. Raises BadInput: a file is absent or damaged."""
    folder = Path(folder)
    tables: dict[str, pd.DataFrame] = {}
    trees: dict[str, Any] = {}
    for name in ("results", "confusion"):
        path = folder / f"{name}.json"
        try:
            trees[name] = json_of(read(path))
        except (OSError, ValueError) as error:
            raise BadInput(path, "evaluation", error, "results of `mdjpt evaluate`") from None
    for name in ("scores", "subjects", "embedding", "affect"):
        path = folder / f"{name}.parquet"
        if name == "affect" and not path.exists():  # coordinates were not read out
            continue
        try:
            tables[name] = table_of(path)
        except BadInput as error:
            raise BadInput(path, "evaluation", error.found, "results of `mdjpt evaluate`") from None
    results = trees["results"]
    sound = isinstance(results, dict) and {"target", "tests", "notes"} <= results.keys()
    if not sound or not isinstance(trees["confusion"], list):
        raise BadInput(folder, "evaluation", "other content", "results of `mdjpt evaluate`")
    return TargetInputs(
        target=results["target"],
        tests=pd.DataFrame(results["tests"]),
        confusion=trees["confusion"],
        notes=tuple(results["notes"]),
        **tables,
    )
