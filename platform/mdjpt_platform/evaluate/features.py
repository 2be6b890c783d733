"""Frozen features of windows, each window normalised by its own subject's recording.

The released code normalises halves of whatever 64 windows follow each other (MLLA_new.py:55, CNN_Attention.py:256-257),
so that a feature changed with its batch companions (SYSTEMS 1.13, 10). Here the statistics are those of a whole
subject-session, of its past, or of other subjects, gathered layer by layer.
Shapes: B windows of a batch, F features, C channels (60, then virtual), N patches, M map features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdjpt_model.layers import (
    CACHE_BYTES,
    LayerStatistics,
    Tokens,
    by,
    gather,
    pool,
    read_features,
    statistics_of,
    still,
)
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.progress import progress_bar
from mdjpt_platform.evaluate.windows import Array, Rows, WindowStore, corpus_name, cut, groups, require_finite
from mdjpt_platform.families import FAMILIES, refuse_corpus

Group = tuple[str, int]


def encode(
    model: nn.Module,
    store: WindowStore,
    table: pd.DataFrame,
    config: EvaluateConfig,
    *,
    frozen: LayerStatistics | None = None,
    progress: bool = False,
    cache_bytes: int = CACHE_BYTES,
) -> Array:
    """Features of all windows of the table, [n, M], in its order.

    `config.normalisation`: `whole` takes a subject-session's own statistics, `causal` those of its windows so far,
    `frozen` the given ones (see `group_statistics` and `layers.mean_statistics`). Batches never mix groups, so neither
    other subjects nor the batch size change a feature (the latter to rounding). `protocol: published` with a model
    whose spec says `batch_halves` reproduces the released grouping. A model that normalises by no group gives its own
    features, and none of this applies.
    Raises BadInput: a group of a single window, a signal or feature that is not finite, frozen statistics absent.
    """
    out: Array | None = None
    with progress_bar(len(table), f"features of {corpus_name(store)}", progress) as advance, still(model):
        for at, values in _encoded(model, store, table, config, frozen, cache_bytes):
            part = values.float().cpu().numpy()
            require_finite(part, store, table, at, "features")
            out = np.empty((len(table), part.shape[1]), np.float32) if out is None else out
            out[at] = part
            advance(len(at))
    if out is None:
        raise BadInput(corpus_name(store), "windows", "none", "at least two of every subject and session")
    return out


def group_statistics(
    model: nn.Module,
    store: WindowStore,
    table: pd.DataFrame,
    config: EvaluateConfig,
    *,
    progress: bool = False,
    cache_bytes: int = CACHE_BYTES,
) -> dict[Group, LayerStatistics]:
    """Statistics of every (subject, session) by itself: the first half of `normalisation: frozen`."""
    stages: Any = model
    found: dict[Group, LayerStatistics] = {}
    with progress_bar(len(table), f"statistics of {corpus_name(store)}", progress) as advance, still(model):
        for name, at in _checked_groups(store, table).items():
            found[name] = statistics_of(stages, _tokens(stages, store, table, at, config.batch, cache_bytes))
            advance(len(at))
    return found


def by_group(model: nn.Module) -> bool:
    """Whether the model's features depend on statistics of the window's subject-session."""
    spec: Any = getattr(model, "spec", None)
    return spec is None or FAMILIES[spec.family].by_group


def _encoded(
    model: nn.Module,
    store: WindowStore,
    table: pd.DataFrame,
    config: EvaluateConfig,
    frozen: LayerStatistics | None,
    cache_bytes: int,
) -> Iterator[tuple[Rows, Tensor]]:
    """(positions, features) batch by batch."""
    stages: Any = model
    if not by_group(model):
        refuse_corpus(stages.spec, corpus_name(store), store.channels, int(table["samples"].iloc[0]), store.rate)
        device = next(model.parameters()).device
        for begin in range(0, len(table), config.batch):
            at = np.arange(begin, min(begin + config.batch, len(table)))
            yield at, stages.features(torch.from_numpy(cut(store, table, at)).to(device), tuple(store.channels))
        return
    if _halves_wanted(model, config):
        yield from _batch_halves(stages, store, table, config)
        return
    if config.normalisation == "frozen" and frozen is None:
        raise BadInput("evaluate.normalisation", "frozen", "no statistics", "those of the training subjects")
    for at in _checked_groups(store, table).values():
        once = config.normalisation != "whole"  # one pass: nothing to keep
        tokens = _tokens(stages, store, table, at, config.batch, 0 if once else cache_bytes)
        read = read_features(stages, tokens, config.normalisation, config.feature, frozen)
        yield from zip((at[part] for part in tokens.parts), read, strict=True)


def _tokens(model: Any, store: WindowStore, table: pd.DataFrame, at: Rows, batch: int, budget: int) -> Tokens:
    """Token batches of the windows `at`."""
    device = next(model.parameters()).device

    def make(part: slice) -> Tensor:
        tokens: Tensor = model.tokens_first(torch.from_numpy(cut(store, table, at[part])).to(device), store.channels)
        return tokens

    return Tokens(make, len(at), batch, budget)


def _halves_wanted(model: nn.Module, config: EvaluateConfig) -> bool:
    spec: Any = getattr(model, "spec", None)
    wanted = config.protocol == "published" and spec is not None and spec.chosen.feature_groups == "batch_halves"
    if wanted and config.normalisation != "whole":
        raise BadInput(
            "evaluate.normalisation", "batch_halves", config.normalisation, "whole, as the released code has"
        )
    return wanted


def _batch_halves(
    stages: Any, store: WindowStore, table: pd.DataFrame, config: EvaluateConfig
) -> Iterator[tuple[Rows, Tensor]]:
    """The released grouping: subject, session, trial, window in rows of `config.batch`, each cut into halves."""
    order = table.reset_index(drop=True).sort_values(["subject", "session", "trial", "start"], kind="stable")
    at = order.index.to_numpy(np.int64)
    if len(at) % config.batch == 1:
        raise BadInput(corpus_name(store), "evaluate.batch", f"{config.batch}, which leaves one window over", "another")
    tokens = _tokens(stages, store, table, at, config.batch, 0)
    for part, batch in zip(tokens.parts, tokens, strict=True):
        yield at[part], pool(stages.maps(_halves(stages.latent(_halves(batch)))), config.feature)


def _halves(x: Tensor) -> Tensor:
    """Each half by itself; an odd last window stays as it is (as released)."""
    half = len(x) // 2
    parts = [x[:half], x[half : 2 * half]]
    return torch.cat([by(gather([part]))(part) for part in parts] + [x[2 * half :]])


def _checked_groups(store: WindowStore, table: pd.DataFrame) -> dict[Group, Rows]:
    found = groups(table)
    for (subject, session), at in found.items():
        if len(at) < 2:
            raise BadInput(
                corpus_name(store),
                f"subject {subject} session {session}",
                "a single window",
                "at least two: its statistics normalise it",
            )
    return found
