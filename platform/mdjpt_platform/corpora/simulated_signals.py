"""The generative model behind simulated corpora: what a head of a given subject shows of a given stimulus.

A trial of subject u watching stimulus k is, in microvolts,

    x(t) = g_c R_c [ sum_j A_j L_uj exp(m_jk(t) / 2) n_j(t) + sum_i E h_ui q_ik(t)
                     + sqrt(S_u) b(t) + blinks + line ] + w
    m_jk(t) = affect (v_k V_j + a_k A'_j) + locked e_jk(t)

    n_j     unit Gaussian noise in the source's band, new in every trial; exp(m_jk / 2) its amplitude
    v_k a_k valence and arousal of the stimulus; V_j A'_j how the log-power of source j follows them (SOURCES)
    e_jk    slow unit-variance envelope (ENVELOPE_HZ), a sum of COSINES cosines that depends on the corpus, the stimulus
            and the source, and on no subject: this is what two subjects share while they watch the same film
    q_ik    slow unit-variance potential (EVOKED_HZ) of the evoked sources, likewise shared
    L_uj    topography: spherical four-shell head of MNE, source at a place shared by all subjects and corpora;
            orientation tilted and gain scattered per subject
    S_u     covariance of many random dipoles, weights per subject; b has a 1/f^p spectrum
    g_c R_c gain and reference of the corpus; w sensor noise, and a few much noisier channels

Before a trial (`lead` seconds) m and q are zero. All draws come from generators keyed by (seed, corpus, what, number).
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from scipy import fft

from mdjpt_platform.corpora.simulated_head import EVOKED_SITES, SOURCES, Array, Mixing

BANDS = {"theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (14.0, 30.0), "gamma": (30.0, 45.0)}
ENVELOPE_HZ = (0.1, 0.8)
EVOKED_HZ = (0.8, 3.0)
COSINES = 12


@dataclass(frozen=True)
class Strengths:
    """Sizes of the effects and of what hides them."""

    affect: float = 0.45
    """Factor of the affect-dependent change of log-power."""
    locked: float = 1.2
    """SD of the stimulus-locked log-power."""
    evoked: float = 5.0
    """SD of the stimulus-locked potential, uV."""
    background: float = 10.0
    """SD of the 1/f background, uV."""
    blink: float = 60.0
    """Peak over the forehead, uV."""
    line: float = 1.5
    """Amplitude of the 50-Hz hum, uV."""
    sensor: float = 0.7
    """SD of white sensor noise, uV."""
    bad: float = 0.02
    """Chance of a channel to be bad in a recording."""
    scatter: float = 0.35
    """Scatter of source gain (log), tilt (radian) and background weights between subjects."""


STRENGTHS = Strengths()


def generator(simulation_seed: int, corpus: str, what: str, *numbers: int) -> np.random.Generator:
    """A generator of its own for every purpose, so that adding a subject changes no other."""
    return np.random.default_rng([simulation_seed, crc32(corpus.encode()), crc32(what.encode()), *numbers])


def cosines(rng: np.random.Generator) -> tuple[Array, Array]:
    """Frequencies (Hz) and phases, (sources + evoked, COSINES) each, of one stimulus."""
    count = (len(SOURCES), len(EVOKED_SITES))
    limits = (ENVELOPE_HZ, EVOKED_HZ)
    frequencies = np.concatenate([rng.uniform(*limit, (n, COSINES)) for n, limit in zip(count, limits, strict=True)])
    return frequencies, rng.uniform(0.0, 2 * np.pi, frequencies.shape)


def courses(frequencies: Array, phases: Array, times: Array) -> Array:
    """(rows, times): unit-variance courses, the same function of time at every rate."""
    angles = 2 * np.pi * frequencies[:, :, None] * times + phases[:, :, None]
    scaled: Array = np.cos(angles, dtype=np.float32).sum(axis=1) * np.float32(np.sqrt(2 / COSINES))
    return scaled


def signals(
    modulation: Array, evoked: Array, rate: float, mix: Mixing, strengths: Strengths, rng: np.random.Generator
) -> tuple[Array, Array]:
    """EEG before reference and gain, and the blinks: (blocks, channels, samples) and (blocks, samples), uV.

    modulation (blocks, sources, samples) is the log-power m(t), evoked (blocks, evoked, samples) the potential q(t).
    """
    blocks, _, length = modulation.shape
    bands = np.stack([_band(length, rate, *BANDS[source.band]) for source in SOURCES])
    amplitude = np.array([source.amplitude for source in SOURCES], dtype=np.float32)[:, None]
    carriers = _noise(bands, blocks, length, rng) * np.exp(0.5 * modulation) * amplitude
    pink = _band(length, rate, 0.3, rate / 2, mix.slope)[None].repeat(len(mix.background), axis=0)
    background = _noise(pink, blocks, length, rng)
    blinks = strengths.blink * _blinks(blocks, length, rate, rng)
    times = np.arange(length, dtype=np.float32) / np.float32(rate)
    hum = np.sin(2 * np.pi * 50.0 * times + rng.uniform(0, 2 * np.pi, (blocks, 1)), dtype=np.float32)
    hands = strengths.line * np.abs(rng.standard_normal(len(mix.blink)))
    mixed = np.concatenate([carriers, evoked, background, blinks[:, None], hum[:, None]], axis=1, dtype=np.float32)
    columns = [mix.sources, strengths.evoked * mix.evoked, strengths.background * mix.background]
    matrix = np.column_stack([*columns, mix.blink, hands]).astype(np.float32)
    total = matrix @ mixed
    total += strengths.sensor * rng.standard_normal(total.shape, dtype=np.float32)
    return total, blinks


def _band(length: int, rate: float, low: float, high: float, slope: float = 0.0) -> Array:
    """Amplitude per frequency of noise between low and high whose power falls as f^-slope; variance 1 in time."""
    padded = fft.next_fast_len(length, real=True)
    frequency = fft.rfftfreq(padded, 1 / rate)
    inside = (frequency >= low) & (frequency <= high)
    shape = np.where(inside, np.maximum(frequency, low) ** (-slope / 2), 0.0)
    scaled: Array = (shape * padded / np.sqrt(4 * np.square(shape).sum())).astype(np.float32)
    return scaled


def _noise(amplitude: Array, blocks: int, length: int, rng: np.random.Generator) -> Array:
    """(blocks, rows, samples) Gaussian noise with the given amplitude per row and frequency."""
    draws = rng.standard_normal((blocks, *amplitude.shape, 2), dtype=np.float32)
    spectrum = draws.view(np.complex64)[..., 0] * amplitude
    noise: Array = fft.irfft(spectrum, fft.next_fast_len(length, real=True))[..., :length]
    return noise


def _blinks(blocks: int, length: int, rate: float, rng: np.random.Generator) -> Array:
    """(blocks, samples): bumps of 0.35 s, about one in five seconds."""
    starts = (rng.random((blocks, length)) < 0.2 / rate).astype(np.float32)
    bump = np.hanning(round(0.35 * rate)).astype(np.float32)
    padded = fft.next_fast_len(length + len(bump), real=True)
    bumps: Array = fft.irfft(fft.rfft(starts, padded) * fft.rfft(bump, padded), padded)[:, :length]
    return bumps
