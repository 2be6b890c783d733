"""`search:` of a study file: which fields, where, and by what they are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from mdjpt_platform.frozen import Frozen

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

METRICS = {"retrieval": "max", "loss": "min"}
OPEN = ("affect", "alignment", "contrast", "model", "optim")
"""What a search may change: not the data, the windows or the amount of training, which decide what a value means."""


class RangeConfig(Frozen):
    """Where a field is searched: between two numbers, or among values."""

    low: float | int | None = Field(None, description="smallest; integers if both ends are")
    high: float | int | None = Field(None, description="largest")
    log: bool = Field(False, description="uniform in the logarithm")
    values: tuple[Any, ...] = Field((), description="instead of a range")

    @model_validator(mode="after")
    def _one_kind(self) -> RangeConfig:
        if bool(self.values) == (self.low is not None or self.high is not None or self.log):
            raise ValueError("either low, high and maybe log, or values")
        if any(not isinstance(value, str | int | float | bool | None) for value in self.values):
            raise ValueError("values: plain ones, no lists or mappings")
        if not self.values and (self.low is None or self.high is None or self.low >= self.high):
            raise ValueError("low and high, low below high")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError("low: above 0 where log is true")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that show whether the field takes what the range holds."""
        return self.values or (self.low, self.high)

    def distribution(self) -> BaseDistribution:
        """The same in Optuna's words."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values:
            return CategoricalDistribution(list(self.values))
        assert self.low is not None and self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


class SearchConfig(Frozen):
    """`search:` of a study file."""

    fields: dict[str, RangeConfig] = Field(min_length=1, description="field of the run -> where it is searched")
    samples: int = Field(20, ge=1, description="trials")
    metric: Literal["retrieval", "loss"] = Field(
        "retrieval", description="held-out subjects of the sources find each other's window | training loss"
    )
    holdout: float = Field(0.25, gt=0, lt=1, description="retrieval: share of every source's subjects, two at least")
    grace: int = Field(1, ge=1, description="epochs before a trial can be stopped: the first rung")
    factor: int = Field(3, ge=2, description="one of so many goes on from a rung, and rungs lie that far apart")
    startup: int = Field(10, ge=1, description="trials drawn at random before TPE goes by what is known")
    seed: int = Field(0, ge=0, description="of the draws and the held-out subjects")

    @field_validator("metric", mode="before")
    @classmethod
    def _source_side(cls, value: Any) -> Any:
        if value not in METRICS:
            raise ValueError("a search never looks at a target: 'retrieval' (subjects of the sources) or 'loss'")
        return value

    @model_validator(mode="after")
    def _comparable(self) -> SearchConfig:
        for name in self.fields:
            part = name.split(".")[0]
            if part not in OPEN or "." not in name:
                raise ValueError(f"fields: {name!r}: a search changes fields of {', '.join(OPEN)}")
            if self.metric == "loss" and part != "optim":
                raise ValueError(f"metric: 'loss' itself changes with {name}; 'retrieval' does not")
        return self

    @property
    def mode(self) -> str:
        """`max` or `min`."""
        return METRICS[self.metric]
