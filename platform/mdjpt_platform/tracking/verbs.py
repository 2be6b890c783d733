"""What `mdjpt register` does. Returns an exit code and prints what it found."""

from __future__ import annotations

from pathlib import Path

from mdjpt_platform.errors import BadInput, masked, printable
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.tracking.names import tracking_uri


def register(model: Path, name: str | None = None, uri: str | None = None) -> int:
    """Register a model folder and print how to serve it."""
    from rich.console import Console

    execution = ExecConfig(mlflow=uri)
    where = tracking_uri(execution)
    if where is None:
        raise BadInput("command line", "--uri", uri, "an address of MLflow")
    called = model.resolve().name if name is None else name
    with Console(stderr=True).status(f"registering {printable(called)}"):
        from mdjpt_platform.tracking.serving import register as register_folder

        number, fresh = register_folder(model, called, where, execution.experiment)
    how = "registered" if fresh else "there already, with the same checksums"
    print(f"{called}, version {number}: {how}")
    print(f"MLFLOW_TRACKING_URI={masked(where)} mlflow models serve -m 'models:/{called}/{number}' --env-manager local")
    return 0
