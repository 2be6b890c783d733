"""An exchange between processes that does not end: who did not come, at which step, and where to look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from torch import distributed

from mdjpt_platform.errors import MdjptError
from mdjpt_platform.train.context import Context

ROLL_CALL = timedelta(seconds=5)
"""How long the others have to say that they wait too."""
_TIMEOUT = re.compile("time[d ]*out", re.IGNORECASE)


@contextmanager
def named(context: Context, when: str) -> Iterator[None]:
    """Around what waits for other processes. Raises MdjptError: it waited longer than `context.patience`.

    NCCL ends the process itself where an exchange times out; then Ray says which worker died.
    """
    try:
        yield
    except RuntimeError as error:
        if context.world == 1 or not _TIMEOUT.search(str(error)):
            raise
        absent = _absent(context, when)
        who = f"did not come: rank {', '.join(map(str, absent))}" if absent else "all came, so it is the network"
        raise MdjptError(
            f"{when}: rank {context.rank} of {context.world} waited {context.patience:g} s for the other workers "
            f"(exec.collective_timeout); {who}. See whether its node is alive (`ray status`) and what its process does "
            "(its log, `ray stack`), and whether the nodes reach each other on every port"
        ) from error


def _absent(context: Context, when: str) -> list[int]:
    """Ranks that do not say they wait. All, but this one, where the process that keeps the list does not answer."""
    found = []
    for rank in range(context.world):
        try:
            store = distributed.distributed_c10d._get_default_store()
            if rank == 0:
                store.set(f"mdjpt/{when}/{context.rank}", "waits")
            store.wait([f"mdjpt/{when}/{rank}"], ROLL_CALL)
        except (RuntimeError, ValueError):  # DistStoreError, DistNetworkError
            found.append(rank)
    return [rank for rank in found if rank != context.rank]
