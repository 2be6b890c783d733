"""(R) Pre-training as a user starts it: the only TorchTrainer, and the same loop in one process without it."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from filelock import FileLock, Timeout

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.plan import Row
from mdjpt_platform.errors import BadInput, MdjptError, Preempted
from mdjpt_platform.hardware import hardware
from mdjpt_platform.objects import is_uri
from mdjpt_platform.operations import manifest
from mdjpt_platform.operations.logs import logged
from mdjpt_platform.plain import object_of
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import MetricSink, Tee, open_sinks, read_jsonl
from mdjpt_platform.tracking.announce import announced
from mdjpt_platform.tracking.names import tracking_uri
from mdjpt_platform.train.context import Context, Notice
from mdjpt_platform.train.elastic import persevere, refuse_workers, start_again
from mdjpt_platform.train.feed import from_this_node, refuse_fetch
from mdjpt_platform.train.loop import Trained, local_rows, run_identity, share, train
from mdjpt_platform.train.notice import noticed, watching
from mdjpt_platform.train.prepared import Prepared, Sizes, open_stores, prepare_plan
from mdjpt_platform.train.progress import Watching

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Pretrained:
    """A finished pre-training."""

    folder: Path
    identity: str
    trained: Trained
    fresh: bool
    """False: it had been finished before and nothing was done."""


def identity_of(config: Config, fingerprints: dict[str, str]) -> str:
    """Hash of everything that decides the weights: configuration, data, version."""
    return run_identity(config.run, fingerprints)


def run_folder(config: Config, identity: str) -> Path:
    """Where a pre-training keeps everything."""
    return Path(config.exec.runs).resolve() / f"{config.run.name}-{identity}"


def pretrain(config: Config, *, parent_run_id: str | None = None, hooks: Context | None = None) -> Pretrained:
    """Pre-train, resume, or return the finished result of the same configuration on the same data.

    `parent_run_id`: MLflow run, a study's, that this one's belongs under. `hooks`: `report`, `measure` and `notice` of
    it are called, in engine `local`.
    Raises BadInput: stores, windows, pairs or worker count that do not fit; MdjptError: the training failed; Preempted:
    SIGTERM came, and everything is kept.
    """
    share(config.run, config.exec.workers if config.exec.engine == "ray" else 1)
    refuse_fetch(config.exec)
    refuse_workers(config)
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=True))
    fingerprints = {name: store.fingerprint for name, store in prepared.stores.items()}
    identity = identity_of(config, fingerprints)
    folder = run_folder(config, identity)
    result = folder / "result.json"
    if result.exists():
        return Pretrained(folder, identity, _finished(result), False)
    about = _describe(config, folder, identity, fingerprints)
    total = config.run.train.epochs * config.run.train.steps
    run = _with_ray if config.exec.engine == "ray" else partial(_alone, hooks=hooks or Context())
    with _alone_in(folder):
        with Watching(folder / METRICS, total, config.exec.progress):
            manifest.begin(folder, about)
            trained = run(config, prepared, folder, identity, parent_run_id)
        trained = replace(trained, last=_last_epoch(folder / METRICS))
        manifest.amend(folder, weights=trained.weights_sha256, ended=time.time())
        write_atomic(result, json.dumps(asdict(trained), indent=1).encode())
        shutil.rmtree(folder / "ray", ignore_errors=True)
    return Pretrained(folder, identity, trained, True)


def _finished(path: Path) -> Trained:
    """What a finished training left. Raises BadInput: damaged."""
    tree = object_of(path, ["weights_sha256", "steps", "resumed_at"])
    last = tree.get("last", {})
    if not isinstance(last, dict) or not all(isinstance(value, int | float) for value in last.values()):
        raise BadInput(path, "last", "something else", "numbers by name")
    return Trained(str(tree["weights_sha256"]), tree["steps"], tree["resumed_at"], last)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Raises MdjptError: another process trains this very run now. A process that dies lets go of the lock."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=1)
    except Timeout:
        raise MdjptError(f"{folder}: another process is training this run; wait for it or end it") from None
    try:
        yield
        # a finished run needs none, and would leave one for ever; who waits for this very file finds no step left
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def _last_epoch(path: Path) -> dict[str, float]:
    """Means over the last epoch of the log, which also holds what was trained before an interruption."""
    records = read_jsonl(path)
    last = max((record["epoch"] for record in records), default=None)
    final = [record for record in records if record["epoch"] == last]
    names = [name for name in (final[0] if final else ()) if "/" in name]
    return {name: sum(record[name] for record in final) / len(final) for name in names}


def _describe(config: Config, folder: Path, identity: str, fingerprints: dict[str, str]) -> manifest.Manifest:
    """Write run.yaml; the manifest is for who has the folder's lock to write."""
    run = yaml.safe_dump(config.run.model_dump(mode="json"), sort_keys=False).encode()
    steps = config.run.train.epochs * config.run.train.steps
    try:
        write_atomic(folder / "run.yaml", run)
    except OSError as error:
        raise BadInput(config.exec.runs, "exec.runs", error.strerror, "a writable folder") from None
    return manifest.describe("pretraining", config, identity, run, fingerprints, steps=steps)


def _alone(
    config: Config, prepared: Prepared, folder: Path, identity: str, parent: str | None, hooks: Context
) -> Trained:
    if config.exec.threads is not None:
        torch.set_num_threads(config.exec.threads)
    total = config.run.train.epochs * config.run.train.steps
    device = torch.device("cuda" if config.exec.gpu else "cpu")
    context = _placed(hooks, config, device)
    rows = local_rows(prepared, 0, 1, total)
    feed = from_this_node(config.exec, prepared, rows, share(config.run, 1), device)
    logs = _logs(config, prepared.sizes, folder, identity, 0, parent)
    _describe_process(config, folder)
    with logged(folder, identity, 0), noticed(folder) as told:
        context = replace(context, notice=lambda: "stop" if told.is_set() else hooks.notice())
        return train(config.run, prepared.sizes, feed, folder, context, logs, config.exec.keep_checkpoints)


def _describe_process(config: Config, folder: Path) -> None:
    """What only the process that trains knows of itself."""
    manifest.amend(folder, hardware=hardware(config.exec.gpu), threads=torch.get_num_threads())


def _placed(context: Context, config: Config, device: torch.device) -> Context:
    """The context of a process that trains on a device."""
    chosen = config.exec
    return replace(
        context, device=device, activations=chosen.activations, compiled=chosen.compile,
        patience=chosen.collective_timeout, stop_above=chosen.stop_above,
    )  # fmt: skip


def _logs(
    config: Config, sizes: Sizes, folder: Path, identity: str, rank: int, parent: str | None
) -> Callable[[int], MetricSink]:
    tags = {"mdjpt.kind": "pretraining", **{f"mdjpt.store.{n}": s for n, s in sizes.fingerprints.items()}}
    name = None if parent is None else f"{config.run.name}/pretraining/{identity}"
    path = folder / METRICS
    return lambda start: open_sinks(config, path, identity, start, rank, run_name=name, parent_run_id=parent, tags=tags)


def _with_ray(config: Config, prepared: Prepared, folder: Path, identity: str, parent: str | None) -> Trained:
    import ray
    import ray.exceptions

    from mdjpt_platform.runtime import connect, release, without_cleaner

    one = connect(config.exec, one_training=True, meanwhile=_load_train)

    import ray.train
    from ray.train.torch import TorchTrainer

    from mdjpt_platform.data.loader import episodes, whole
    from mdjpt_platform.data.stream import source
    from mdjpt_platform.train.group import Group
    from mdjpt_platform.train.observed import Restarts

    least = config.exec.workers_min or config.exec.workers
    need, there = least * config.exec.cpus_per_worker, ray.cluster_resources().get("CPU", 0)
    if need > there and config.exec.address is None and "RAY_ADDRESS" not in os.environ:
        raise BadInput("configuration", "exec.workers", f"{need:g} CPUs wanted", f"at most the {there:g} here")
    total = config.run.train.epochs * config.run.train.steps
    gpu = config.exec.gpu
    streamed = config.exec.fetch == "stream"
    parameters: dict[str, Any] = {
        "config": _absolute(config), "folder": str(folder), "identity": identity, "parent": parent,
        "stores": prepared.sizes.fingerprints,
        "stream": (source(prepared.plan, prepared.stores, prepared.length), prepared.sizes) if streamed else None,
    }  # fmt: skip
    each = {"CPU": config.exec.cpus_per_worker, **({"GPU": 1} if gpu else {})}
    # Ray's own elastic training takes any number of workers, also one that does not divide K
    elastic = config.exec.workers_min is not None
    retries = ray.train.FailureConfig(max_failures=config.exec.max_failures)
    if elastic:
        retries = cast(Any, ray.train.FailureConfig)(
            max_failures=0, controller_failure_limit=0, max_preemption_failures=0
        )

    def fit(workers: int) -> Any:
        trainer = TorchTrainer(
            cast(Any, _worker),  # the stubs are those of Train V1
            train_loop_config=parameters,
            datasets=None if streamed else dict(episodes(prepared.plan, 0, total)),
            dataset_config=whole(),
            torch_config=Group(timeout_s=math.ceil(config.exec.collective_timeout)),
            scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker=dict(each)),
            run_config=ray.train.RunConfig(
                # A name of its own each time: Ray would take a known name for a run to resume, our checkpoints do that.
                name=f"{identity}-{time.time_ns()}",
                storage_path=str(folder / "ray"),
                failure_config=retries,
                callbacks=cast(Any, [Restarts(folder, identity, retries.max_failures)]),
            ),
        )
        if one:
            without_cleaner(trainer)
        return trainer.fit()

    def room() -> int:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(int(min(node.get(name, 0) / amount for name, amount in each.items())) for node in alive)

    # a study has seen to MLflow before
    tracked = nullcontext() if parent is not None else announced(config.exec, folder / METRICS)
    try:
        with logged(folder, identity, "driver"), noticed(folder), tracked:
            failures = (ray.train.TrainingFailedError,)
            if elastic:
                outcome = persevere(fit, config, room, failures)
            else:
                workers, times = config.exec.workers, config.exec.max_failures
                tidy = release if one else lambda: None  # a cluster's cleaner does it (runtime.without_cleaner)
                outcome = start_again(lambda: fit(workers), times, _died_at_start, tidy)
    except ray.train.TrainingFailedError as error:
        raise MdjptError(f"training failed: {_cause(error)}; what was done is kept in {folder}") from error
    except (ray.exceptions.RayActorError, ray.exceptions.RaySystemError) as error:  # the controller's node died
        said = " ".join(str(error).split())[-300:]
        raise MdjptError(
            f"Ray has died: {said}; start the same command again, what was done is kept in {folder}"
        ) from error
    if not isinstance(outcome.return_value, dict):
        raise MdjptError(f"training ended without a result; what was done is kept in {folder}")
    if "preempted" in outcome.return_value:
        raise Preempted(outcome.return_value["preempted"])
    return Trained(**outcome.return_value)


def _load_train() -> None:
    """What the next lines import: a second and a half that Ray's first process needs to start anyway."""
    import ray.train.torch  # noqa: F401

    import mdjpt_platform.data.loader  # noqa: F401


def _died_at_start(error: Exception) -> bool:
    """Whether a training failed of a worker's death before its function ran: its own, or what it did to the others."""
    import ray.exceptions
    import ray.train

    return isinstance(error, ray.train.ControllerError) and isinstance(
        error.controller_failure, ray.exceptions.RayActorError | ray.exceptions.RayTaskError
    )


def _cause(error: BaseException) -> str:
    """The first line that says what happened: our own error if a worker raised one."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, MdjptError):
            return str(inner)
        failures = getattr(inner, "worker_failures", None) or {}
        for failure in failures.values():
            return _cause(failure)
        inner = getattr(inner, "cause", None) or inner.__cause__
    return (str(error).strip().splitlines() or [repr(error)])[-1]


def _absolute(config: Config) -> dict[str, Any]:
    """The configuration as a tree, with paths that mean the same in a worker's own working directory."""
    tree = config.run.model_dump(mode="json")
    execution = config.exec.model_dump(mode="json")
    for name in ("store", "runs"):
        execution[name] = execution[name] if is_uri(execution[name]) else str(Path(execution[name]).resolve())
    execution["mlflow"] = tracking_uri(config.exec) or "off"
    return {**tree, "exec": execution}


def _worker(parameters: dict[str, Any]) -> dict[str, Any]:
    """What every Ray Train worker runs."""
    import ray.train
    from ray.train.torch import get_device

    from mdjpt_platform.data.loader import shard
    from mdjpt_platform.data.stream import stream
    from mdjpt_platform.train.observed import RayGauges

    config = parse(parameters["config"])
    session = ray.train.get_context()
    if config.exec.threads is not None:
        torch.set_num_threads(config.exec.threads)
    context = Context(
        session.get_world_rank(),
        session.get_world_size(),
        report=lambda epoch, metrics: ray.train.report({"epoch": epoch, **metrics}),
        notice=_notices(Path(parameters["folder"])),
    )
    context = _placed(context, config, torch.device(get_device()))
    held, total = share(config.run, context.world), config.run.train.epochs * config.run.train.steps
    if parameters["stream"] is None:
        prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False, staged=True))
        sizes = prepared.sizes
        if sizes.fingerprints != parameters["stores"]:
            raise MdjptError("the stores that this node reads hold other data than those of the driver")

        def rows(start: int) -> Iterator[Row]:
            return shard(prepared.plan, start, context.rank, context.world)

        feed = from_this_node(config.exec, prepared, rows, held, context.device)
    else:
        source, sizes = parameters["stream"]
        slots = tuple(range(context.rank, config.run.train.episodes, context.world))

        def feed(start: int) -> Generator[Episode]:
            return stream(source, sizes.buffers, (start, total), slots, held, context.device)

    folder, identity = Path(parameters["folder"]), parameters["identity"]
    sinks = _logs(config, sizes, folder, identity, context.rank, parameters["parent"])

    def logs(start: int) -> MetricSink:
        return Tee(sinks(start), RayGauges(identity, context.rank))

    if context.rank == 0:
        _describe_process(config, folder)
    with logged(folder, identity, context.rank):
        try:
            return asdict(train(config.run, sizes, feed, folder, context, logs, config.exec.keep_checkpoints))
        except Preempted as told:  # no failure, which Ray would try again
            return {"preempted": str(told)}


def _notices(folder: Path) -> Callable[[], Notice]:
    """What a worker is told: by its driver to stop, by Ray once that a node of the training will be drained."""
    told, kept = watching(folder), False

    def notice() -> Notice:
        nonlocal kept
        if told():
            return "stop"
        if kept or not _draining():
            return ""
        kept = True
        return "keep"

    return notice


def _draining() -> bool:
    """Whether Ray has told this worker of a node to be drained. Its public question is a barrier of its own, asked in
    every step; ours goes with the step's exchange, so the worker's own flag is enough. A version without it: never.
    """
    try:
        from ray.train.v2._internal.execution.context import get_train_context

        return get_train_context().preemption_context.preemption_info is not None
    except (ImportError, AttributeError):
        return False
