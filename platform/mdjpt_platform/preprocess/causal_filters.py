"""Filters that look back only: one-pass recursive sections, and a polyphase change of rate that waits for its taps.

Both are the filters of `filters.py`; there a recording is filtered forwards and backwards, here as it arrives. What
leaves does not depend on how the samples were cut into chunks.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy import signal as sp

from mdjpt_platform.preprocess.signals import Array

ALPHA_HZ = 10.0
"""Where the delay of a recursive filter is stated: it differs by frequency."""


class Twin:
    """A step on a stream: chunks [channels, samples] of any length in, what is ready out. This one does nothing."""

    note = ""
    """What it found or leaves out, for people; may change while it runs."""
    wait = 0.0
    """Seconds it waits for later samples before one leaves: an output for time t leaves at t + wait."""
    lag = 0.0
    """Group delay at 10 Hz, seconds: by how much a rhythm of 10 Hz comes out late."""

    def __call__(self, chunk: Array) -> Array:
        """The next samples."""
        return chunk

    def restart(self) -> None:
        """Forget the samples, not what was decided on them: the stream goes on after a gap."""

    def needs(self, sample: int) -> int:
        """Number of the last sample in that sample `sample` out depends on."""
        return sample


class Sections(Twin):
    """A recursive filter in second-order sections, one pass, begun as if the first sample had always been there."""

    def __init__(self, sos: Array, rate: float) -> None:
        self.sos, self.rest = sos, sp.sosfilt_zi(sos)
        self.lag = group_delay(sos, ALPHA_HZ, rate)
        self.state: Array | None = None

    def __call__(self, chunk: Array) -> Array:
        """The next samples, filtered."""
        if not chunk.shape[1]:
            return chunk
        if self.state is None:
            self.state = self.rest[:, None, :] * chunk[None, :, :1]
        out, self.state = sp.sosfilt(self.sos, chunk, axis=1, zi=self.state)
        found: Array = out
        return found

    def restart(self) -> None:
        """The next sample is the first."""
        self.state = None


class Polyphase(Twin):
    """Change of rate by the FIR filter of `filters.resample` (its taps, its values); sample k lies at k / new rate.

    The filter is symmetric, so a sample leaves when the taps after it have arrived: 16 samples of the lower rate.
    Before the first sample the signal is taken for constant.
    """

    def __init__(self, old: float, new: float) -> None:
        ratio = (Fraction(new).limit_denominator(1000) / Fraction(old).limit_denominator(1000)).limit_denominator(
            10_000
        )
        self.up, self.down = ratio.numerator, ratio.denominator
        self.reach = 16 * max(self.up, self.down)
        taps = sp.firwin(2 * self.reach + 1, 1 / max(self.up, self.down), window=("kaiser", 8.0))
        ahead = -self.reach % self.down  # zeros that put the middle tap on an output
        self.taps = np.concatenate([np.zeros(ahead), self.up * taps])
        self.shift = (self.reach + ahead) // self.down
        self.wait = self.reach / self.up / old
        self.restart()

    def restart(self) -> None:
        """The next sample is the first, at time 0."""
        self.offset: Array | None = None
        self.base = -(-(-self.reach // (self.up * self.down)) * self.down)
        """Number of the first sample kept, a multiple of `down`; those before time 0 are the constant."""
        self.done = self.seen = 0

    def needs(self, sample: int) -> int:
        """The last tap's."""
        return (sample * self.down + self.reach) // self.up

    def __call__(self, chunk: Array) -> Array:
        """What has all of its taps, [channels, some]."""
        if not chunk.shape[1]:
            return chunk
        if self.offset is None:  # a large offset would leak through taps that sum to one but nearly
            self.offset = chunk[:, :1].copy()
            self.kept = np.zeros((len(chunk), -self.base))
        self.kept = np.concatenate([self.kept, chunk - self.offset], axis=1)
        self.seen += chunk.shape[1]
        ready = max(self.done, (self.seen * self.up - 1 - self.reach) // self.down + 1)
        if ready == self.done:
            return chunk[:, :0]
        first = self.base * self.up // self.down - self.shift
        out = sp.upfirdn(self.taps, self.kept, self.up, self.down, axis=1)[:, self.done - first : ready - first]
        self.done = ready
        needed = (ready * self.down - self.reach) // self.up // self.down * self.down
        if needed > self.base:
            self.kept, self.base = self.kept[:, needed - self.base :], needed
        found: Array = out + self.offset
        return found


def group_delay(sos: Array, frequency: float, rate: float) -> float:
    """Seconds by which a filter delays what happens at a frequency (Hz): the sum of its sections'."""
    return float(sum(sp.group_delay((row[:3], row[3:]), w=[frequency], fs=rate)[1][0] for row in sos)) / rate
