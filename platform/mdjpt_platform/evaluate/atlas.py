"""One map of all corpora of a run: do features lie together by corpus or by emotion? A picture, not a test."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from torch import nn

from mdjpt_platform.config import RunConfig
from mdjpt_platform.evaluate.features import encode
from mdjpt_platform.evaluate.windows import WindowStore, trials_of, window_table

SUBJECTS = 8
"""Of each corpus at most, for a map that can be read and is made in seconds."""


def atlas(
    models: Mapping[str, nn.Module | None], stores: Mapping[str, WindowStore], run: RunConfig, progress: bool = False
) -> pd.DataFrame:
    """Trial means of every encoder over every corpus, flattened to two components per encoder.

    Columns method, corpus, subject, label, x, y. Corpora that are read with windows of their own are left out, and so
    is band entropy: their features have no common axes.
    """
    parts = []
    config = run.evaluate.model_copy(update={"normalisation": "whole", "protocol": "strict"})
    together = {name: store for name, store in stores.items() if name not in run.evaluate.windows}
    for method, model in models.items():
        if model is None:
            continue
        means, rows = [], []
        for name, store in together.items():
            table = window_table(store, run.window)
            table = table[table["subject"].isin(sorted(table["subject"].unique())[:SUBJECTS])].reset_index(drop=True)
            values = encode(model, store, table, config, progress=progress)
            for at in trials_of(table):
                means.append(values[at].mean(0, dtype=np.float64))
                first = table.iloc[int(at[0])]
                rows.append({"corpus": name, "subject": f"{name} {first['subject']}", "label": first["label"]})
        every = np.stack(means)
        spread = every.std(0)
        flat = PCA(2, svd_solver="full").fit_transform((every - every.mean(0)) / np.where(spread > 0, spread, 1.0))
        parts.append(pd.DataFrame(rows).assign(method=method, x=flat[:, 0], y=flat[:, 1]))
    return pd.concat(parts, ignore_index=True)
