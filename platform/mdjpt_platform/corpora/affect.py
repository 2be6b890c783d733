"""Where emotion words lie in the plane of valence and arousal, both in [-1, 1].

No data set publishes one table for all the words used here. These values follow film-clip ratings (FACED means over
123 subjects; the category averages of Cowen & Keltner 2017, doi 10.1073/pnas.1702247114, as EMOD rounds them, AAAI
2026) and are meant for weighting pairs softly. A subject's own rating is always preferred where a corpus has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mdjpt_platform.corpora.base import Plane

AFFECT: dict[str, tuple[float, float]] = {
    "neutral": (0.0, -0.4),
    "happy": (0.75, 0.5),
    "joy": (0.75, 0.5),
    "amusement": (0.6, 0.4),
    "inspiration": (0.6, 0.3),
    "tenderness": (0.6, 0.0),
    "surprise": (0.1, 0.6),
    "anger": (-0.5, 0.6),
    "fear": (-0.6, 0.6),
    "disgust": (-0.6, 0.35),
    "sadness": (-0.6, -0.25),
    "positive": (0.6, 0.3),
    "negative": (-0.6, 0.1),
}

VALENCE_CLASSES = ("negative", "neutral", "positive")


def plane(words: Iterable[str]) -> Plane:
    """The part of the unified table that a corpus needs."""
    return {word: AFFECT[word] for word in words}


def on_grid(cells: Mapping[str, tuple[int, int]]) -> Plane:
    """EMOD's cells 0..8 (EMOD, AAAI 2026: 9 x 9 grid of valence and arousal) in [-1, 1]."""
    return {word: ((v - 4) / 4, (a - 4) / 4) for word, (v, a) in cells.items()}


def affect_of(label: str | None) -> tuple[float | None, float | None]:
    """(valence, arousal) of an emotion word; (None, None) for a word that is none."""
    return AFFECT.get(label, (None, None)) if label is not None else (None, None)


def valence_class(emotion: str) -> str | None:
    """`negative`, `neutral` or `positive` for a word of the table; None for surprise (neither) and other words."""
    if emotion not in AFFECT or emotion == "surprise":
        return None
    valence = AFFECT[emotion][0]
    return "neutral" if valence == 0 else "positive" if valence > 0 else "negative"
