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
        "channels", "unit", "resample", "band_pass", "bad_channels", "ica", "bad_channels", "average_reference", "scale"
    ]  # fmt: skip
    found = {step.step: step.params for step in resolve("mdjpt")}
    assert found["resample"] == {"rate": 125.0}
    assert found["band_pass"] == {"low": 0.5, "high": 47.0, "order": 4}
    assert found["ica"]["thresholds"] == "default" and found["ica"]["method"] == "picard"
    first, second = (step.params for step in resolve("mdjpt") if step.step == "bad_channels")
    assert first == {**second, "protect": ["FP1", "FP2", "F7", "F8"]} and second["protect"] == []
    published = {"moderate": 3.0, "moderate_share": 0.4, "extreme": 30.0, "extreme_share": 0.01}
    assert published.items() <= second.items() and second["deviation"] is second["correlation"] is None
    for name in PRESETS:
        assert resolve(resolve(name)) == resolve(name)


def test_the_preset_without_ica_is_the_other_but_for_ica_and_its_first_pass() -> None:
    whole = resolve("mdjpt")
    assert resolve("mdjpt_no_ica") == (*whole[:4], *whole[6:])


def test_emod_filters_at_the_native_rate() -> None:
    steps = [step.step for step in resolve("emod")]
    assert steps == ["channels", "unit", "band_pass", "ica", "average_reference", "resample", "scale"]
    params = {step.step: step.params for step in resolve("emod")}
    assert (params["band_pass"]["low"], params["band_pass"]["high"]) == (0.3, 49.0)
    assert (params["ica"]["by"], params["ica"]["method"], params["ica"]["eog"][0]) == ("eog", "fastica", ["FP1", "FP2"])


def test_what_is_dearer_to_do_than_to_read_is_kept() -> None:
    kept = {name for name, step in STEPS.items() if step.keep}
    assert kept == {"line", "resample", "band_pass", "notch", "bad_channels", "ica"}


def test_equal_recipes_have_equal_hashes() -> None:
    short = (StepConfig(step="channels"), StepConfig(step="resample", params={"rate": 125}))
    long = (StepConfig(step="channels"), StepConfig(step="resample", params={"rate": 125.0}))
    other = (StepConfig(step="channels"), StepConfig(step="resample", params={"rate": 128}))
    assert recipe_hash(short) == recipe_hash(long) != recipe_hash(other)
    assert recipe_hash("mdjpt") == recipe_hash(PRESETS["mdjpt"]) != recipe_hash("minimal")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("mdjtp", "one of: mdjpt, mdjpt_no_ica, emod, minimal"),
        ((), "no step"),
        ((StepConfig(step="bandpass"),), r"recipe\.0\.step: found 'bandpass', expected one of: channels, unit"),
        ((StepConfig(step="resample", params={"hz": 125}),), r"recipe\.0\.params\.hz: found unknown .*expected rate"),
        ((StepConfig(step="average_reference", params={"a": 1}),), "no parameter"),
        ((StepConfig(step="channels", params={"a": 1}),), "expected rename, drop"),
        ((StepConfig(step="channels", params={"rename": {"a": 1}}),), r"params\.rename\.a"),
        ((StepConfig(step="ica", params={"thresholds": {"brain": 0.5}}),), r"params\.thresholds"),
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
