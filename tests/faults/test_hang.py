"""An exchange that one of two real processes never joins: said within the set time, and who is absent."""

from __future__ import annotations

import os
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from torch import distributed

from faults.processes import server
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.hang import named

PATIENCE = 1.0


def process(rank: int, meet: str, comes: bool, pipe: Connection) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=2, timeout=timedelta(seconds=PATIENCE)
    )
    said = "nothing"
    if comes:
        try:
            with named(Context(rank, 2, patience=PATIENCE), "step 3"):
                distributed.all_reduce(torch.ones(4))
        except MdjptError as error:
            said = str(error)
    pipe.send(said)
    pipe.recv()  # stays, alive, until the other has given up
    distributed.destroy_process_group()


def both(meet: Path, second_comes: bool) -> list[str]:
    context = server()
    ends = [context.Pipe() for _ in range(2)]
    arguments = [(0, str(meet), True, ends[0][1]), (1, str(meet), second_comes, ends[1][1])]
    running = [context.Process(target=process, args=some) for some in arguments]
    for one in running:
        one.start()
    try:
        assert all(here.poll(120) for here, _ in ends), "a process says nothing at all"
        said = [here.recv() for here, _ in ends]
        for here, _ in ends:
            here.send(None)
        return said
    finally:
        for one in running:
            one.join(30)
            if one.is_alive():
                one.kill()


def test_who_does_not_come_is_named(tmp_path: Path) -> None:
    first, second = both(tmp_path / "meet", second_comes=False)
    assert second == "nothing"
    assert first.startswith("step 3: rank 0 of 2 waited 1 s for the other workers (exec.collective_timeout)"), first
    assert "did not come: rank 1" in first and "`ray status`" in first and "\n" not in first


def test_an_exchange_that_ends_says_nothing(tmp_path: Path) -> None:
    assert both(tmp_path / "meet", second_comes=True) == ["nothing", "nothing"]


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"), named(Context(0, 2), "step 0"):
        raise RuntimeError("shape")
    with pytest.raises(RuntimeError, match="Timed out"), named(Context(), "step 0"):
        raise RuntimeError("Timed out waiting")
