"""How and where a run is carried out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mdjpt_platform.frozen import Frozen


class ExecConfig(Frozen):
    """How and where a run is carried out; changes time and places, never numbers."""

    raw: dict[str, str] = Field(
        default_factory=dict, description="folder or URI (s3://...) of raw recordings per corpus"
    )
    simulated: str = Field("data/raw", description="folder of simulated raw recordings")
    store: str = Field("data/store", description="folder or URI of prepared data; a URI needs `cache`")
    keep_steps: Literal["costly", "all", "none"] = Field(
        "costly",
        description="what preparation steps gave is kept beside the store, and a recipe that changes after them is "
        "prepared from there: costly: at most 20 MB for every second that it saves; all: whatever can be kept, each "
        "twice the store's size; none: nothing. What the recipe prepared last does not use is removed",
    )
    cache: str | None = Field(None, description="node's own folder for copies of stores; read in place if absent")
    fetch: Literal["local", "stream"] = Field(
        "local",
        description="windows are cut by a training process from the store that its node reads | by Ray Data tasks on "
        "the driver's node, and sent: for training nodes that cannot read the store (engine ray)",
    )
    resident: bool = Field(
        False, description="load all signals of the sources onto the training device once and cut windows there"
    )
    activations: float = Field(
        4.0,
        ge=0,
        description="GB that a training process stores for the backward pass, measured at the start; what is over that "
        "is computed again, for a third more time at most",
    )
    compile: bool = Field(
        False, description="have torch compile the model's layers: half a minute at the start; needs a C++ compiler"
    )
    runs: str = Field("runs", description="folder of results")
    workers: int = Field(1, ge=1, description="training processes")
    engine: Literal["ray", "local"] = Field("ray", description="Ray Train, or one process without Ray")
    address: str | None = Field(None, description="Ray cluster to join; a private local one if absent")
    cpus: int | None = Field(None, ge=1, description="CPUs of a private local Ray; all if absent")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs reserved for a training process")
    threads: int | None = Field(None, ge=1, description="torch threads of a process; what torch chooses if absent")
    gpu: bool = Field(False, description="train on GPUs, one a worker")
    workers_min: int | None = Field(
        None, ge=1, description="go on with as few workers as this where nodes are lost; `workers` if absent"
    )
    max_failures: int = Field(2, ge=0, description="restarts of a failed worker group")
    collective_timeout: float = Field(
        600, gt=0, description="seconds that workers wait for each other before the run fails and says who did not come"
    )
    stop_above: float | None = Field(
        None, description="a loss above this ends the training, as one that is not finite always does; off if absent"
    )
    keep_checkpoints: int = Field(2, ge=1, description="newest checkpoints kept")
    mlflow: str | None = Field(None, description="tracking URI; SQLite inside `runs` if absent; 'off' for none")
    experiment: str = Field("mdjpt", description="MLflow experiment")
    progress: bool = Field(True, description="progress bars")
    worker_logs: bool = Field(False, description="print what Ray's processes print")

    @field_validator("mlflow", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare `off` as a boolean
