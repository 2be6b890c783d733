"""Which windows a corpus offers to an evaluation, and how they are cut from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mdjpt_model.montage import UNIFIED, projection
from mdjpt_platform.config import WindowConfig
from mdjpt_platform.errors import BadInput

Array = NDArray[np.float32]
Rows = NDArray[np.int64]
ORDER = ["subject", "session", "play_order", "trial", "start"]
"""How a subject lived through the recording; the running statistics follow it."""


class WindowStore(Protocol):
    """What an evaluation needs of prepared data."""

    @property
    def index(self) -> pd.DataFrame:
        """One row a trial: corpus, subject, session, trial, stimulus, play_order, label, samples, ..."""
        ...

    @property
    def channels(self) -> Sequence[str]:
        """Names of the columns of every signal."""
        ...

    @property
    def rate(self) -> float:
        """Samples per second."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Class names in order of their code."""
        ...

    def signal(self, row: int) -> Array:
        """Trial at position `row` of the index, [samples, channels]."""
        ...


@dataclass(frozen=True)
class Unified:
    """A store seen through the encoder's unified channels, so that different caps give comparable columns."""

    store: WindowStore
    neighbours: int

    @property
    def index(self) -> pd.DataFrame:
        """The store's own."""
        return self.store.index

    @property
    def channels(self) -> Sequence[str]:
        """The 60 unified channels."""
        return UNIFIED

    @property
    def rate(self) -> float:
        """The store's own."""
        return self.store.rate

    @property
    def labels(self) -> Sequence[str]:
        """The store's own."""
        return self.store.labels

    @cached_property
    def _matrix(self) -> Array:
        return projection(tuple(self.store.channels), None, self.neighbours)

    def signal(self, row: int) -> Array:
        """[samples, 60]; an absent channel is the mean of its nearest present ones (montage.projection)."""
        return self.store.signal(row) @ self._matrix.T


def corpus_name(store: WindowStore) -> str:
    """Name of the corpus in messages and tables. Raises BadInput: an empty store."""
    if store.index.empty:
        raise BadInput("store", "index", "no trial", "at least one")
    return str(store.index["corpus"].iloc[0])


def window_table(store: WindowStore, window: WindowConfig, labelled: bool = False, rated: bool = False) -> pd.DataFrame:
    """One row a window: subject, session, trial, stimulus, play_order, label, row, start, samples.

    `row` is the trial's position in the index; `start` and `samples` count samples inside the trial. Windows never
    cross trials; rows follow ORDER. `labelled` leaves out trials without a label before anything is looked at, `rated`
    those without valence or arousal.
    Raises BadInput: a trial shorter than a window (both lengths named), no (labelled, rated) trial.
    """
    name = corpus_name(store)
    length, step = round(window.seconds * store.rate), round(window.step * store.rate)
    if length < 1 or step < 1:
        raise BadInput(name, "window", f"{window.seconds} s every {window.step} s", "at least one sample each")
    trials = store.index.reset_index(drop=True)
    trials = trials.assign(row=np.arange(len(trials), dtype=np.int64))
    if labelled:
        trials = trials[trials["label"].notna()]
        if trials.empty:
            raise BadInput(name, "label", "no labelled trial", "labels in the index; choose another label scheme")
    if rated:
        trials = trials[trials[["valence", "arousal"]].notna().all(axis=1)]
        if trials.empty:
            expected = "trials with both in [-1, 1]: a corpus with ratings, or classes in its table `affect`"
            raise BadInput(name, "valence, arousal", "no label coordinates", expected)
    short = trials[trials["samples"] < length]
    if len(short):
        first = short.iloc[0]
        raise BadInput(
            name,
            f"subject {first['subject']} session {first['session']} trial {first['trial']}",
            f"{first['samples']} samples ({first['samples'] / store.rate:g} s)",
            f"at least one window of {length} samples ({window.seconds:g} s)",
        )
    counts = ((trials["samples"].to_numpy(np.int64) - length) // step) + 1
    table = trials.loc[
        trials.index.repeat(counts), ["subject", "session", "trial", "stimulus", "play_order", "label", "row"]
    ].reset_index(drop=True)
    table["start"] = np.concatenate([np.arange(count, dtype=np.int64) * step for count in counts])
    table["samples"] = length
    return table.sort_values(ORDER, kind="stable", ignore_index=True)


def cut(store: WindowStore, table: pd.DataFrame, positions: Rows) -> Array:
    """Windows at `positions` of the table, [len(positions), channels, samples].

    Raises BadInput: a signal that is not finite (the trial is named).
    """
    part = table.iloc[positions]
    rows, starts = part["row"].to_numpy(), part["start"].to_numpy()
    length = int(table["samples"].iloc[0])
    out = np.empty((len(positions), len(store.channels), length), np.float32)
    for row in np.unique(rows):
        signal = store.signal(int(row))
        for place in np.flatnonzero(rows == row):
            out[place] = signal[starts[place] : starts[place] + length].T
    require_finite(out, store, table, positions, "signal")
    return out


def require_finite(values: NDArray[np.floating], store: WindowStore, table: pd.DataFrame, at: Rows, what: str) -> None:
    """Values [len(at), ...] of the windows `at`: NaN or infinity is an error, never replaced by zero.

    The released code prints a warning and calls nan_to_num (train_mlp_full.py:64, ext_fea.py:124-131).
    """
    if np.isfinite(values).all():
        return
    bad = int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
    window = table.iloc[int(at[bad])]
    raise BadInput(
        corpus_name(store),
        what,
        f"NaN or infinity in subject {window['subject']} session {window['session']} trial {window['trial']} "
        f"at sample {window['start']}",
        "finite values; look for flat or broken channels in this trial",
    )


def groups(table: pd.DataFrame) -> dict[tuple[str, int], Rows]:
    """Positions of every (subject, session), each in play order whatever the order of the table."""
    order = table.reset_index(drop=True).sort_values(ORDER, kind="stable")
    subjects, sessions, at = order["subject"].to_numpy(), order["session"].to_numpy(), order.index.to_numpy(np.int64)
    cuts = np.flatnonzero((subjects[1:] != subjects[:-1]) | (sessions[1:] != sessions[:-1])) + 1
    begins = [0, *cuts] if len(at) else []
    return {
        (str(subjects[begin]), int(sessions[begin])): part
        for begin, part in zip(begins, np.split(at, cuts), strict=False)
    }


def trials_of(table: pd.DataFrame) -> list[Rows]:
    """Positions of every trial, each in order of time."""
    order = table.reset_index(drop=True).sort_values(["row", "start"], kind="stable")
    at = order.index.to_numpy(np.int64)
    cuts = np.flatnonzero(np.diff(order["row"].to_numpy())) + 1
    return list(np.split(at, cuts))


def label_codes(store: WindowStore, table: pd.DataFrame) -> Rows:
    """Class number of every window. Raises BadInput: a label that is not one of the corpus' classes."""
    codes = {name: code for code, name in enumerate(store.labels)}
    unknown = sorted({str(label) for label in table["label"] if label not in codes})
    if unknown:
        raise BadInput(corpus_name(store), "label", ", ".join(unknown), f"one of: {', '.join(store.labels)}")
    return np.array([codes[label] for label in table["label"]], np.int64)
