"""Public corpora: what they are (`Facts`) and how their files become signals with trials.

A new corpus is one file with a `CORPUS`, and one line in `CORPORA`.
"""

from __future__ import annotations

from mdjpt_platform.corpora import bids, deap, eegmat, faced, feis, seed, ssvep_exo
from mdjpt_platform.corpora.affect import AFFECT, affect_of
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial, classes_of

CORPORA: dict[str, Corpus] = {
    "seed": seed.CORPUS,
    "faced": faced.CORPUS,
    "deap": deap.CORPUS,
    "bids": bids.CORPUS,
    "ssvep_exo": ssvep_exo.CORPUS,
    "eegmat": eegmat.CORPUS,
    "feis": feis.CORPUS,
}

__all__ = [
    "AFFECT",
    "CORPORA",
    "Corpus",
    "Facts",
    "Recording",
    "Segment",
    "Stimulus",
    "Trial",
    "affect_of",
    "classes_of",
]
