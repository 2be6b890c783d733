"""`exec.resident`: all signals on the training device, loaded once; an episode is one gather a corpus."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.plan import Draw, Indices, Row
from mdjpt_platform.errors import BadInput
from mdjpt_platform.store import Store


@dataclass(frozen=True)
class Resident:
    """One corpus on a device."""

    signals: Tensor
    """[samples, C] float32: all trials, one after the other."""
    codes: Tensor
    """[trials] int64 (Store.codes)."""
    affect: Tensor
    """[trials, 2] float32 (Store.affect)."""
    first: Indices
    """[trials] where each begins in `signals`."""
    samples: Indices
    """[trials] how long it is."""

    def windows(self, draw: Draw, length: int) -> Tensor:
        """[B, length, C] in one gather. Raises ValueError: a window that does not lie inside its trial."""
        rows, starts = draw.rows, draw.starts
        outside = (starts < 0) | (starts + length > self.samples[rows])
        if outside.any():
            at = int(outside.argmax())
            begin, row = int(starts[at]), int(rows[at])
            raise ValueError(f"window [{begin}, {begin + length}) outside trial {row} of {self.samples[row]} samples")
        channels = self.signals.shape[1]
        # all windows that could be cut, as overlapping rows of the same memory: what is gathered is whole rows
        every = self.signals.as_strided((len(self.signals) - length + 1, length * channels), (channels, 1))
        found = every.index_select(0, torch.from_numpy(self.first[rows] + starts).to(self.signals.device))
        return found.view(-1, length, channels)


def hold(stores: Mapping[str, Store], device: torch.device) -> dict[str, Resident]:
    """Load the signals of all trials onto the device.

    Raises BadInput: they are larger than what is free there (nothing is loaded).
    """
    samples = {name: store.index["samples"].to_numpy(np.int64) for name, store in stores.items()}
    needed = sum(4 * int(samples[name].sum()) * len(store.channels) for name, store in stores.items())
    free = free_bytes(device)
    if needed > free:
        raise BadInput("configuration", "exec.resident", f"{needed:,} bytes of signals, {free:,} free on {device}",
                       "signals that fit there; leave it off")  # fmt: skip
    return {name: _held(store, samples[name], device) for name, store in stores.items()}


def _held(store: Store, samples: NDArray[np.int64], device: torch.device) -> Resident:
    ends = samples.cumsum()
    signals = torch.empty(int(ends[-1]), len(store.channels), dtype=torch.float32, device=device)
    for row, end in enumerate(ends.tolist()):
        signals[end - samples[row] : end] = torch.from_numpy(np.array(store.signal(row)))
    codes, affect = (torch.tensor(values, device=device) for values in (store.codes, store.affect))
    return Resident(signals, codes, affect, ends - samples, samples)


def free_bytes(device: torch.device) -> int:
    """Memory that can still be taken on a device; of a CPU, what the system can give without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        known = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        known = ""
    if found := re.search(r"^MemAvailable:\s*(\d+) kB$", known, re.MULTILINE):
        return 1024 * int(found[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # not Linux: all that there is


def gather(row: Row, held: Mapping[str, Resident], length: Mapping[str, int]) -> Episode:
    """The episode of a row, on the device; equal to what `assemble` cuts."""
    windows, labels, affect = {}, {}, {}
    for name, draw in row.draws.items():
        corpus = held[name]
        windows[name] = corpus.windows(draw, length[name]).transpose(1, 2)
        trials = torch.from_numpy(draw.rows).to(corpus.codes.device)
        labels[name], affect[name] = corpus.codes[trials], corpus.affect[trials]
    return Episode(row, windows, labels, affect)


def gathered(rows: Iterable[Row], held: Mapping[str, Resident], length: Mapping[str, int]) -> Generator[Episode]:
    """Episodes of `rows` in order. Each has memory of its own, so all stay valid."""
    for row in rows:
        yield gather(row, held, length)
