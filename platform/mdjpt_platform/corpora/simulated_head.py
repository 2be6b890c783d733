"""The head behind simulated corpora: sources at fixed places, a spherical forward model, a subject's own variation.

The places are the same for every subject and corpus, so what two corpora share can be aligned. Topographies come from
MNE's spherical four-shell model (`make_sphere_model`, `make_forward_solution`) on its template of the 10-05 system.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mne
import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.corpora import deap, faced, reading, seed

Array = NDArray[np.floating]

BIDS_EEG = reading.words(
    "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T3 C3 Cz C4 T4 CP5 CP1 CP2 CP6 T5 P3 Pz P4 T6 O1 Oz O2"
)
"""Channels of simulated BIDS files; the temporal ones under their old names."""


@dataclass(frozen=True)
class Source:
    """One cortical patch under an electrode site."""

    site: str
    band: str
    valence: float
    """Change of log-power per unit of valence."""
    arousal: float
    amplitude: float
    """Microvolts (SD) at the electrode nearest to it, before modulation."""


SOURCES = (
    Source("F3", "alpha", -1.0, 0.0, 5.0),
    Source("F4", "alpha", 1.0, 0.0, 5.0),
    Source("Pz", "alpha", 0.0, -1.0, 6.0),
    Source("O1", "alpha", 0.5, -0.5, 6.0),
    Source("O2", "alpha", -0.5, -0.5, 6.0),
    Source("FC5", "beta", 1.0, 0.3, 3.5),
    Source("FC6", "beta", -1.0, 0.3, 3.5),
    Source("Cz", "theta", 0.0, 0.8, 5.0),
    Source("T7", "gamma", 1.0, 0.4, 2.5),
    Source("T8", "gamma", -1.0, 0.4, 2.5),
)
EVOKED_SITES = ("Oz", "Fz", "CP1", "CP2")


@dataclass(frozen=True)
class Head:
    """Template head; rows are the channels of all layouts, `rows` finds them by upper-case name."""

    rows: dict[str, int]
    sources: Array
    """(channels, sources + evoked, 3), scaled so that a radial source of amplitude 1 gives 1 where it is strongest."""
    positions: Array
    """(sources + evoked, 3), metres in MNE's head frame."""
    normals: Array
    background: Array
    """(channels, dipoles)."""
    blink: Array
    """(channels,), 1 at most."""


@dataclass(frozen=True)
class Mixing:
    """One subject's head as the corpus' cap sees it."""

    sources: Array
    """(channels, sources)."""
    evoked: Array
    """(channels, evoked)."""
    background: Array
    """(channels, channels), a root of the background covariance with mean variance 1."""
    blink: Array
    slope: float
    """Exponent of the background's power spectrum."""
    orientations: Array
    """(sources + evoked, 3)."""


def standard_montage() -> mne.channels.DigMontage:
    """Template positions of the extended 10-05 system. MNE 1.13 renames `standard_1005` to `colin27_1005`."""
    new = "colin27_1005"
    return mne.channels.make_standard_montage(new if new in mne.channels.get_builtin_montages() else "standard_1005")


@lru_cache(maxsize=1)
def head() -> Head:
    """The forward model, computed once a process (a third of a second)."""
    used = [*seed.FACTS.channels, *faced.FILE_CHANNELS, *deap.EEG, *BIDS_EEG]
    montage = standard_montage()
    placed = {name.upper(): name for name in montage.ch_names}
    names = list(dict.fromkeys(placed[name.upper()] for name in used))
    info = mne.create_info(names, 250.0, "eeg", verbose="ERROR").set_montage(montage, verbose="ERROR")
    sites = np.array([channel["loc"][:3] for channel in info["chs"]])
    rows = {name.upper(): row for row, name in enumerate(names)}
    centre = np.array([0.0, 0.0, 0.04])
    sphere = mne.make_sphere_model(tuple(centre), 0.095, verbose="ERROR")
    outward = sites - centre
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    wanted = outward[[rows[site.upper()] for site in [*(s.site for s in SOURCES), *EVOKED_SITES]]]
    spread = np.random.default_rng(20260101).standard_normal((150, 3))
    spread[:, 2] = np.abs(spread[:, 2]) - 0.3 * np.linalg.norm(spread[:, :2], axis=1)  # few dipoles below the ears
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    normals = np.concatenate([wanted, spread])
    places = centre + 0.07 * normals
    space = mne.setup_volume_source_space(pos={"rr": places, "nn": normals}, sphere=sphere, verbose="ERROR")
    forward = mne.make_forward_solution(
        info, trans=None, src=space, bem=sphere, meg=False, eeg=True, mindist=0.0, verbose="ERROR"
    )
    gains = forward["sol"]["data"].reshape(len(names), len(places), 3)
    radial = np.einsum("csk,sk->cs", gains, normals)
    gains = gains / np.abs(radial).max(axis=0)[None, :, None]
    dipoles = np.random.default_rng(20260102).standard_normal((150, 3))
    background = np.einsum("csk,sk->cs", gains[:, len(wanted) :], dipoles)
    nose = sites[[rows["FP1"], rows["FP2"]]].mean(axis=0) + np.array([0.0, 0.01, -0.02])
    blink = np.exp(-np.square(np.linalg.norm(sites - nose, axis=1) / 0.05) / 2)
    if "CB1" not in rows:  # between PO7 and O1 (PO8 and O2) on the SEED cap, in no montage
        pairs = {"CB1": ("PO7", "O1"), "CB2": ("PO8", "O2")}
        mean = [[rows[a], rows[b]] for a, b in pairs.values()]
        gains, background, blink = (np.concatenate([a, a[mean].mean(axis=1)]) for a in (gains, background, blink))
        rows |= {name: len(names) + i for i, name in enumerate(pairs)}
    shown = slice(0, len(wanted))
    return Head(rows, gains[:, shown], places[shown], normals[shown], background, blink / blink.max())


def mixing(channels: tuple[str, ...], scatter: float, rng: np.random.Generator) -> Mixing:
    """Draw one subject's head for the given cap; `scatter` as in Strengths."""
    template = head()
    rows = [template.rows[name.upper()] for name in channels]
    tilted = template.normals + scatter * rng.standard_normal(template.normals.shape)
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    gain = np.exp(scatter * rng.standard_normal(len(tilted)))
    shown = np.einsum("csk,sk->cs", template.sources[rows], tilted) * gain
    weights = np.exp(2 * scatter * rng.standard_normal(template.background.shape[1]))
    dipoles = template.background[rows] * weights
    covariance = dipoles @ dipoles.T
    covariance /= np.trace(covariance) / len(rows)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    split = len(SOURCES)
    slope = float(rng.uniform(0.9, 1.4))
    return Mixing(shown[:, :split], shown[:, split:], root, template.blink[rows], slope, tilted)
