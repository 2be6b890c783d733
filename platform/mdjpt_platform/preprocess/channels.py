"""What the channels are called and what their numbers mean: names, order, microvolts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.montage import canonical, scalp_channels
from mdjpt_platform.preprocess.parameters import Positive
from mdjpt_platform.preprocess.signals import Signals
from mdjpt_platform.preprocess.statistics import block_sd

TYPICAL_UV = 20.0


def channels(signals: Signals, *, rename: dict[str, str] | None = None, drop: tuple[str, ...] = ()) -> Signals:
    """Canonical 10-05 names, scalp channels only, in the order the corpus declares.

    `rename` (name in the file -> 10-05 name) and `drop` are for data with odd names. Both take a name as the file
    spells it or in its canonical form, whatever its case; names that a recording does not have are no fault, since one
    recipe serves many corpora. Channels that the reader typed as something else than EEG never get here.
    Raises BadInput: unknown or doubled names, channels other than the declared ones.
    """
    table = {_plain(old): new for old, new in (rename or {}).items()}
    unwanted = {_plain(name) for name in drop}
    kept, spelled = _named(signals.names, table, unwanted)
    rows = scalp_channels(spelled, signals.where)
    names = list(rows)
    if signals.declared:
        declared = _named(signals.declared, table, unwanted)[1]
        names = list(scalp_channels(declared, f"{signals.where}: declared channels"))
        absent, extra = [n for n in names if n not in rows], [n for n in rows if n not in names]
        if absent or extra:
            found = "; ".join(f"{word} {', '.join(some)}" for word, some in (("no", absent), ("extra", extra)) if some)
            raise BadInput(signals.where, "channels", found, f"the {len(names)} declared: {', '.join(names)}")
    order = [kept[rows[name]] for name in names]
    same = order == list(range(len(signals.names)))
    pieces = signals.pieces if same else tuple(replace(piece, data=piece.data[order]) for piece in signals.pieces)
    return replace(signals, names=tuple(names), pieces=pieces)


def unit(
    signals: Signals, *, low: Positive = 1.0, high: Positive = 300.0, action: Literal["refuse", "correct"] = "correct"
) -> Signals:
    """Check that the numbers are microvolts: the median channel's SD lies in [low, high] uV (DATASETS 21.4).

    The SD is taken in stretches of 2 s, so that a drifting amplifier is not mistaken for a wrong unit. Off by 1e3 or
    1e6 either way: corrected by the power of ten that brings it nearest to 20 uV, or refused.
    Raises BadInput: NaN or infinity, every channel flat, an amplitude that no power mends, `refuse` and out of range.
    """
    for number, piece in enumerate(signals.pieces, start=1):
        for name, row in zip(signals.names, piece.data, strict=True):
            if not np.isfinite(row).all():
                raise BadInput(signals.where, f"segment {number}", f"NaN or infinity in {name}", "finite samples")
    spread = np.array(
        [block_sd([p.data[c] for p in signals.pieces], 2 * signals.rate) for c in range(len(signals.names))]
    )
    moving = spread[spread > 0]
    if not moving.size:
        raise BadInput(signals.where, "amplitude", "every channel flat", f"{low:g} to {high:g} uV")
    found = float(np.median(moving))  # flat channels say nothing about the unit; bad_channels deals with them
    if low <= found <= high:
        return signals
    powers = [power for power in (-6, -3, 3, 6) if low <= found * 10.0**power <= high]
    if action == "refuse" or not powers:
        raise BadInput(signals.where, "amplitude", f"a median SD of {found:.3g} uV", f"{low:g} to {high:g} uV")
    factor = 10.0 ** min(powers, key=lambda power: abs(np.log(found * 10.0**power / TYPICAL_UV)))
    for piece in signals.pieces:
        np.multiply(piece.data, factor, out=piece.data)
    return replace(signals, factor=signals.factor * factor)


def _plain(name: str) -> str:
    return name.strip().upper()


def _named(names: Collection[str], table: Mapping[str, str], unwanted: Collection[str]) -> tuple[list[int], list[str]]:
    """(rows that are kept, what they are called)."""
    kept, spelled = [], []
    for row, name in enumerate(names):
        forms = (_plain(name), canonical(name))
        if any(form in unwanted for form in forms):
            continue
        kept.append(row)
        spelled.append(next((table[form] for form in forms if form in table), name))
    return kept, spelled
