"""(R) Joining or starting Ray, and refusing to run two versions of the code at once."""

from __future__ import annotations

import logging
import os

import ray
import ray.data
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mdjpt_platform.code import sources
from mdjpt_platform.config import ExecConfig
from mdjpt_platform.errors import MdjptError

LOOPBACK = "127.0.0.1"


def connect(execution: ExecConfig) -> None:
    """Join the cluster of `exec.address` or RAY_ADDRESS, or start a private one on loopback with a token.

    Does nothing when this process is connected. Raises MdjptError: no cluster there, nodes with other code.
    """
    if not ray.is_initialized():
        address = execution.address or os.environ.get("RAY_ADDRESS")
        # Train polls its workers this often; its default of 2 s is what every report costs.
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        try:
            shown = execution.worker_logs
            if address:
                ray.init(address=address, log_to_driver=shown, logging_level=logging.ERROR)
            else:
                ray.init(
                    address="local",
                    num_cpus=execution.cpus,
                    dashboard_host=LOOPBACK,
                    _node_ip_address=LOOPBACK,
                    log_to_driver=shown,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise MdjptError(f"Ray at {address or 'this machine'}: {error}; see `mdjpt doctor`") from error
    quiet = ray.data.DataContext.get_current()
    quiet.enable_progress_bars = quiet.print_on_execution_start = False
    refuse_mixed_code()


def refuse_mixed_code() -> None:
    """Raises MdjptError: a node would import other sources than this process; both paths are named."""
    where, expected = sources()
    remote = ray.remote(num_cpus=0)(sources)
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = [remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(n, soft=False)).remote() for n in alive]
    for node, answer in zip(alive, asked, strict=True):
        try:
            there, found = ray.get(answer)
        except (ray.exceptions.RayError, RuntimeError) as error:
            raise MdjptError(
                f"node {node[:8]} cannot import the code that this process imports from {where} "
                f"({str(error).strip().splitlines()[-1]}); submit with --working-dir or install it there"
            ) from error
        if found != expected:
            raise MdjptError(
                f"mixed code: node {node[:8]} imports {there} (sources {found}), this process imports {where} "
                f"(sources {expected}); submit with --working-dir or install one version everywhere"
            )
