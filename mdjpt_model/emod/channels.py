"""Which row of the learned table an electrode has.

The reference numbers the sorted union of its eight corpora's names, which is not published. Here rows follow the 60
unified channels in their order, then twelve sites that caps of 64 channels have beside them: 72 in all, as there.
A row belongs to a name, never to a place in a cap, so that the order of channels carries no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence

from mdjpt_model.montage import UNIFIED, placed

BESIDE: tuple[str, ...] = tuple("AF7 AFZ AF8 F9 F10 FT9 FT10 TP9 TP10 P9 P10 IZ".split())  # noqa: SIM905
"""Sites outside the 60 that EmoEEG-MC or the common caps of 64 (10-10 and BioSemi) record."""

ELECTRODES: tuple[str, ...] = (*UNIFIED, *BESIDE)
"""Upper-case 10-05 name of every row. Appending is safe; anything else changes the meaning of trained weights."""

ROWS = 72
"""Rows of the table, in the reference and here."""


def electrode_rows(channels: Sequence[str], electrodes: Sequence[str] = ELECTRODES) -> list[int]:
    """Row of each channel, whatever its case, old 10-20 names included.

    `electrodes` names the rows of a table of another origin. Raises ValueError: names without a row, names given twice.
    """
    row = {name: number for number, name in enumerate(electrodes)}
    names = placed(channels, row, "electrodes without a row in the model's table")
    return [row[name] for name in names]
