"""From a file to rows of answers: windows, gaps, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from anybody import SITES, raw_of, write
from mdjpt_model.pretrained import Pretrained
from mdjpt_platform.errors import BadInput
from mdjpt_platform.export.folder import load
from mdjpt_platform.predict.answer import answer
from mdjpt_platform.predict.interval import block_interval
from mdjpt_platform.predict.outside import judge, profile_of
from mdjpt_platform.predict.recipe import changed_steps, recipe_of
from mdjpt_platform.predict.recording import Heard, hear
from mdjpt_platform.predict.settings import Settings


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Pretrained:
    return load(model_folder)


def heard(model: Pretrained, path: Path, **settings: object) -> Heard:
    return hear(path, model, recipe_of(model, path), Settings(**settings))  # type: ignore[arg-type]


def test_rows_are_the_models_answers_to_the_windows(model: Pretrained, tmp_path: Path) -> None:
    one = heard(model, write(tmp_path / "x_raw.fif"))
    assert one.windows.shape == (24, 10, 320) and one.coverage == 10 and one.left_out == 0
    assert np.shares_memory(one.windows, one.single.signal)  # hours of overlapping windows are no more than the hours
    found = answer(model, one, "whole")
    table = found.windows
    assert np.allclose(table["start"], 0.4 * np.arange(24)) and np.allclose(table["stop"] - table["start"], 2.56)
    direct = model.predict(np.ascontiguousarray(one.windows), one.channels, "whole")
    assert direct.probabilities is not None and direct.affect is not None and direct.low is not None
    assert np.allclose(table[["p_negative", "p_positive"]], direct.probabilities, atol=1e-6)
    assert np.allclose(table[["valence", "arousal"]], direct.affect, atol=1e-6)
    assert np.allclose(table["valence_low"], direct.low[:, 0], atol=1e-6)
    best = direct.probabilities.argmax(1).tolist()
    assert table["label"].tolist() == [model.labels[k] for k in best]
    assert np.allclose(table["confidence"], direct.probabilities.max(1).values, atol=1e-6)
    shares = [one["time_share"] for one in found.summary["classes"].values()]
    assert sum(shares) == pytest.approx(1) and found.summary["windows"]["count"] == 24
    assert found.summary["affect"]["valence"]["mean"] == pytest.approx(float(direct.affect[:, 0].mean()), abs=1e-6)


def test_windows_stay_clear_of_what_is_marked_bad(model: Pretrained, tmp_path: Path) -> None:
    raw = raw_of()
    raw.set_annotations(mne.Annotations([4.0], [1.0], ["BAD_cough"]))
    one = heard(model, write(tmp_path / "x_raw.fif", raw))
    assert one.left_out + len(one.starts) == 24 and len(one.windows) == len(one.starts) > 10
    stops = one.starts + model.seconds
    assert not ((one.starts < 5.0) & (stops > 4.0)).any()
    rate = model.rate
    for start, window in zip(one.starts, one.windows, strict=True):
        at = round(start * rate)
        assert np.array_equal(window, one.single.signal[at : at + model.samples].T)


def test_a_part_of_the_file(model: Pretrained, tmp_path: Path) -> None:
    path = write(tmp_path / "x_raw.fif")
    one = heard(model, path, tmin=3.0, tmax=9.0, step=1.0)
    assert one.starts.tolist() == [3.0, 4.0, 5.0, 6.0]
    single = heard(model, path, tmin=3.0, tmax=6.0, step=1.0)
    found = answer(model, single, "whole")
    assert found.mode == "frozen" and len(found.windows) == 1
    with pytest.raises(BadInput, match="tmin, tmax: found 3 s to 13 s"):
        heard(model, path, tmin=3.0, tmax=13.0)
    with pytest.raises(BadInput, match="length: found 1 s, expected at least one window of"):
        heard(model, path, tmin=3.0, tmax=4.0)


def test_refusals(model: Pretrained, tmp_path: Path) -> None:
    few = write(tmp_path / "few_raw.fif", raw_of(SITES[:3]))
    with pytest.raises(BadInput, match="3 of the model's 60 sites: FP1, FP2, F3, expected at least 4"):
        heard(model, few)
    heard(model, few, least_channels=3)
    flat = raw_of()
    flat._data[:] = 0
    with pytest.raises(BadInput, match="every channel flat"):
        heard(model, write(tmp_path / "flat_raw.fif", flat))
    bad = raw_of()
    bad.set_annotations(mne.Annotations([0.0, 3.0, 6.0, 9.0], [1.0] * 4, ["BAD"] * 4))
    with pytest.raises(BadInput, match="none of 24 windows"):
        heard(model, write(tmp_path / "bad_raw.fif", bad))
    one = heard(model, write(tmp_path / "x_raw.fif"))
    bare = Pretrained(model.config, model.encoder, {})
    with pytest.raises(BadInput, match="mode: found whole"):
        answer(bare, one, "whole")


def test_another_version_of_the_recipe(model: Pretrained) -> None:
    folder = Path("model")
    recipe = model.config["recipe"]
    steps = [
        {**one, "params": {**one["params"], **({"low": 0.7} if one["step"] == "band_pass" else {})}}
        for one in recipe["steps"]
    ]
    for changed in ({"steps": steps}, {"steps": [*recipe["steps"][:-1], {"step": "vanished", "params": {}}]}):
        other = Pretrained({**model.config, "recipe": {**recipe, **changed}}, model.encoder, model.readouts)
        with pytest.raises(BadInput, match="recipe, another version"):
            recipe_of(other, folder)
    assert changed_steps(model) == []
    codes = {**recipe["codes"], "resample": "0" * 16}
    assert changed_steps(Pretrained({**model.config, "recipe": {**recipe, "codes": codes}}, model.encoder, {})) == [
        "resample"
    ]


def test_like_and_unlike_what_was_shown(model: Pretrained, tmp_path: Path) -> None:
    one = heard(model, write(tmp_path / "x_raw.fif"))
    shape = profile_of(one)
    assert shape is not None
    spread = float(np.sqrt(np.mean(np.square(one.single.quality["after"]["sd"]))))
    seen = {
        "channels": {"a": list(SITES), "b": list(SITES[:6])},
        "amplitude": {"low": 0.9 * spread, "median": spread, "high": 1.1 * spread},
        "spectrum": {
            "frequencies": shape.frequencies.tolist(),
            "mean": shape.power.tolist(),
            "sd": [1.0] * 45,
            "distance": 1.0,
        },
    }

    def verdicts(**changes: object) -> list[str]:
        shown = Pretrained({**model.config, "seen": {**seen, **changes}}, model.encoder, model.readouts)
        return [found.verdict for found in judge(shown, one, shape)]

    assert verdicts() == ["inside"] * 3
    assert verdicts(channels={"a": [*SITES, "Cz"]}) == ["outside", "inside", "inside"]
    for low, high in ((1.1, 1.2), (0.8, 0.9)):
        assert verdicts(amplitude={"low": low * spread, "high": high * spread}) == ["inside", "outside", "inside"]
    far = {**seen["spectrum"], "mean": (shape.power + 1.2).tolist()}  # type: ignore[dict-item]
    assert verdicts(spectrum=far) == ["inside", "inside", "outside"]
    assert verdicts(channels={}, amplitude=None, spectrum=None) == ["unknown"] * 3
    # what a louder room does
    loud = heard(model, write(tmp_path / "loud_raw.fif", raw_of(microvolts=24.0)))
    shown = Pretrained({**model.config, "seen": seen}, model.encoder, model.readouts)
    assert judge(shown, loud, profile_of(loud))[1].verdict == "outside"


def test_an_interval_minds_that_neighbours_are_alike() -> None:
    white = np.random.default_rng(0).standard_normal(400)
    slow = np.convolve(white, np.ones(20) / 20, "same")
    narrow, wide = block_interval(slow, 1), block_interval(slow, 20)
    assert narrow is not None and wide is not None
    assert wide[0] < narrow[0] < slow.mean() < narrow[1] < wide[1]
    assert wide == block_interval(slow, 20)
    assert block_interval(slow[:119], 20) is None and block_interval(np.zeros(1), 1) is None
    assert replace(Settings(), step=1.0).tree()["step"] == 1.0
