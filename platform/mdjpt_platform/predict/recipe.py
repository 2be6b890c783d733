"""The recipe that a model brings with it: the one it was trained behind, or none."""

from __future__ import annotations

from pathlib import Path

from mdjpt_model.pretrained import Pretrained
from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.keys import code_of
from mdjpt_platform.preprocess.recipe import recipe_hash, resolve
from mdjpt_platform.preprocess.steps import STEPS


def recipe_of(model: Pretrained, folder: Path) -> tuple[StepConfig, ...]:
    """The steps of a model folder. Raises BadInput: this version of the platform reads them otherwise."""
    declared = model.config["recipe"].get("hash")
    try:
        steps = resolve([StepConfig(step=one["step"], params=one["params"]) for one in model.recipe])
        found = recipe_hash(steps)
    except (BadInput, ValueError, KeyError, TypeError) as error:
        text = f"{error.field}: {error.found}" if isinstance(error, BadInput) else str(error)
        raise _other(folder, " ".join(text.split())) from None
    if found != declared:
        raise _other(folder, f"hash {declared} for steps that are {found} here")
    return steps


def changed_steps(model: Pretrained) -> list[str]:
    """Steps whose source, or whose libraries, are others than when the model was trained, as far as it says."""
    then = model.config["recipe"].get("codes") or {}
    names = dict.fromkeys(step["step"] for step in model.recipe)
    return [name for name in names if then.get(name) not in (None, code_of(STEPS[name].work))]


def _other(folder: Path, found: str) -> BadInput:
    expected = "the recipe of this version: predict with the version of mdjpt that exported the model"
    return BadInput(folder / "config.json", "recipe, another version", found, expected)
