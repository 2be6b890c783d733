"""What a model has been shown, so that whoever applies it can tell a recording that is unlike all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.progress import progress_bar
from mdjpt_platform.predict.novelty import amplitude, distance, profile
from mdjpt_platform.store import Store

LONGEST = 600
"""Seconds of a recording that its spectrum is taken from."""
QUANTILES = {"low": 0.01, "median": 0.5, "high": 0.99}


def seen(stores: Mapping[str, Store], progress: bool = False) -> dict[str, Any]:
    """Caps by corpus, amplitude (microvolts) and spectra of all recordings (subject and session).

    `spectrum.distance`: what 99 % of the recordings shown do not exceed when held against all others.
    """
    profiles = []
    count = sum(len(store.index.groupby(["subject", "session"])) for store in stores.values())
    with progress_bar(count, "what the model was shown", progress) as advance:
        for store in stores.values():
            for _, rows in store.index.groupby(["subject", "session"], sort=True).indices.items():
                profiles.append(profile(_beginning(store, rows), store.channels, store.rate))
                advance(1)
    power = np.stack([one.power for one in profiles])
    amplitudes = [value for store in stores.values() for value in _amplitudes(store)]
    spectrum: dict[str, Any] = {"frequencies": profiles[0].frequencies.tolist(), **_spread(power)}
    apart = [
        distance(one, {"frequencies": spectrum["frequencies"], **_spread(np.delete(power, place, 0))})
        for place, one in enumerate(profiles)
    ] if len(profiles) > 2 else [3.0]  # fmt: skip
    spectrum["distance"] = float(np.quantile(apart, 0.99))
    return {
        "channels": {name: list(store.channels) for name, store in stores.items()},
        "recordings": len(profiles),
        "amplitude": {n: float(np.quantile(amplitudes, q)) for n, q in QUANTILES.items()} if amplitudes else None,
        "spectrum": spectrum,
    }


def _beginning(store: Store, rows: Any) -> np.ndarray[Any, Any]:
    parts, left = [], round(LONGEST * store.rate)
    for row in rows:
        parts.append(store.signal(int(row))[:left])
        left -= len(parts[-1])
        if left <= 0:
            break
    return np.concatenate(parts)


def _spread(power: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"mean": power.mean(0).tolist(), "sd": (power.std(0, ddof=1) if len(power) > 1 else power[0] * 0).tolist()}


def _amplitudes(store: Store) -> list[float]:
    """SD over channels of every recording after the recipe, before the subject's scaling, where the store has it."""
    try:
        known = store.quality()
    except BadInput:
        return []
    looks = [one.get("after", {}).get("sd", []) for one in known.values()]
    return [amplitude(sd) for sd in looks if sd]
