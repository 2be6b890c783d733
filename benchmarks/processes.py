"""Bare gloo processes that measure together, and steps on made-up episodes for them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.config import RunConfig
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.plan import Draw, Row
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.step import EpisodeTerms, Stepper

SAMPLES = 625


def together(world: int, body: Callable[..., None], *arguments: Any) -> None:
    """`body(rank, world, *arguments)` in `world` new processes of one thread each, joined by gloo on the loopback.

    Raises RuntimeError: a process that failed.
    """
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="mdjpt-bench-") as folder:
        meet = str(Path(folder) / "meet")
        started = [spawn.Process(target=_enter, args=(rank, world, meet, body, arguments)) for rank in range(world)]
        for one in started:
            one.start()
        for one in started:
            one.join()
    if any(one.exitcode for one in started):
        raise RuntimeError(f"processes ended with {[one.exitcode for one in started]}")


def _enter(rank: int, world: int, meet: str, body: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=world, timeout=timedelta(minutes=10)
    )
    body(rank, world, *arguments)
    distributed.barrier()
    distributed.destroy_process_group()


def alternate(candidates: Mapping[str, Callable[[], object]], rounds: int, times: int = 1) -> dict[str, list[float]]:
    """Seconds of one call of every candidate in every round, mean of `times`, until the slowest process has done.

    All processes call this with the same names. One round before the first is not counted.
    """
    seconds: dict[str, list[float]] = {key: [] for key in candidates}
    for number in range(-1, rounds):
        for key, run in candidates.items():
            distributed.barrier()
            begin = time.perf_counter()
            for _ in range(times):
                run()
            distributed.barrier()
            if number >= 0:
                seconds[key].append((time.perf_counter() - begin) / times)
    return seconds


def nothing() -> None:
    """What a process does while another one works alone."""


def made_up_run(corpora: int, episodes: int, form: str = "slots", model: Mapping[str, Any] | None = None) -> RunConfig:
    """A run of the published sizes, K = `episodes`, over so many corpora that nobody has recorded."""
    names = [f"corpus{number}" for number in range(corpora)]
    tree = {
        "name": "made-up",
        "corpora": {name: {"layout": "seed"} for name in names},
        "sources": names,
        "train": {"episodes": episodes},
        "alignment": {"form": form},
        "model": dict(model or {}),
    }
    return parse(tree).run


def made_up_step(run: RunConfig, context: Context, windows: int) -> Callable[[], None]:
    """One optimiser step of this process on noise: `windows` of every corpus an episode, two subjects' halves."""
    channels = dict.fromkeys(run.sources, UNIFIED)
    terms = EpisodeTerms(new_model(run), run, channels, dict.fromkeys(run.sources, windows))
    stepper = Stepper(context.wrap(terms), run, context)
    optimiser = torch.optim.Adam(terms.learned.parameters(), lr=run.optim.lr)
    mine = [_episode(run, slot, windows) for slot in range(context.rank, run.train.episodes, context.world)]

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        stepper.backward(mine)
        optimiser.step()

    return step


def _episode(run: RunConfig, slot: int, windows: int) -> Episode:
    noise = torch.Generator().manual_seed(slot)
    half = np.zeros(windows // 2, np.int64)
    return Episode(
        Row(0, slot, dict.fromkeys(run.sources, Draw(half, half, half, half))),
        {name: torch.randn(windows, len(UNIFIED), SAMPLES, generator=noise) for name in run.sources},
        {name: torch.zeros(windows, dtype=torch.long) for name in run.sources},
        {name: torch.zeros(windows, 2) for name in run.sources},
    )
