"""A live Lab Streaming Layer stream, by MNE-LSL's inlet (liblsl). Needs the extra `live`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.corpora.anyfile import OTHERS, sites_of
from mdjpt_platform.corpora.mapping import table
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mne_lsl.lsl import StreamInlet

LOOK_S = 5.0
"""Seconds that a stream is looked for."""
PULL_S, MOST = 0.04, 4096
"""Seconds that one pull waits, and samples that it takes."""
BUFFER_S = 360
"""Seconds that liblsl keeps while answers are being worked out."""
MICROVOLTS = {
    "0": 1e6, "v": 1e6, "volt": 1e6, "volts": 1e6, "-3": 1e3, "mv": 1e3, "millivolt": 1e3, "millivolts": 1e3,
    "-6": 1.0, "uv": 1.0, "µv": 1.0, "μv": 1.0, "microvolt": 1.0, "microvolts": 1.0,
    "-9": 1e-3, "nv": 1e-3, "nanovolt": 1e-3, "nanovolts": 1e-3,
}  # fmt: skip
"""Unit as streams spell it (MNE-LSL: a power of ten of a volt) -> microvolts. Others are taken for microvolts."""


@dataclass
class Inlet:
    """A stream that was found, and is listened to."""

    name: str
    sites: tuple[str, ...]
    """10-05 sites of its scalp channels."""
    rate: float
    left_out: tuple[str, ...]
    """Its other channels."""
    inlet: StreamInlet
    rows: list[int]
    """Of the scalp channels."""
    factors: NDArray[np.float64]
    """To microvolts."""
    now: Callable[[], float]
    """Seconds on this machine's LSL clock."""
    ended: str = field(default="", init=False)
    """Why `chunks` came to an end."""

    def chunks(self, stop: Event, patience: float) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """(microvolts [channels, n], [n] seconds on this machine's clock), until `stop` or `patience` s of silence.

        An outlet that comes back within that time is picked up again: the hole is seen in the times.
        """
        heard = time.monotonic()
        try:
            while not stop.is_set():
                values, times = self.inlet.pull_chunk(timeout=PULL_S, max_samples=MOST)
                if times.size:
                    heard = time.monotonic()
                    data = values[:, self.rows].T.astype(np.float64) * self.factors
                    yield data, times + self.inlet.time_correction(timeout=LOOK_S)
                elif time.monotonic() - heard > patience:
                    self.ended = f"no sample for {patience:g} s"
                    return
        except (RuntimeError, TimeoutError) as error:  # liblsl's LostError is a RuntimeError
            self.ended = f"the stream was lost: {' '.join(str(error).split())}"


def connect(name: str, rename: Path | None = None) -> Inlet:
    """Find a stream by its name and open it; `rename`: table with columns name, rename.

    Raises BadInput: MNE-LSL is not installed, no such stream (those found are named), several of that name, one of
    text or without a rate, no scalp channel among its labels.
    """
    where = f"stream {name}"
    try:
        from mne_lsl.lsl import StreamInlet, local_clock, resolve_streams
    except ImportError as error:
        raise BadInput(where, "MNE-LSL", f"not installed ({error})", "pip install 'mdjpt[live]'") from None
    try:
        found = resolve_streams(timeout=LOOK_S, name=name)
        if len(found) != 1:
            others = sorted({one.name for one in resolve_streams(timeout=1.0)})
            shown = f"{len(found)} of that name" if found else f"none; there are: {', '.join(others) or 'no streams'}"
            raise BadInput(where, "streams", shown, "one stream of that name on this network")
        inlet = StreamInlet(found[0], max_buffered=BUFFER_S)
        inlet.open_stream(timeout=LOOK_S)
        about = inlet.get_sinfo(timeout=LOOK_S)
        inlet.time_correction(timeout=LOOK_S)
    except (RuntimeError, TimeoutError, ValueError) as error:
        raise BadInput(where, "connection", " ".join(str(error).split())[:200], "a stream that can be opened") from None
    rate = float(about.sfreq)
    if about.dtype == "string" or not rate > 0:
        raise BadInput(where, "samples", f"{about.dtype} at {rate:g} Hz", "numbers at a regular rate")
    labels = _filled(about.get_channel_names(), about.n_channels)
    kinds, units = (_filled(some, about.n_channels) for some in (about.get_channel_types(), about.get_channel_units()))
    renamed = _renaming(rename, labels) if rename is not None else {}
    spelled = [renamed.get(label, label) for label in labels]
    heard = [
        one for one, kind in zip(spelled, kinds, strict=True) if kind.lower() in ("", "eeg") and not OTHERS.match(one)
    ]
    sites = sites_of(heard)
    if not sites or len(set(sites.values())) < len(heard and [one for one in heard if one in sites]):
        shown = ", ".join(labels[:8]) or "no labels"
        raise BadInput(where, "channels", shown, "10-05 names, every site once (--rename TABLE.csv gives names)")
    rows = [spelled.index(one) for one in sites]
    factors = np.array([[MICROVOLTS.get(units[row].lower(), 1.0)] for row in rows])
    left = tuple(label for row, label in enumerate(labels) if row not in rows)
    return Inlet(name, tuple(sites.values()), rate, left, inlet, rows, factors, local_clock)


def _filled(texts: Any, count: int) -> list[str]:
    """One text a channel, empty where the stream says nothing."""
    known = [str(text or "").strip() for text in texts or ()][:count]
    return known + [""] * (count - len(known))


def _renaming(path: Path, labels: list[str]) -> Mapping[str, str]:
    rows = table(path, ",", ["name", "rename"])
    found = {row["name"]: row["rename"] for row in rows if row["rename"] and row["name"] in labels}
    if not found:
        raise BadInput(path, "name", "no channel of the stream", f"some of {', '.join(labels[:8])}, ...")
    return found
