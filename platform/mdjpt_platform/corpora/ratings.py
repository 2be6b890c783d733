"""Labels cut out of a subject's own ratings of valence and arousal."""

from __future__ import annotations

QUADRANTS = ("HAHV", "LAHV", "LALV", "HALV")
"""High or low arousal, high or low valence."""
OWN: dict[str, tuple[str, ...]] = {
    "own_valence": ("negative", "positive"),
    "own_arousal": ("low", "high"),
    "own_quadrant": QUADRANTS,
}
"""Label schemes that go by the subject's own ratings."""


def own_label(scheme: str, valence: float | None, arousal: float | None, *, middle_is_high: bool) -> str | None:
    """Class in a scheme of OWN; None without the ratings it needs.

    Ratings in [-1, 1], cut at 0: the middle of the scale, which corpora customarily count as high or as low.
    """

    def high(rating: float) -> bool:
        return rating > 0 or (middle_is_high and rating == 0)

    if scheme == "own_valence":
        return None if valence is None else "positive" if high(valence) else "negative"
    if scheme == "own_arousal":
        return None if arousal is None else "high" if high(arousal) else "low"
    if valence is None or arousal is None:
        return None
    return ("HA" if high(arousal) else "LA") + ("HV" if high(valence) else "LV")
