"""A study: a base run, axes along which it varies, and the rule by which its cells are made comparable."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from mdjpt_platform.config import Config, content_hash
from mdjpt_platform.frozen import Frozen
from mdjpt_platform.runfile import first_error, load, tree_of
from mdjpt_platform.study.space import SearchConfig


class PoolConfig(Frozen):
    """Which combinations of source corpora."""

    corpora: tuple[str, ...] = Field(description="corpora that may be sources")
    design: Literal["all_subsets", "by_count", "add_one_in", "leave_one_out", "whole"] = Field(
        description="every subset | every subset of some sizes | growing along random orders | all but the target | all"
    )
    counts: tuple[int, ...] = Field((), description="by_count: sizes of the subsets")
    orders: int = Field(3, ge=1, description="add_one_in: random orders")

    @model_validator(mode="after")
    def _sensible(self) -> PoolConfig:
        if len(set(self.corpora)) != len(self.corpora) or not self.corpora:
            raise ValueError("corpora: one or more, each named once")
        if (self.design == "by_count") != bool(self.counts):
            raise ValueError("counts: needed for by_count, and for nothing else")
        if any(not 1 <= count <= len(self.corpora) for count in self.counts):
            raise ValueError(f"counts: sizes between 1 and {len(self.corpora)}")
        return self


class StudyConfig(Frozen):
    """A study file."""

    name: str = Field(description="for people and folders", pattern=r"^[A-Za-z0-9_-]{1,100}$")
    base: str = Field(description="run file, relative to the study file")
    set: dict[str, Any] = Field(default_factory=dict, description="fields of the base run to change, `a.b: value`")
    pool: PoolConfig | None = Field(None, description="combinations of sources; the base run's sources if absent")
    targets: tuple[str, ...] = Field((), description="held-out corpora, one a cell; the base run's if absent")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of weights and plan")
    splits: tuple[int, ...] = Field((), description="seeds of evaluation folds and probes; the base run's if absent")
    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="named variations of fields, compared with the first; one at a time"
    )
    axes: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="field -> values, all combinations")
    budget: Literal["steps", "windows", "compute", "epochs", "hours"] = Field(
        "steps", description="what every pre-training gets the same amount of (compute: FLOPs by formula)"
    )
    passes: int = Field(1, ge=1, description="budget epochs: passes over the pairs of the largest source")
    hours: float | None = Field(None, gt=0, description="budget hours: hours of signal, by leaving out subjects")
    most: int = Field(500, ge=1, description="refuse a study of more cells")
    search: SearchConfig | None = Field(None, description="instead of cells: trials of settings, inside one design")
    exec: dict[str, Any] = Field(default_factory=dict, description="fields of the base run's exec to change")

    @field_validator("seeds", "splits", "targets")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("a value is named twice")
        return values

    @model_validator(mode="after")
    def _budget_stated(self) -> StudyConfig:
        if (self.budget == "hours") != (self.hours is not None):
            raise ValueError("hours: needed for budget hours, and for nothing else")
        return self

    @model_validator(mode="after")
    def _search_in_one_design(self) -> StudyConfig:
        varied = [name for name in ("pool", "targets", "splits", "arms", "axes") if getattr(self, name)]
        varied += ["seeds"] * (len(self.seeds) > 1) + ["budget"] * (self.budget != "steps")
        if self.search is not None and varied:
            raise ValueError(
                f"search: inside one design only, without {', '.join(varied)}: larger mixes learn more slowly and "
                "would be stopped for it, and a target must not choose settings"
            )
        return self

    def identity(self, base: Config) -> str:
        """Hash of what decides the cells."""
        aside = {"name", "exec", "most"} | ({"search"} if self.search is None else set())
        return content_hash([self.model_dump(mode="json", exclude=aside), base.run.identity()])


def load_study(path: str | Path, overrides: Iterable[str] = ()) -> tuple[StudyConfig, Config]:
    """The study and its base run with the study's changes.

    `overrides` are `exec.a=b` or fields of the study. Raises BadInput: a file absent or not YAML, unknown keys.
    """
    path = Path(path)
    try:
        study = StudyConfig.model_validate(tree_of(path, "study file", overrides))
    except ValidationError as error:
        raise first_error(path, error, StudyConfig) from None
    changes = {**study.set, **{f"exec.{key}": value for key, value in study.exec.items()}}
    return study, load(path.parent / study.base, [f"{key}={json.dumps(value)}" for key, value in changes.items()])
