"""Recipes resolve to steps with every parameter, and to one hash iff they mean the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mdjpt_platform.config import StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess import PRESETS, STEPS, recipe_hash, resolve


def test_presets_resolve_to_every_parameter() -> None:
    assert [step.step for step in resolve("mdjpt")] == [
        "channels", "unit", "resample", "band_pass", "bad_channels", "average_reference", "scale"
    ]  # fmt: skip
    found = {step.step: step.params for step in resolve("mdjpt")}
    assert found["resample"] == {"rate": 125.0}
    assert found["band_pass"] == {"low": 0.5, "high": 47.0, "order": 4}
    assert found["bad_channels"]["moderate_share"] == 0.4
    for name in PRESETS:
        assert resolve(resolve(name)) == resolve(name)


def test_equal_recipes_have_equal_hashes() -> None:
    short = (StepConfig(step="channels"), StepConfig(step="resample", params={"rate": 125}))
    long = (StepConfig(step="channels"), StepConfig(step="resample", params={"rate": 125.0}))
    other = (StepConfig(step="channels"), StepConfig(step="resample", params={"rate": 128}))
    assert recipe_hash(short) == recipe_hash(long) != recipe_hash(other)
    assert recipe_hash("mdjpt") == recipe_hash(PRESETS["mdjpt"]) != recipe_hash("minimal")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("mdjtp", "one of: mdjpt, minimal"),
        ((), "no step"),
        ((StepConfig(step="bandpass"),), r"recipe\.0\.step: found 'bandpass', expected one of: channels, unit"),
        ((StepConfig(step="resample", params={"hz": 125}),), r"recipe\.0\.params\.hz: found unknown .*expected rate"),
        ((StepConfig(step="channels", params={"a": 1}),), "no parameter"),
        ((StepConfig(step="resample", params={"rate": -1}),), "greater than 0"),
        ((StepConfig(step="resample", params={"rate": "fast"}),), "valid number"),
        ((StepConfig(step="unit", params={"action": "ignore"}),), "refuse"),
        ((StepConfig(step="scale"), StepConfig(step="unit")), "scale before other steps"),
    ],
)
def test_what_is_refused(recipe: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        resolve(recipe)  # type: ignore[arg-type]


def test_every_step_is_documented() -> None:
    for name, step in STEPS.items():
        assert step.work.__name__ == name and step.work.__doc__


def test_ray_is_not_imported_with_the_package() -> None:
    code = "import mdjpt_platform.preprocess.run, mdjpt_platform.store, sys; sys.exit('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
