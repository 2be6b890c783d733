"""Files made to the published layouts of corpora, small enough for tests.

Every module has `write(root, subjects=2) -> CorpusConfig`: it lays files below `root` as the publisher does (names,
keys, shapes, types, units, traps), with every session and every trial, and returns the configuration that reads them.
Where the layout fixes the length of trials, `facts.seconds` shortens them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from layouts import (
    amigos,
    deap_raw,
    dreamer,
    emoeeg_mc,
    faced_raw,
    folder,
    mahnob,
    mdjpt_mat,
    mdme,
    seed_family,
    thu_ep,
)
from mdjpt_platform.config import CorpusConfig

LAYOUTS: dict[str, Callable[[Path], CorpusConfig]] = {
    "seed_raw": seed_family.write_seed_raw,
    "seed_iv": seed_family.write_seed_iv,
    "seed_v": seed_family.write_seed_v,
    "seed_vii": seed_family.write_seed_vii,
    "seed_vii_raw": seed_family.write_seed_vii_raw,
    "mped": seed_family.write_mped,
    "mdjpt_seed_v": mdjpt_mat.write_single,
    **{layout: mdjpt_mat.write_merged(layout) for layout in mdjpt_mat.SHAPES},
    "amigos": amigos.write,
    "dreamer": dreamer.write,
    "folder": folder.write,
    "mdme": mdme.write,
    "thu_ep": thu_ep.write,
    "deap_raw": deap_raw.write,
    "emoeeg_mc_video": partial(emoeeg_mc.write, layout="emoeeg_mc_video"),
    "emoeeg_mc_imagery": partial(emoeeg_mc.write, layout="emoeeg_mc_imagery"),
    "emoeeg_mc_raw_video": partial(emoeeg_mc.write_raw, layout="emoeeg_mc_raw_video"),
    "emoeeg_mc_raw_imagery": partial(emoeeg_mc.write_raw, layout="emoeeg_mc_raw_imagery"),
    "faced_raw": faced_raw.write,
    "mahnob": mahnob.write,
}
"""Layout -> its writer; one line a corpus."""
