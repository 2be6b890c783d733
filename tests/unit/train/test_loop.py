"""Pre-training in one process: resuming, refusals, precision, clipping."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import CAPS, SUBJECTS, signal, tiny_tree, write_tiny
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.families import new_model
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import TrialRow, write_store
from mdjpt_platform.tracking import read_events, read_jsonl
from mdjpt_platform.train.launch import Pretraining, pretrain
from mdjpt_platform.train.loop import CHECKPOINTS, share
from mdjpt_platform.train.process import METRICS
from mdjpt_platform.train.step import Losses, Stepper

TOTAL = 6


def altered(config: Config, **sections: dict[str, Any]) -> Config:
    run = config.run
    for name, fields in sections.items():
        run = run.model_copy(update={name: getattr(run, name).model_copy(update=fields)})
    return config.model_copy(update={"run": run})


def elsewhere(config: Config, folder: Path) -> Config:
    return config.model_copy(update={"exec": config.exec.model_copy(update={"runs": str(folder)})})


def weights(done: Pretraining) -> dict[str, torch.Tensor]:
    return load_file(done.folder / "model.safetensors")


def metrics(done: Pretraining) -> list[dict[str, Any]]:
    return read_jsonl(done.folder / METRICS)


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
    """Raise instead of computing update number `at` of this process."""
    original, calls = Stepper.backward, iter(range(10_000))

    def backward(self: Stepper, episodes: Any) -> Losses:
        if next(calls) == at:
            raise error
        return original(self, episodes)

    monkeypatch.setattr(Stepper, "backward", backward)


SHORT = {"episodes": 2}
"""Two episodes a step are enough: gradients are cached and joined."""


@pytest.fixture
def tiny(tiny: Config) -> Config:
    return altered(tiny, train=SHORT)


@pytest.fixture(scope="module")
def unbroken(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Pretraining:
    torch.set_num_threads(1)
    return pretrain(altered(parse(tiny_tree(tiny_store, tmp_path_factory.mktemp("unbroken"))), train=SHORT))


def test_run_is_complete(unbroken: Pretraining) -> None:
    assert unbroken.fresh and unbroken.trained.steps == TOTAL and unbroken.trained.resumed_at == 0
    logged = metrics(unbroken)
    assert [(m["step"], m["epoch"]) for m in logged] == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]
    for m in logged:
        assert {"loss/total", "loss/alignment", "loss/contrast.one", "loss/contrast.two"} <= set(m)
        expected = m["loss/contrast.one"] + m["loss/contrast.two"] + 0.5 * m["loss/alignment"]
        assert m["loss/total"] == pytest.approx(expected, rel=1e-5)
    last = unbroken.trained.last["loss/total"]
    assert last == pytest.approx(np.mean([m["loss/total"] for m in logged[3:]]))
    names = {path.name for path in unbroken.folder.iterdir()}
    written = {"run.yaml", "about.json", "result.json", "model.json", "model.safetensors", "logs"}
    assert written | {METRICS, CHECKPOINTS} == names


@pytest.mark.parametrize(
    ("at", "resumed", "error"),
    [(1, 0, RuntimeError("power")), (4, 3, KeyboardInterrupt()), (5, 3, RuntimeError("power"))],
)
def test_interrupted_run_resumes_to_the_same_weights(
    tiny: Config, unbroken: Pretraining, monkeypatch: pytest.MonkeyPatch, at: int, resumed: int, error: BaseException
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, at, error)
        with pytest.raises(type(error)):
            pretrain(tiny)
    torch.manual_seed(1234)
    done = pretrain(tiny)
    assert done.fresh and done.trained.resumed_at == resumed
    assert done.trained.weights_sha256 == unbroken.trained.weights_sha256
    found, expected = weights(done), weights(unbroken)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert [m["step"] for m in metrics(done)] == list(range(TOTAL))
    for one, other in zip(metrics(done), metrics(unbroken), strict=True):
        assert one["loss/total"] == other["loss/total"]
    closes = [e["values"]["status"] for e in read_events(done.folder / METRICS) if e["event"] == "close"]
    assert closes == ["KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", "FINISHED"]


def test_damaged_newest_checkpoint_costs_an_epoch_and_nothing_else(
    tiny: Config, unbroken: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = altered(tiny, train={"epochs": 3})
    with monkeypatch.context() as patch:
        interrupt(patch, 7, RuntimeError("power"))
        with pytest.raises(RuntimeError):
            pretrain(longer)
    newest = max(Path(tiny.exec.runs).glob(f"*/{CHECKPOINTS}/step-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    done = pretrain(longer)
    assert done.trained.resumed_at == 3
    assert [m["step"] for m in metrics(done)] == list(range(9))
    assert [m["loss/total"] for m in metrics(done)[:TOTAL]] == [m["loss/total"] for m in metrics(unbroken)]


def test_finished_run_is_not_run_again(tiny: Config) -> None:
    first = pretrain(tiny)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    again = pretrain(tiny)
    assert not again.fresh
    assert (again.folder, again.identity, again.trained) == (first.folder, first.identity, first.trained)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before


def test_killed_after_the_last_step_still_finishes(tiny: Config, unbroken: Pretraining) -> None:
    done = pretrain(tiny)
    for name in ("result.json", "model.json", "model.safetensors"):
        (done.folder / name).unlink()
    again = pretrain(tiny)
    assert again.fresh and again.trained.resumed_at == TOTAL
    assert again.trained.weights_sha256 == unbroken.trained.weights_sha256


def test_result_depends_on_the_configuration_alone(tiny: Config, unbroken: Pretraining, tmp_path: Path) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    assert pretrain(elsewhere(tiny, tmp_path / "x")).trained.weights_sha256 == unbroken.trained.weights_sha256
    assert pretrain(altered(tiny, optim={"lr": 1e-3})).trained.weights_sha256 != unbroken.trained.weights_sha256


def test_targets_do_not_reach_the_training(tiny: Config, unbroken: Pretraining) -> None:
    run = tiny.run.model_copy(update={"targets": ()})
    assert pretrain(tiny.model_copy(update={"run": run})).identity == unbroken.identity


def ill_store(folder: Path, config: Config, spoil: Callable[[np.ndarray, int], None]) -> Config:
    """A copy of corpus `two` spoilt, the others linked."""
    config = config.model_copy(update={"exec": config.exec.model_copy(update={"store": str(folder)})})
    for name in ("one", "two"):
        trials = []
        for subject in range(SUBJECTS[name]):
            for stimulus in range(4):
                x = signal(name, subject, stimulus)
                if name == "two":
                    spoil(x, subject)
                row = TrialRow(corpus=name, subject=f"{subject:02d}", session=1, trial=stimulus + 1,
                               stimulus=str(stimulus), play_order=1, label=None, samples=1)  # fmt: skip
                trials.append((row, x))
        write_store(folder, name, config.run.corpora[name], resolve(config.run.recipe), trials, channels=CAPS[name],
                    rate=125.0, labels=("negative", "positive"))  # fmt: skip
    return config


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_signal_that_is_not_finite_stops_the_run_by_name(tiny: Config, tmp_path: Path, value: float) -> None:
    def spoil(x: np.ndarray, subject: int) -> None:
        x[:, 2] = value

    with pytest.raises(MdjptError, match=r"^step 0: the loss is not finite: .*slot 0: one rows .*two rows \[") as stop:
        pretrain(ill_store(tmp_path / "ill", tiny, spoil))
    assert "\n" not in str(stop.value)
    log = next(Path(tiny.exec.runs).glob(f"*/{METRICS}"))
    assert read_jsonl(log) == []
    assert read_events(log)[-1]["values"] == {"status": "FAILED"}
    assert not list(Path(tiny.exec.runs).glob(f"*/{CHECKPOINTS}/*"))


def test_constant_channel_and_silent_subject_train(tiny: Config, tmp_path: Path) -> None:
    """A dead electrode is common; it must not poison the step."""

    def spoil(x: np.ndarray, subject: int) -> None:
        x[:, 2] = 0
        if subject == 0:
            x[:] = 0

    done = pretrain(ill_store(tmp_path / "dead", altered(tiny, train={"epochs": 1}), spoil))
    assert all(math.isfinite(m["loss/total"]) for m in metrics(done))


@pytest.mark.parametrize(("episodes", "world"), [(4, 3), (1, 2), (6, 4)])
def test_episodes_must_divide_over_workers(tiny: Config, episodes: int, world: int) -> None:
    config = altered(tiny, train={"episodes": episodes})
    said = rf"train\.episodes: found {episodes}, expected a multiple of exec\.workers = {world}"
    with pytest.raises(BadInput, match=said):
        share(config.run, world)
    execution = config.exec.model_copy(update={"engine": "ray", "workers": world})
    with pytest.raises(BadInput, match=said):
        pretrain(config.model_copy(update={"exec": execution}))
    assert not Path(tiny.exec.runs).exists(), "said before anything is written or started"


def test_share_of_a_worker(tiny: Config) -> None:
    run = altered(tiny, train={"episodes": 4}).run
    assert [share(run, world) for world in (1, 2, 4)] == [4, 2, 1]


def test_bfloat16_trains_close_to_float32(tiny: Config, unbroken: Pretraining) -> None:
    done = pretrain(altered(tiny, optim={"precision": "bfloat16"}))
    assert done.trained.weights_sha256 != unbroken.trained.weights_sha256
    pairs = [(a["loss/total"], b["loss/total"]) for a, b in zip(metrics(done), metrics(unbroken), strict=True)]
    assert all(low == pytest.approx(full, rel=0.02) for low, full in pairs[:2]), "nearly the same weights"
    assert all(low == pytest.approx(full, rel=0.15) for low, full in pairs[2:])
    assert all(value.dtype == torch.float32 for value in weights(done).values())


def norms(monkeypatch: pytest.MonkeyPatch, config: Config) -> list[float]:
    found, original = [], torch.optim.Adam.step

    def step(self: torch.optim.Adam, *given: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        found.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        pretrain(config)
    return found


def test_clipping_bounds_the_gradient(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    free = norms(monkeypatch, tiny)
    assert len(free) == TOTAL
    bound = min(free) / 2
    assert norms(monkeypatch, altered(tiny, optim={"clip": bound})) == pytest.approx([bound] * TOTAL, rel=1e-4)


def test_switched_off_terms_are_still_logged(tiny: Config) -> None:
    done = pretrain(altered(tiny, alignment={"weight": 0.0}, train={"epochs": 1}))
    for m in metrics(done):
        assert m["loss/alignment"] > 0
        assert m["loss/total"] == pytest.approx(m["loss/contrast.one"] + m["loss/contrast.two"], rel=1e-5)


def test_mean_over_corpora(tiny: Config) -> None:
    done = pretrain(altered(tiny, contrast={"over_corpora": "mean", "weight": 2.0}, train={"epochs": 1}))
    for m in metrics(done):
        expected = m["loss/contrast.one"] + m["loss/contrast.two"] + 0.5 * m["loss/alignment"]
        assert m["loss/total"] == pytest.approx(expected, rel=1e-5)


def test_initial_weights_depend_on_the_seed_alone(tiny: Config) -> None:
    first = new_model(tiny.run).state_dict()
    torch.manual_seed(77)
    before = torch.get_rng_state()
    again = new_model(tiny.run).state_dict()
    assert torch.equal(torch.get_rng_state(), before), "and nobody else's draws are disturbed"
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = new_model(tiny.run.model_copy(update={"seed": 4})).state_dict()
    assert not torch.equal(first["spatial.weight"], other["spatial.weight"])


def test_unknown_encoder_is_said_before_the_training(tiny: Config) -> None:
    run = tiny.run.model_copy(update={"model": replace(tiny.run.model, encoder="mamba")})
    with pytest.raises(BadInput, match=r"model: found family mdjpt: unknown encoder 'mamba'; valid: mlla"):
        pretrain(tiny.model_copy(update={"run": run}))
    assert not Path(tiny.exec.runs).exists()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ((None, None), "label: found no trial with a label, expected two classes or more for contrast.kind supervised"),
        (("positive", None), "label: found positive, expected two classes or more"),
        (("positive", "joy"), "label: found joy, expected one of: negative, positive"),
    ],
)
def test_supervised_contrast_needs_labels(
    tiny: Config, tmp_path: Path, own: tuple[str | None, str | None], said: str
) -> None:
    ill = tiny.model_copy(update={"exec": tiny.exec.model_copy(update={"store": str(tmp_path / "store")})})
    write_tiny(tmp_path / "store", ill, lambda subject, stimulus: own[stimulus % 2], ("one", "two"))
    with pytest.raises(BadInput, match="store of one: " + said):
        pretrain(altered(ill, contrast={"kind": "supervised"}))
    once = {"train": {"epochs": 1, "steps": 1}}
    assert pretrain(altered(ill, **once)).fresh, "ISA asks for no labels"


@pytest.mark.parametrize("change", [{"kind": "supervised"}, {"positives": "shuffled"}, {"positives": "same_stimulus"}])
def test_kinds_of_contrast_train_and_resume(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    config = altered(tiny, contrast=change, train={"steps": 1})
    whole = pretrain(elsewhere(config, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interrupt(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            pretrain(config)
    resumed = pretrain(config)
    assert resumed.trained.resumed_at == 1 and resumed.trained.weights_sha256 == whole.trained.weights_sha256
    aligned = pretrain(altered(tiny, train={"steps": 1}))
    assert aligned.identity != whole.identity and aligned.trained.weights_sha256 != whole.trained.weights_sha256


def test_window_too_short_for_the_projector_names_the_need(tiny: Config) -> None:
    said = r"window\.seconds: found 125 samples at 125 Hz of one, expected at least 208 samples"
    with pytest.raises(BadInput, match=said):
        pretrain(altered(tiny, window={"seconds": 1.0}))
    enough = pretrain(altered(tiny, window={"seconds": 208 / 125}, train={"epochs": 1, "steps": 1}))
    assert enough.fresh


def test_store_changed_under_a_run_is_another_run(tiny: Config, tmp_path: Path) -> None:
    tiny = altered(tiny, train={"epochs": 1, "steps": 1})
    one = ill_store(tmp_path / "a", tiny, lambda x, subject: None)
    two = ill_store(tmp_path / "b", tiny, lambda x, subject: x.__imul__(2))
    assert pretrain(one).identity != pretrain(two).identity
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(
        BadInput, match=r"store of one: found nothing, expected prepared data: run `mdjpt prepare` first"
    ):
        pretrain(one)


def test_one_process_trains_a_run(tiny: Config, unbroken: Pretraining) -> None:
    from filelock import FileLock

    folder = Path(tiny.exec.runs) / unbroken.folder.name
    folder.parent.mkdir(parents=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")), pytest.raises(MdjptError, match="another process"):
        pretrain(altered(tiny, train=SHORT))
    assert pretrain(altered(tiny, train=SHORT)).trained.weights_sha256 == unbroken.trained.weights_sha256
