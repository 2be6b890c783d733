"""MLflow as a mirror of the JSON-lines log: it may be late or absent, and training goes on.

Facts this rests on (MLflow 3.17): fresh SQLite databases must be created by one process before others open them;
an unreachable server costs minutes at the default time-outs; a server takes 1000 metrics or 100 parameters a request.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mdjpt_platform.errors import masked
from mdjpt_platform.operations.logs import event
from mdjpt_platform.tracking.names import brief, clean_name, patience, sqlite_file
from mdjpt_platform.tracking.names import tracking_uri as tracking_uri
from mdjpt_platform.tracking.outbox import Outbox, batches
from mdjpt_platform.tracking.sink import Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

IDENTITY, LAST_STEP, PARENT = "mdjpt.identity", "mdjpt.last_step", "mlflow.parentRunId"
METRICS = 1000
"""Most values a request may carry."""
REQUEST_SECONDS, CLOSING_SECONDS, UPLOAD_SECONDS = 5, 15, 60
"""Time-outs: while training waits, when it is over, and for files."""
LEAST_SECONDS, EVERY_SECONDS = 5.0, 30.0
"""Between two sendings: least, and most while steps come in. Least is stretched by up to its double, at random: two
dozen runs that began together must not come to one database together, again and again."""
PAUSE_SECONDS = (15.0, 600.0)
"""After a failure no attempt for this long: first, and at most."""

log = logging.getLogger(__name__)


def initialise(uri: str, experiment: str, artifacts: Path | None = None) -> bool:
    """Create or upgrade the database and create the experiment: once, before any worker opens it.

    A database keeps files below `artifacts` (absent: `mlartifacts/` beside SQLite); a server decides for itself.
    Returns False, after a warning, where the server does not answer: the run goes on without it.
    """
    try:
        with patience(REQUEST_SECONDS):
            open_experiment(uri, experiment, artifacts)
    except refusals() as error:
        log.warning("MLflow at %s cannot be used (%s); runs log to JSON lines only", masked(uri), brief(error))
        return False
    return True


class MlflowSink:
    """One run in MLflow; the only writer of that run.

    The run is found by `identity` (tag `mdjpt.identity`) and parent and opened again, else created. Steps that it
    already holds are not sent twice. Nothing here raises for a server that is dead, slow or refuses: what could not
    be sent waits in memory, `behind` is True, one warning is logged, the next attempt comes after a pause, and
    `replay` can send the rest later from the JSON-lines log. `run_id` is None until the run could be opened.
    `artifacts`: as for `initialise`, for a database that nobody has created yet.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        run_name: str,
        identity: str,
        *,
        parent_run_id: str | None = None,
        artifacts: Path | None = None,
    ) -> None:
        if not re.fullmatch(r"[\w.:\-]+", identity):
            raise ValueError(f"identity must be a hash or a plain word, found {identity!r}")
        self.uri, self.experiment, self.run_name, self.identity = uri, experiment, run_name, identity
        self.parent_run_id, self.artifacts = parent_run_id, artifacts
        self.run_id: str | None = None
        self.behind = False
        self._client: MlflowClient | None = None
        self.outbox = Outbox()
        self._wait, self._quiet_until, self._closed = 0.0, 0.0, False
        self._epoch: int | None = None
        self._next = self._latest = -math.inf
        self._chance = random.Random()  # not the one that anybody's numbers come from

    def open(self) -> str | None:
        """Open the run before the first record; gives its id, or None where MLflow does not answer."""
        self._try()
        return self.run_id

    def log(
        self, step: int, values: dict[str, float], *, epoch: int | None = None, seconds: float | None = None
    ) -> None:
        """Line up the values of a step, the epoch among them; sent with a new epoch, every 5 s to 30 s.

        `seconds`: when they were measured, since 1970; absent: now.
        """
        self.outbox.queue(step, values, time.time() if seconds is None else seconds, epoch=epoch)
        fresh = epoch is None or epoch != self._epoch
        if time.monotonic() >= (self._next if fresh else self._latest):
            self._epoch = epoch
            self._try()

    def params(self, values: Mapping[str, Any]) -> None:
        """Send parameters, nested ones as `a.b`. A parameter the run already has keeps its first value."""
        self.outbox.stage(params=values)
        self._try()

    def tags(self, values: Mapping[str, str]) -> None:
        """Send tags."""
        self.outbox.stage(tags=values)
        self._try()

    def artifact(self, path: Path) -> None:
        """Send a file, or a folder under its own name."""
        self.outbox.stage(files=[path])
        self._try()

    def close(self, status: Status = "FINISHED") -> None:
        """Try once more to send what waits, then end the run."""
        if self._closed:
            return
        self._closed, self._quiet_until = True, 0.0
        self._try()
        self._quiet_until = 0.0
        if self.run_id is not None:
            self._try(status)
        if self.behind:
            log.warning(
                "MLflow at %s lacks a part of run %s; replay its JSON-lines log", masked(self.uri), self.run_name
            )

    def send(self) -> None:
        """Send everything that waits. Raises what MLflow raises (`refusals`); what was not sent still waits."""
        with patience(CLOSING_SECONDS if self._closed else REQUEST_SECONDS):
            client, run_id = self._opened()
            from mlflow.entities import Metric, Param, RunTag

            waiting = self.outbox
            for some in batches(waiting.params):
                client.log_batch(run_id, params=[Param(*item) for item in some.items()])
                waiting.skip({}, set(some))
            while waiting.metrics:
                points = [Metric(key, value, stamp, step) for key, value, step, stamp in waiting.metrics[:METRICS]]
                last = RunTag(LAST_STEP, str(max(point.step for point in points)))
                client.log_batch(run_id, metrics=points, tags=[last])
                del waiting.metrics[:METRICS]
            for some in batches(waiting.tags):
                client.log_batch(run_id, tags=[RunTag(*item) for item in some.items()])
            waiting.tags = {}
        with patience(UPLOAD_SECONDS):
            while waiting.files:
                _upload(client, run_id, waiting.files[0])
                del waiting.files[0]

    def end(self, status: Status) -> None:
        """Give the run its end. Raises what MLflow raises."""
        with patience(CLOSING_SECONDS):
            client, run_id = self._opened()
            client.set_terminated(run_id, status)

    def _try(self, status: Status | None = None) -> None:
        """Send, or end the run; a failure is remembered and postpones the next attempt."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            if status is None:
                self.send()
                if self.behind:
                    event("tracking_back", server=masked(self.uri))
                self.behind, self._wait = False, 0.0
                self._next = time.monotonic() + LEAST_SECONDS * (1 + self._chance.random())
                self._latest = time.monotonic() + EVERY_SECONDS
            else:
                self.end(status)
        except refusals() as error:
            if not self.behind:
                log.warning(
                    "MLflow at %s: %s. Training goes on; the JSON-lines log is whole", masked(self.uri), brief(error),
                    extra={"event": "tracking_lost", "fields": {"server": masked(self.uri)}},
                )  # fmt: skip
            self.behind = True
            self._wait = min(max(2 * self._wait, PAUSE_SECONDS[0]), PAUSE_SECONDS[1])
            self._quiet_until = time.monotonic() + self._wait

    def _opened(self) -> tuple[MlflowClient, str]:
        """The client and the run; the first time the run is searched, opened again or created."""
        if self._client is not None and self.run_id is not None:
            return self._client, self.run_id
        client, experiment_id = open_experiment(self.uri, self.experiment, self.artifacts)
        # the oldest: a request that seemed lost may have created a second one
        same = client.search_runs(
            [experiment_id], f"tags.`{IDENTITY}` = '{self.identity}'", order_by=["attributes.start_time ASC"]
        )
        found = [run for run in same if run.data.tags.get(PARENT) == self.parent_run_id]
        if found:
            run_id = found[0].info.run_id
            held = found[0].data
            steps = {key: {point.step for point in client.get_metric_history(run_id, key)} for key in held.metrics}
            self.outbox.skip(steps, set(held.params))
            client.update_run(run_id, status="RUNNING")
        else:
            tags = {IDENTITY: self.identity} | ({PARENT: self.parent_run_id} if self.parent_run_id else {})
            run_id = client.create_run(experiment_id, tags=tags, run_name=self.run_name).info.run_id
        self._client, self.run_id = client, run_id
        return client, run_id


def open_experiment(uri: str, name: str, artifacts: Path | None = None) -> tuple[MlflowClient, str]:
    """A client, and the experiment's id; both are created where absent, under a lock where the database is a file."""
    database = sqlite_file(uri)
    if database is None:
        client = _client(uri)
        location = None if artifacts is None or uri.startswith("http") else (artifacts / clean_name(name)).as_uri()
        return client, _experiment_id(client, name, location)
    database.parent.mkdir(parents=True, exist_ok=True)
    files = (artifacts or database.parent / "mlartifacts").absolute() / clean_name(name)
    with FileLock(f"{database}.lock", timeout=30):
        client = _client(uri)
        return client, _experiment_id(client, name, files.as_uri())


def _experiment_id(client: MlflowClient, name: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise error
    return str(found.experiment_id)


def _client(uri: str) -> MlflowClient:
    """A client that reports nothing home and stays quiet. A database is touched once before MLflow's own ten tries."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow's own use of SQLAlchemy; for good, since `catch_warnings` in a thread would undo what other threads set
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy|alembic)(\.|$)")
    from mlflow import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if re.match(r"(sqlite|postgresql|mysql|mssql)\b", uri):
        import sqlalchemy

        engine = sqlalchemy.create_engine(uri)
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
    return MlflowClient(tracking_uri=uri)


def _upload(client: MlflowClient, run_id: str, path: Path) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), artifact_path=path.name)
    elif path.is_file():
        client.log_artifact(run_id, str(path))
    else:
        log.warning("artifact %s is gone and was not sent to MLflow", path)


def refusals() -> tuple[type[Exception], ...]:
    """What a tracking server that is dead, slow, foreign or full can raise."""
    from google.protobuf.json_format import ParseError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, ParseError, Timeout, OSError, ImportError, json.JSONDecodeError
