"""A model folder: the same features as where it was made, by torch, NumPy and safetensors; what is damaged is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import tiny_tree
from mdjpt_model import UNIFIED, Pretrained, from_pretrained
from mdjpt_model.pretrained import CHECKSUMS, CONFIG, READOUT, WEIGHTS
from mdjpt_platform.config import Config
from mdjpt_platform.evaluate.features import encode
from mdjpt_platform.evaluate.windows import cut, groups
from mdjpt_platform.export.material import Material, tasks_of
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import Store
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.prepared import open_stores
from model_folder import make_model

EMOD = {"family": "emod", "width": 16, "heads": 4, "depth": 1, "feedforward": 16, "hidden": 16, "embedding": 8}
OF_EMOD = {"model": EMOD, "plan": {"kind": "regions"}, "contrast": {"weight": 0.0}, "alignment": {"weight": 0.0},
           "affect": {"weight": 1.0}}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of several threads differ in their last bit from those of one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["mdjpt", "emod"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp(request.param)
    return make_model(base, **({} if request.param == "mdjpt" else OF_EMOD))


@pytest.fixture(scope="module")
def mdjpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("only"))


@pytest.fixture
def copy(mdjpt: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mdjpt, tmp_path / "model"))


def run_of(made: Path) -> tuple[Config, Store, Path]:
    (run,) = (made.parent / "runs").glob("tiny-*")
    tree = tiny_tree(made.parent / "store", made.parent / "runs")
    family = json.loads((made / CONFIG).read_text())["family"]
    tree |= {} if family == "mdjpt" else OF_EMOD
    tree["evaluate"] = {"probe": {"kind": "logistic"}, "folds": 2}
    config = parse(tree)
    return config, open_stores(config, ("three",), verify=False)["three"], run


@pytest.mark.parametrize("mode", ["whole", "causal"])
def test_features_are_those_of_the_training_process_to_the_bit(made: Path, mode: str) -> None:
    config, store, run = run_of(made)
    task = tasks_of({"three": store}, ["three"], config.run)["three"]
    settings = config.run.evaluate.model_copy(update={"normalisation": mode})
    expected = encode(load_model(run, config.run.model), store, task.table, settings)
    model = from_pretrained(made)
    for at in groups(task.table).values():
        found = model.features(cut(store, task.table, at), store.channels, mode)  # type: ignore[arg-type]
        if model.family == "mdjpt":
            assert torch.equal(found, torch.from_numpy(expected[at]))
        else:  # batches are cut elsewhere, since a window knows no companion: the last bit may differ
            torch.testing.assert_close(found, torch.from_numpy(expected[at]), rtol=1e-5, atol=1e-6)


def test_single_windows_are_read_as_the_read_out_was_fitted(made: Path) -> None:
    config, store, run = run_of(made)
    tasks = tasks_of({"three": store}, ["three"], config.run)
    material = Material(load_model(run, config.run.model), tasks, config.run.evaluate, "frozen")
    expected, readout = material.given(material.people)
    model = from_pretrained(made)
    windows = cut(store, tasks["three"].table, np.arange(20))
    for number, window in enumerate(windows):
        answer = model.predict(window[None], store.channels, "frozen")
        x = readout.normalise(answer.features, "frozen", model.decay)
        torch.testing.assert_close(x[0], torch.from_numpy(expected[number]), rtol=1e-4, atol=1e-4)


def test_example_comes_out_again(made: Path) -> None:
    model, example = from_pretrained(made), load_file(made / "example.safetensors")
    assert model.modes == ("whole", "causal", "frozen") and model.labels == ("negative", "positive")
    for mode in model.modes:
        answer = model.predict(example["windows"], UNIFIED, mode)
        for name, value in vars(answer).items():
            assert torch.equal(value, example[f"{mode}.{name}"]), (mode, name)
        assert answer.probabilities is not None and answer.low is not None and answer.high is not None
        torch.testing.assert_close(answer.probabilities.sum(1), torch.ones(6))
        assert bool((answer.low < answer.high).all())


def test_a_stream_says_what_the_whole_recording_says_without_its_future(made: Path) -> None:
    model, random = from_pretrained(made), np.random.default_rng(4)
    windows = random.standard_normal((7, 5, model.samples)).astype(np.float32)
    cap = ("F3", "F4", "CZ", "O1", "O2")
    whole = model.predict(windows, cap, "causal", batch=3)
    stream = model.stream(cap)
    each = [stream(window) for window in windows]
    for name in ("features", "probabilities", "affect", "low"):
        found = torch.cat([getattr(one, name) for one in each])
        torch.testing.assert_close(found, getattr(whole, name), rtol=1e-4, atol=1e-5)
    later = windows.copy()
    later[4:] *= 3
    torch.testing.assert_close(model.features(later, cap, "causal")[:4], whole.features[:4], rtol=1e-5, atol=1e-6)
    if model.family == "mdjpt":  # ... while the statistics of a whole recording look ahead
        assert not torch.allclose(model.features(later, cap)[:4], model.features(windows, cap)[:4], rtol=1e-3)


def test_a_view_of_overlapping_windows_is_read_as_windows_are(mdjpt: Path) -> None:
    model = from_pretrained(mdjpt)
    signal = np.random.default_rng(5).standard_normal((4, 3 * model.samples)).astype(np.float32)
    view = np.lib.stride_tricks.sliding_window_view(signal, model.samples, axis=1)[:, ::50].transpose(1, 0, 2)
    cap = ("F3", "F4", "O1", "O2")
    assert torch.equal(model.features(view, cap), model.features(torch.from_numpy(view.copy()), cap))


def good(model: Pretrained, windows: int = 3) -> np.ndarray:
    return np.random.default_rng(6).standard_normal((windows, 3, model.samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (
            lambda m: m.predict(good(m)[:, :2], ("F3", "F4", "CZ")),
            r"windows: found shape \[3, 2, 320\], expected \[n, 3",
        ),
        (lambda m: m.predict(good(m)[:, :, :-1], ("F3", "F4", "CZ")), "320"),
        (lambda m: m.predict(good(m)[:0], ("F3", "F4", "CZ")), "found shape"),
        (lambda m: m.predict(good(m) * np.nan, ("F3", "F4", "CZ")), "NaN"),
        (lambda m: m.predict(good(m), ("F3", "F4", "NOSE")), "NOSE"),
        (lambda m: m.predict(good(m), ("F3", "F3", "CZ")), "twice"),
        (lambda m: m.predict(good(m, 1), ("F3", "F4", "CZ")), "found one, expected two or more"),
        (lambda m: m.predict(good(m), ("F3", "F4", "CZ"), "sometimes"), "sometimes"),
        (lambda m: m.features(good(m), ("F3", "F4", "CZ"), "sometimes"), "sometimes"),
        (lambda m: m.stream(("F3", "NOSE")), "NOSE"),
        (lambda m: m.stream(("F3",))(good(m)[0]), "found shape"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    mdjpt: Path, break_it: Callable[[Pretrained], object], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        break_it(from_pretrained(mdjpt))
    assert "\n" not in str(caught.value)


def changed(folder: Path, name: str, content: bytes) -> None:
    """Another file with its own checksum: damage that only the content gives away."""
    import hashlib

    (folder / name).write_bytes(content)
    sums = json.loads((folder / CHECKSUMS).read_text())
    sums[name] = hashlib.sha256(content).hexdigest()
    (folder / CHECKSUMS).write_text(json.dumps(sums))


def test_damage_is_named(copy: Path) -> None:
    for name in (CONFIG, WEIGHTS, READOUT):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-3] + b"xyz")
        with pytest.raises(ValueError, match=rf"{name}: SHA-256: found .* damaged or changed"):
            from_pretrained(copy)
        (copy / name).unlink()
        with pytest.raises(ValueError, match=rf"{name}: found No such file"):
            from_pretrained(copy)
        (copy / name).write_bytes(content)
    (copy / CHECKSUMS).unlink()
    os.mkfifo(copy / CHECKSUMS)
    with pytest.raises(ValueError, match=f"{CHECKSUMS}: found no regular file"):
        from_pretrained(copy)
    (copy / CHECKSUMS).unlink()
    (copy / CHECKSUMS).write_text("[")
    with pytest.raises(ValueError, match=f"{CHECKSUMS}: JSON"):
        from_pretrained(copy)
    with pytest.raises(ValueError, match="No such file"):
        from_pretrained(copy / "nowhere")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("format", 2, "format: found 2, expected 1"),
        ("format", True, "format: found True"),
        ("family", "bert", "family: found 'bert'"),
        ("labels", "negative", "labels: found 'negative'"),
        ("spec", {"hidden": 7}, "do not belong together"),
        ("spec", {"nothing": 7}, "do not belong together"),
        ("modes", {"whole": {}}, "do not belong together"),
        ("modes", {"sometimes": {"temperature": 1}}, "do not belong together"),
        ("window", {}, "do not belong together"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(copy: Path, field: str, value: object, said: str) -> None:
    tree = json.loads((copy / CONFIG).read_text())
    tree[field] = value
    changed(copy, CONFIG, json.dumps(tree).encode())
    with pytest.raises(ValueError, match=said) as caught:
        from_pretrained(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [{"hidden": 2**20, "heads": 1}, {"depth": 2**40}, {"dilations": list(range(1, 9999))}])
def test_sizes_beyond_the_weights_allocate_nothing(copy: Path, size: dict[str, object]) -> None:
    tree = json.loads((copy / CONFIG).read_text())
    tree["spec"] |= size
    changed(copy, CONFIG, json.dumps(tree).encode())
    with pytest.raises(ValueError, match=r"do not belong together: (\S+: found \(|more layers)"):
        from_pretrained(copy)


def test_other_weights_are_refused(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    weights.pop(next(iter(weights)))
    save_file(weights, copy / "other")
    changed(copy, WEIGHTS, (copy / "other").read_bytes())
    with pytest.raises(ValueError, match="do not belong together"):
        from_pretrained(copy)
    changed(copy, WEIGHTS, b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(ValueError, match="do not belong together"):
        from_pretrained(copy)
