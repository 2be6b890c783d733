"""Public corpora: what they are (`Facts`) and how their files become signals with trials.

A new corpus is one file with a `CORPUS`, and one line in `CORPORA`.
"""

from __future__ import annotations

from mdjpt_platform.corpora import (
    amigos,
    bids,
    deap,
    deap_raw,
    dreamer,
    eegmat,
    emoeeg_mc,
    emoeeg_mc_raw,
    faced,
    faced_raw,
    feis,
    folder,
    mahnob,
    mdjpt_mat,
    mdme,
    mped,
    seed,
    seed_iv,
    seed_raw,
    seed_v,
    seed_vii,
    seed_vii_raw,
    ssvep_exo,
    thu_ep,
)
from mdjpt_platform.corpora.affect import AFFECT, affect_of
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial, classes_of

CORPORA: dict[str, Corpus] = {
    "seed": seed.CORPUS,
    "seed_raw": seed_raw.CORPUS,
    "seed_iv": seed_iv.CORPUS,
    "seed_v": seed_v.CORPUS,
    "seed_vii": seed_vii.CORPUS,
    "seed_vii_raw": seed_vii_raw.CORPUS,
    "faced": faced.CORPUS,
    "faced_raw": faced_raw.CORPUS,
    "thu_ep": thu_ep.CORPUS,
    "deap": deap.CORPUS,
    "deap_raw": deap_raw.CORPUS,
    "dreamer": dreamer.CORPUS,
    "amigos": amigos.CORPUS,
    "mahnob": mahnob.CORPUS,
    "emoeeg_mc_video": emoeeg_mc.VIDEO,
    "emoeeg_mc_imagery": emoeeg_mc.IMAGERY,
    "emoeeg_mc_raw_video": emoeeg_mc_raw.VIDEO,
    "emoeeg_mc_raw_imagery": emoeeg_mc_raw.IMAGERY,
    "mped": mped.CORPUS,
    "mdme": mdme.CORPUS,
    **mdjpt_mat.CORPORA,
    "bids": bids.CORPUS,
    "folder": folder.CORPUS,
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
