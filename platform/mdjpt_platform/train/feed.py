"""Where the episodes of a training process come from: `exec.fetch` and `exec.resident`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import torch

from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.local import prefetch
from mdjpt_platform.data.plan import Row
from mdjpt_platform.data.resident import gathered, hold
from mdjpt_platform.errors import BadInput
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.train.prepared import Prepared

Feed = Callable[[int], Generator[Episode]]
"""The process' episodes from a step on, on its device."""


def refuse_fetch(execution: ExecConfig) -> None:
    """Raises BadInput: a way to fetch windows that does not go with how the run is carried out."""
    if execution.fetch == "local":
        return
    if execution.engine != "ray":
        raise BadInput("configuration", "exec.fetch", f"stream with exec.engine {execution.engine}",
                       "engine ray, which carries the windows; or fetch local")  # fmt: skip
    if execution.resident:
        raise BadInput("configuration", "exec.resident", "true with exec.fetch stream",
                       "fetch local: what is resident is read once, and nothing is left to stream")  # fmt: skip


def from_this_node(
    execution: ExecConfig, prepared: Prepared, rows: Callable[[int], Iterator[Row]], held: int, device: torch.device
) -> Feed:
    """Episodes of the rows out of stores that this process reads; the last `held` stay valid.

    Raises BadInput: `exec.resident`, and the signals are larger than what is free on the device.
    """
    if execution.resident:
        signals = hold(prepared.stores, device)
        return lambda start: gathered(rows(start), signals, prepared.length)
    most = prepared.plan.windows
    return lambda start: prefetch(rows(start), prepared.stores, prepared.length, most, held, device)
