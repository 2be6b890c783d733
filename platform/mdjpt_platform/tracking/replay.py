"""Bring MLflow up to date from a run's JSON-lines log, after the server was away."""

from __future__ import annotations

from pathlib import Path

from mdjpt_platform.errors import MdjptError
from mdjpt_platform.tracking.mlflow import MlflowSink, refusals
from mdjpt_platform.tracking.names import brief
from mdjpt_platform.tracking.sink import Status, read_events, read_jsonl


def replay(
    jsonl: str | Path, uri: str, experiment: str, run_name: str, identity: str, *, parent_run_id: str | None = None
) -> int:
    """Send what MLflow lacks of a run's log; gives the number of values sent. The second time that is 0.

    The run ends with the status of the log's last `close`; without one it stays open.
    Raises BadInput: the log cannot be read; MdjptError: MLflow does not take it.
    """
    jsonl = Path(jsonl)
    records, events = read_jsonl(jsonl), read_events(jsonl)
    sink = MlflowSink(uri, experiment, run_name, identity, parent_run_id=parent_run_id)
    status: Status | None = None
    for event in events:
        values = event["values"]
        if event["event"] == "params":
            sink.outbox.stage(params=values)
        elif event["event"] == "tags":
            sink.outbox.stage(tags=values)
        elif event["event"] == "artifact":
            sink.outbox.stage(files=[jsonl.absolute().parent / values["path"]])
        elif event["event"] == "close":
            status = values["status"]
    try:
        sink.send()
        sent = 0
        for record in records:
            step, seconds, epoch = record.pop("step"), record.pop("time"), record.pop("epoch")
            sent += sink.outbox.queue(step, record, seconds, epoch=epoch)
        sink.send()
        if status is not None:
            sink.end(status)
    except refusals() as error:
        raise MdjptError(
            f"MLflow at {uri} does not take {jsonl}: {brief(error)}. The log is kept; replay again"
        ) from None
    return sent
