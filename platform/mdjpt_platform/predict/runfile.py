"""The run file of a batch prediction: what jobs/predict.py is given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.frozen import Frozen
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.runfile import first_error, tree_of


class PredictConfig(Frozen):
    """A batch prediction; paths are those of the machines that work, relative ones begin where the job does."""

    model: str = Field(description="model folder, as `mdjpt export` writes it")
    files: tuple[str, ...] = Field(min_length=1, description="recordings, and folders of them")
    out: str = Field("predictions", description="folder for the results, one below it a file")
    step: float | None = Field(None, description="seconds between windows; the model's own if absent")
    tmin: float = Field(0.0, description="begin here, seconds into each file")
    tmax: float | None = Field(None, description="end here, seconds into each file")
    rename: str | None = Field(None, description="CSV with the columns name, rename: 10-05 names of channels")
    least_channels: int = Field(4, description="sites of the model that a recording must have")
    exec: ExecConfig = Field(default_factory=ExecConfig, description="engine, address, cpus, progress")

    @property
    def settings(self) -> Settings:
        """What decides the results."""
        return Settings(self.step, self.tmin, self.tmax, self.rename, self.least_channels)


def load(path: Path, overrides: Iterable[str] = ()) -> PredictConfig:
    """Read a run file and apply `a.b=c`. Raises BadInput: absent, not YAML, an unknown key, a wrong value."""
    try:
        return PredictConfig.model_validate(tree_of(path, "run file", overrides))
    except ValidationError as error:
        raise first_error(path, error, PredictConfig) from None
