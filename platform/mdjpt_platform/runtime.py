"""(R) Joining or starting Ray, and refusing to run two versions of the code at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import ray
import ray.exceptions
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mdjpt_platform.code import sources
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.execution import ExecConfig

LOOPBACK = "127.0.0.1"


def connect(
    execution: ExecConfig, *, one_training: bool = False, meanwhile: Callable[[], object] | None = None
) -> bool:
    """Join the cluster of `exec.address` or RAY_ADDRESS, or start a private one on loopback with a token.

    Starts nothing when this process is connected. `one_training`: a private Ray that is started here lives for one
    training and goes without what only longer lives need: the dashboard, and the watch for a node that is taken away.
    `meanwhile` is called while the nodes are asked for their code. True: a private Ray for one training was started.
    Raises MdjptError: no cluster there, nodes with other code.
    """
    started = False
    if not ray.is_initialized():
        address = execution.address or os.environ.get("RAY_ADDRESS")
        started = one_training and not address
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
                    include_dashboard=False if one_training else None,
                    dashboard_host=LOOPBACK,
                    _node_ip_address=LOOPBACK,
                    log_to_driver=shown,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise MdjptError(f"Ray at {address or 'this machine'}: {error}; see `mdjpt doctor`") from error
        if started:
            # an actor of a second's start; the only node of a private Ray goes with everything else on it
            os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")

    def quietly() -> None:
        from ray.data import DataContext  # most of a second, so not before the nodes are asked

        context = DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        if meanwhile is not None:
            meanwhile()

    refuse_mixed_code(quietly)
    return started


def without_cleaner(trainer: Any) -> None:
    """Leave out the actor that frees what a dead training had reserved: a private Ray for one training dies with it.

    It asks the dashboard once a second, which such a Ray has not. Ray has no setting for this; where a coming version
    names its parts otherwise, nothing is left out.
    """
    made = getattr(trainer, "_create_default_callbacks", None)
    if made is not None:
        trainer._create_default_callbacks = lambda: [
            one for one in made() if type(one).__name__ != "PlacementGroupCleanerCallback"
        ]


def release() -> None:
    """Give back what a dead training had reserved, in a private Ray: without a cleaner, and all is that training's.

    Ray Train does so for a group that had started; of one that dies while it starts the reservation stays, and the next
    group would wait for it for ever.
    """
    for key, group in ray.util.placement_group_table().items():
        if group["state"] != "REMOVED":
            ray.util.remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(key))))


def refuse_mixed_code(meanwhile: Callable[[], object] | None = None) -> None:
    """Raises MdjptError: a node would import other sources than this process; both paths are named.

    A process that answers takes about a second to start: time for `meanwhile`.
    """
    where, expected = sources()
    remote = ray.remote(num_cpus=0)(sources)
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = [remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(n, soft=False)).remote() for n in alive]
    if meanwhile is not None:
        meanwhile()
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
