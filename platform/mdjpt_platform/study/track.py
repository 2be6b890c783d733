"""A study in MLflow: one parent run, below it one run a pre-training and one a cell (docs/studies.md).

Nothing here decides anything: every number is in a log beside the ledger or in the pre-training's folder, and `replay`
sends what a tracking server missed.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mdjpt_platform.code import tags_of_code
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.plain import object_of
from mdjpt_platform.study.grid import Cell
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.run import Study, sink_of, status_of
from mdjpt_platform.tracking.mlflow import MlflowSink
from mdjpt_platform.tracking.names import tracking_uri
from mdjpt_platform.tracking.sink import JsonlSink, Tee

KIND = "mdjpt.kind"


def open_parent(study: Study) -> MlflowSink | None:
    """The study's own run, opened; None if tracking is off or does not answer (then `replay_study` brings it later)."""
    sink = sink_of(study)
    if sink is None:
        return None
    sink.outbox.stage(
        params=study.config.model_dump(mode="json"),
        tags={KIND: "study", "mdjpt.study": study.config.name, "mdjpt.cells": str(len(study.cells)), **tags_of_code()},
    )
    return sink if sink.open() is not None else None


def track_cell(
    study: str, cell: Cell, config: Config, ledger: Ledger, table: pd.DataFrame, pretraining: str,
    stores: dict[str, str], parent: str | None,
) -> None:  # fmt: skip
    """Mean scores of a cell and where it stands, to its log and to MLflow. A dead server costs nothing but a line."""
    log = ledger.cells / f"{cell.key}.jsonl"
    log.unlink(missing_ok=True)
    both = Tee(JsonlSink(log), *_mirror(config, f"{study}/cell/{cell.key}", cell.key, parent))
    both.params({"study": study, "place": dict(cell.place)})
    fingerprints = {f"mdjpt.store.{name}": value for name, value in stores.items()}
    both.tags({KIND: "cell", "mdjpt.study": study, "mdjpt.cell": cell.key, "mdjpt.pretraining": pretraining,
               **fingerprints, **tags_of_code()})  # fmt: skip
    means = table.groupby(["target", "method", "readout", "lds", "metric"])["value"].mean().dropna()
    both.log(
        config.run.train.epochs * config.run.train.steps,
        {f"score/{t}/{m}/{r}/lds_{lds}/{metric}": float(v) for (t, m, r, lds, metric), v in means.items()},
    )
    both.close("FINISHED")


def _mirror(config: Config, name: str, identity: str, parent: str | None) -> list[MlflowSink]:
    uri = tracking_uri(config.exec)
    return [] if uri is None else [MlflowSink(uri, config.exec.experiment, name, identity, parent_run_id=parent)]


def replay_study(study: Study) -> tuple[int, int]:
    """Send what MLflow lacks of a study: its own run, pre-trainings, cells. Gives (runs, values sent).

    Raises BadInput: tracking is off; MdjptError: MLflow does not answer.
    """
    from mdjpt_platform.tracking.replay import replay

    execution = study.base.exec
    uri = tracking_uri(execution)
    if uri is None:
        raise BadInput(study.config.name, "exec.mlflow", "off", "a tracking address")
    parent = open_parent(study)
    if parent is None:
        raise MdjptError(f"MLflow at {uri} does not answer; what it lacks is kept in {study.ledger.folder}")
    entries = study.entries
    sent, runs = 0, 1
    for folder in sorted(
        {Path(execution.runs).resolve() / entry.encoder for entry in entries.values() if entry.encoder}
    ):
        about = folder / "about.json"
        if about.exists():
            identity = object_of(about, ["identity"])["identity"]
            name = f"{study.config.name}/pretraining/{identity}"
            sent += replay(folder / "metrics.jsonl", uri, execution.experiment, name, identity,
                           parent_run_id=parent.run_id)  # fmt: skip
            runs += 1
    for key in sorted(entries):
        log = study.ledger.cells / f"{key}.jsonl"
        if log.exists():
            sent += replay(log, uri, execution.experiment, f"{study.config.name}/cell/{key}", key,
                           parent_run_id=parent.run_id)  # fmt: skip
            runs += 1
    parent.close(status_of(study))
    return runs, sent
