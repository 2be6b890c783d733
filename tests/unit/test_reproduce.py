"""Doing a run again from its own folder: equal to the last bit, or what is not; else nothing is begun."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from conftest import tiny_tree, write_tiny
from mdjpt_platform import verbs
from mdjpt_platform.cli import app
from mdjpt_platform.errors import BadInput
from mdjpt_platform.operations import compare, manifest
from mdjpt_platform.operations.reproduce import configuration, reproduce
from mdjpt_platform.runfile import parse
from mdjpt_platform.tracking import JsonlSink
from mdjpt_platform.train.launch import pretrain

EVALUATE = {"readouts": ["few_shot"], "folds": 2, "stimulus_folds": 0, "bootstrap": 100, "controls": ["random"],
            "probe": {"epochs": 1}}  # fmt: skip


def tree(folder: Path) -> dict[str, Any]:
    base: dict[str, Any] = tiny_tree(folder / "store", folder / "runs")
    base["train"] = {"epochs": 1, "steps": 2, "episodes": 2}
    base["evaluate"] = EVALUATE
    return base


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores, and a run that was trained and evaluated."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    config = parse(tree(folder))
    write_tiny(folder / "store", config)
    pretrain(config)
    verbs.evaluate(config)
    return folder


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Path:
    """A copy of the run's folder."""
    (source,) = (world / "runs").glob("tiny-*")
    return shutil.copytree(source, tmp_path / source.name)


def said(run: Path, into: Path, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        reproduce(run, into, overrides)
    assert not into.exists(), "nothing was begun"
    return str(caught.value)


def test_an_evaluated_run_again(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["reproduce", str(run), "--into", str(tmp_path / "again"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["equal"] and {one["relative"] for one in told["compared"]} == {0.0}
    names = [one["what"] for one in told["compared"]]
    assert names[0] == "weights" and "metric loss/total" in names and names[-1] == "scores three"
    assert not any("time/" in name for name in names)
    assert told["environment"] == [] and told["notes"] == []
    again = manifest.load(Path(told["repeated"]))
    assert Path(told["repeated"]).parent == tmp_path / "again" and again.weights == manifest.load(run).weights


def test_what_differs_is_named(run: Path, tmp_path: Path) -> None:
    """Another machine's numbers: one weight and one loss in their last digits, other versions; not evaluated."""
    shutil.rmtree(next(run.glob("evaluation-*")))
    weights = load_file(run / "model.safetensors")
    name = sorted(weights)[0]
    at = int(weights[name].abs().argmax())
    weights[name].view(-1)[at] *= 1 + 1e-6
    save_file(weights, run / "model.safetensors")
    digest = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"weights_sha256": digest}))
    about = manifest.load(run)
    manifest.amend(run, weights=digest, versions=about.versions | {"torch": "1.0"}, hardware={"cpu": "other"})
    lines = (run / "metrics.jsonl").read_text().splitlines()
    where = next(number for number, line in enumerate(lines) if line.startswith('{"step":1,'))
    record = json.loads(lines[where])
    record["values"]["loss/total"] *= 1 + 1e-5
    lines[where] = json.dumps(record, separators=(",", ":"))
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    done = CliRunner().invoke(app, ["reproduce", str(run), "--into", str(tmp_path / "again")])
    assert done.exit_code == 1, done.output
    shown = " ".join(done.stdout.split())
    found = re.search(r"weights differs (\S+) (\S+)", shown)
    assert found is not None and float(found[1]) == pytest.approx(1e-6, rel=0.2) and found[2] == name
    assert "metric loss/total differs 1e-05 step 1" in shown and "metric loss/alignment equal 0" in shown
    assert "versions torch: 1.0 -> " in shown and "hardware cpu: other -> " in shown
    assert "no scores to compare" in shown and shown.endswith("not equal")


def test_absent_and_other_stores_are_named_before_anything_is_done(run: Path, world: Path, tmp_path: Path) -> None:
    nothing = said(run, tmp_path / "again", f"exec.store={tmp_path / 'none'}")
    assert "store of one: found nothing" in nothing
    copy = tmp_path / "copy" / "store"
    shutil.copytree(world / "store", copy, ignore=shutil.ignore_patterns("two", "three"))
    write_tiny(copy, parse(tree(world)), label=lambda subject, stimulus: "positive", names=("two", "three"))
    other = said(run, tmp_path / "again", f"exec.store={copy}")
    assert other.startswith("stores: two: found two ") and f"two {manifest.load(run).stores['two']}" in other
    shutil.rmtree(copy / "two")
    shutil.copytree(world / "store" / "two", copy / "two")
    target = said(run, tmp_path / "again", f"exec.store={copy}")
    assert target.startswith("stores: three: found three "), "what it was evaluated on counts too"


def test_changed_files_of_the_run_are_refused(run: Path, tmp_path: Path) -> None:
    content = (run / "run.yaml").read_text()
    (run / "run.yaml").write_text(content.replace("seed: 3", "seed: 4"))
    assert "run.yaml: SHA-256" in said(run, tmp_path / "again")
    (run / "run.yaml").write_text(content)
    weights = bytearray((run / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "model.safetensors").write_bytes(weights)
    assert "model.safetensors: checksum" in said(run, tmp_path / "again")
    (run / "result.json").unlink()
    assert "result.json" in said(run, tmp_path / "again")


def test_only_new_folders_and_execution_may_be_chosen(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--into: found something there"):
        reproduce(run, run)
    assert "--set: key: found seed" in said(run, tmp_path / "again", "seed=4")
    assert "manifest" in said(tmp_path, tmp_path / "again"), "no run"
    assert "kind: found evaluation" in said(next(run.glob("evaluation-*")), tmp_path / "again")


def test_evaluations_of_other_settings_are_said(run: Path, tmp_path: Path) -> None:
    mine = next(run.glob("evaluation-*"))
    shutil.move(mine, mine.with_name("evaluation-other"))
    outcome = reproduce(run, tmp_path / "again")
    assert outcome.equal and not any(one.what.startswith("scores") for one in outcome.findings)
    assert outcome.notes[0] == "evaluation-other: of other settings than run.yaml's, not compared"


def test_the_recorded_way_to_carry_it_out_is_used(run: Path, tmp_path: Path) -> None:
    about = manifest.load(run)
    other = about.execution | {"engine": "ray", "workers": 2, "workers_min": 1, "resident": True}
    about = about.model_copy(update={"threads": 3, "execution": other})
    execution = configuration(run, about, tmp_path / "again", ()).exec
    assert (execution.engine, execution.workers, execution.workers_min, execution.threads) == ("ray", 2, None, 3)
    assert execution.resident and execution.mlflow == "off" and execution.runs == str(tmp_path / "again")
    assert configuration(run, about, tmp_path, ["exec.threads=1"]).exec.threads == 1
    assert configuration(run, about, tmp_path, ()).run == parse(yaml.safe_load((run / "run.yaml").read_text())).run


def logged(path: Path, *values: dict[str, float]) -> Path:
    sink = JsonlSink(path)
    for step, one in enumerate(values):
        sink.log(step, one, epoch=0)
    sink.close()
    return path


def test_metrics_are_compared_by_step(tmp_path: Path) -> None:
    one = logged(tmp_path / "one", {"loss/a": 2.0, "time/step": 1.0}, {"loss/a": math.nan}, {"loss/a": 4.0})
    same = logged(tmp_path / "same", {"loss/a": 2.0, "time/step": 9.0}, {"loss/a": math.nan}, {"loss/a": 4.0})
    assert compare.same_metrics(one, same) == [compare.Finding("metric loss/a", True, 0.0)]
    other = logged(tmp_path / "other", {"loss/a": 2.0}, {"loss/a": math.nan}, {"loss/a": 5.0})
    assert compare.same_metrics(one, other) == [compare.Finding("metric loss/a", False, 0.2, "step 2")]
    odd = logged(tmp_path / "odd", {"loss/a": 2.0}, {"loss/a": 1.0}, {"loss/a": 4.0})
    assert compare.same_metrics(one, odd) == [compare.Finding("metric loss/a", False, math.inf, "step 1")]
    assert compare.tree(compare.same_metrics(one, odd))[0]["relative"] == "Infinity"
    short = logged(tmp_path / "short", {"loss/a": 2.0})
    (found,) = compare.same_metrics(one, short)
    assert not found.equal and found.relative is None and "2 steps in one run alone, the first is 1" in found.where
    (found,) = compare.same_metrics(short, one)
    assert not found.equal, "either may be the longer"


def test_weights_are_compared_by_tensor(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([1.0, -8.0]), "b": torch.zeros(2)}
    save_file(tensors, tmp_path / "one")
    save_file(tensors | {"a": torch.tensor([2.0, -8.0])}, tmp_path / "other")
    save_file(tensors | {"a": torch.ones(3)}, tmp_path / "shape")
    save_file(tensors | {"b": torch.tensor([0.0, math.nan])}, tmp_path / "nan")
    assert compare.same_weights(tmp_path / "one", tmp_path / "one") == compare.Finding("weights", True, 0.0)
    assert compare.same_weights(tmp_path / "one", tmp_path / "other") == compare.Finding("weights", False, 0.125, "a")
    assert compare.same_weights(tmp_path / "one", tmp_path / "shape").relative is None
    assert compare.same_weights(tmp_path / "one", tmp_path / "nan") == compare.Finding("weights", False, math.inf, "b")
    (tmp_path / "torn").write_bytes(b"torn")
    with pytest.raises(BadInput, match="torn: weights"):
        compare.same_weights(tmp_path / "one", tmp_path / "torn")
