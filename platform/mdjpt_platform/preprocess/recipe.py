"""Recipes: presets, and the check that turns what a run file says into steps with every parameter spelled out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from mdjpt_platform.config import Config, StepConfig, content_hash
from mdjpt_platform.errors import BadInput
from mdjpt_platform.objects import at, is_uri
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.store.remote import published, store_place, working_root
from mdjpt_platform.store.schema import MANIFEST, store_folder

BLINK_SITES = ["FP1", "FP2", "F7", "F8"]
"""What the published first pass protects: a blink there is not to be mistaken for a bad electrode."""


def _step(step: str, **params: Any) -> StepConfig:
    return StepConfig(step=step, params=params)


PRESETS: dict[str, tuple[StepConfig, ...]] = {
    # mdJPT as published (SYSTEMS 1.2, DATASETS 19.1). It departs where the script's toolboxes are no part of this
    # project or corpora differ: polyphase resampling and a zero-phase Butterworth filter; splines where there are
    # channels enough, three nearest neighbours else; ICA by Picard's optimiser of the same extended infomax, fitted
    # above 1 Hz in average reference. Recordings of fewer than 14 channels, or too short, go on without ICA.
    "mdjpt": (
        _step("channels"),
        _step("unit"),
        _step("resample", rate=125.0),
        _step("band_pass", low=0.5, high=47.0),
        _step("bad_channels", protect=BLINK_SITES),
        _step("ica", thresholds="default", few="pass"),
        _step("bad_channels"),
        _step("average_reference"),
        _step("scale"),
    ),
    # the same without ICA, and so with one pass over the channels: seconds instead of minutes a recording
    "mdjpt_no_ica": (
        _step("channels"),
        _step("unit"),
        _step("resample", rate=125.0),
        _step("band_pass", low=0.5, high=47.0),
        _step("bad_channels"),
        _step("average_reference"),
        _step("scale"),
    ),
    # EMOD (SYSTEMS 2.6, DATASETS 19). A corpus keeps its native rate there; here all get one, 200 Hz, since one encoder
    # reads them, so the change of rate comes last. Its z-score is a subject's here, by one scalar, which keeps what
    # channels differ in; microvolts throughout, where EMOD mixes units; Butterworth, where MNE's default FIR has a
    # slope of 12 Hz above 49 Hz. A recording without frontal channels goes on without ICA, and in caps of 14 channels
    # its z-score finds next to nothing (`eog_r: 0.5` does; see the step).
    "emod": (
        _step("channels"),
        _step("unit"),
        _step("band_pass", low=0.3, high=49.0),
        _step("ica", method="fastica", by="eog", channels=8, few="pass"),
        _step("average_reference"),
        _step("resample", rate=200.0),
        _step("scale"),
    ),
    # no more than what makes corpora comparable
    "minimal": (
        _step("channels"),
        _step("unit"),
        _step("resample", rate=125.0),
        _step("band_pass", low=0.5, high=47.0),
        _step("scale"),
    ),
}


def resolve(recipe: str | Sequence[StepConfig]) -> tuple[StepConfig, ...]:
    """Preset or steps -> steps with all parameters, of the declared types (125 and 125.0 are one recipe).

    Raises BadInput: unknown preset, step or parameter (the valid ones are named), a value out of range, no step, a
    subject step that is not the last.
    """
    if isinstance(recipe, str):
        if recipe not in PRESETS:
            raise BadInput("run file", "recipe", repr(recipe), f"steps, or one of: {', '.join(PRESETS)}")
        recipe = PRESETS[recipe]
    if not recipe:
        raise BadInput("run file", "recipe", "no step", f"steps among: {', '.join(STEPS)}")
    resolved = []
    for place, step in enumerate(recipe):
        field = f"recipe.{place}"
        if step.step not in STEPS:
            raise BadInput("run file", f"{field}.step", repr(step.step), f"one of: {', '.join(STEPS)}")
        if STEPS[step.step].stage == "subject" and place < len(recipe) - 1:
            raise BadInput("run file", field, f"{step.step} before other steps", "steps of the subject last")
        resolved.append(StepConfig(step=step.step, params=_parameters(step, field)))
    return tuple(resolved)


def recipe_hash(recipe: str | Sequence[StepConfig]) -> str:
    """16 hex digits that two recipes share iff they resolve to the same steps."""
    return content_hash([step.model_dump(mode="json") for step in resolve(recipe)])


def folder_of(config: Config, name: str) -> Path:
    """Store folder of a corpus of the run.

    Raises BadInput: the run has no such corpus, the recipe does not resolve.
    """
    if name not in config.run.corpora:
        raise BadInput("run file", "corpora", repr(name), f"one of: {', '.join(config.run.corpora)}")
    return store_folder(working_root(config.exec), name, config.run.corpora[name], resolve(config.run.recipe))


def is_prepared(config: Config, name: str) -> bool:
    """Whether a corpus of the run has a store, here or on object storage. Raises BadInput as `folder_of`; no answer."""
    if (folder_of(config, name) / MANIFEST).exists():
        return True
    if not is_uri(config.exec.store):
        return False
    place = store_place(at(config.exec.store), name, config.run.corpora[name], resolve(config.run.recipe))
    return published(place) is not None


def _parameters(step: StepConfig, field: str) -> dict[str, Any]:
    declared = _declared(step.step)
    try:
        return declared.model_validate(step.params).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            valid = ", ".join(declared.model_fields) or "no parameter"
            raise BadInput("run file", f"{field}.params.{name}", f"unknown for {step.step}", valid) from None
        raise BadInput("run file", f"{field}.params.{name}", repr(first["input"]), first["msg"]) from None


def _declared(name: str) -> type[BaseModel]:
    """The keyword-only parameters of a step as a model: its signature is the only place that declares them."""
    work = STEPS[name].work
    hints = get_type_hints(work, include_extras=True)
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], parameter.default)
        for parameter in inspect.signature(work).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
