"""Pre-training as a user starts it: in this one process, or by Ray's workers."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
import yaml
from filelock import FileLock, Timeout

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.operations import manifest
from mdjpt_platform.operations.logs import logged
from mdjpt_platform.plain import object_of
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.elastic import refuse_workers
from mdjpt_platform.train.feed import from_this_node, refuse_fetch
from mdjpt_platform.train.loop import Trained, local_rows, run_identity, share, train
from mdjpt_platform.train.notice import noticed
from mdjpt_platform.train.prepared import Prepared, open_stores, prepare_plan
from mdjpt_platform.train.process import METRICS, describe_process, opened_logs, placed
from mdjpt_platform.train.progress import Watching


@dataclass(frozen=True)
class Pretraining:
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


def pretrain(config: Config, *, parent_run_id: str | None = None, hooks: Context | None = None) -> Pretraining:
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
        return Pretraining(folder, identity, _finished(result), False)
    about = _describe(config, folder, identity, fingerprints)
    total = config.run.train.epochs * config.run.train.steps
    run: Callable[[Config, Prepared, Path, str, str | None], Trained] = partial(_alone, hooks=hooks or Context())
    if config.exec.engine == "ray":
        from mdjpt_platform.train.trainer import with_ray as run
    with _alone_in(folder):
        with Watching(folder / METRICS, total, config.exec.progress):
            manifest.begin(folder, about)
            trained = run(config, prepared, folder, identity, parent_run_id)
        trained = replace(trained, last=_last_epoch(folder / METRICS))
        manifest.amend(folder, weights=trained.weights_sha256, ended=time.time())
        write_atomic(result, json.dumps(asdict(trained), indent=1).encode())
        shutil.rmtree(folder / "ray", ignore_errors=True)
    return Pretraining(folder, identity, trained, True)


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
    context = placed(hooks, config, device)
    rows = local_rows(prepared, 0, 1, total)
    feed = from_this_node(config.exec, prepared, rows, share(config.run, 1), device)
    logs = opened_logs(config, prepared.sizes, folder, identity, 0, parent)
    describe_process(config, folder)
    with logged(folder, identity, 0), noticed(folder) as told:
        context = replace(context, notice=lambda: "stop" if told.is_set() else hooks.notice())
        return train(config.run, prepared.sizes, feed, folder, context, logs, config.exec.keep_checkpoints)
