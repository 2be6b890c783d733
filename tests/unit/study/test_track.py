"""A study in MLflow: one parent, its children, their names, tags and parameters; and what comes after an outage."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import tiny_tree
from mdjpt_platform.code import git_state, sources
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.study import verbs
from mdjpt_platform.study.run import Study, open_study, run_study
from mdjpt_platform.study.track import replay_study

EVALUATE = {"controls": [], "folds": 2, "stimulus_folds": 0, "bootstrap": 100, "probe": {"epochs": 1, "hidden": [4]}}


def write(folder: Path, store: Path, uri: str, name: str = "s") -> Path:
    base = {**tiny_tree(store, folder / "runs"), "evaluate": EVALUATE}
    base["train"] = {"epochs": 1, "steps": 2, "episodes": 2}
    base["exec"] = {**base["exec"], "mlflow": uri}  # type: ignore[dict-item]
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    study = {
        "name": name,
        "base": "base.yaml",
        "pool": {"corpora": ["one", "two"], "design": "whole"},
        "splits": [1, 2],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(study))
    return folder / f"{name}.yaml"


def runs(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("mdjpt")
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def kind(found: list[Any], name: str) -> list[Any]:
    return [run for run in found if run.data.tags["mdjpt.kind"] == name]


def check(found: list[Any], study: Study) -> None:
    """What docs/studies.md says."""
    (parent,), (pretraining,), cells = (kind(found, name) for name in ("study", "pretraining", "cell"))
    name, entries = study.config.name, study.entries
    assert parent.info.run_name == name and "mlflow.parentRunId" not in parent.data.tags
    assert parent.data.params["seeds"] == "[0]" and parent.data.tags["mdjpt.cells"] == "2"
    assert {run.data.tags["mlflow.parentRunId"] for run in (pretraining, *cells)} == {parent.info.run_id}
    assert {run.info.status for run in found} == {"FINISHED"}
    assert {run.data.tags["mdjpt.sources"] for run in found} == {sources()[1]}
    assert {run.data.tags.get("mdjpt.git") for run in found} == {git_state()}
    identity = pretraining.data.tags["mdjpt.identity"]
    assert pretraining.info.run_name == f"{name}/pretraining/{identity}"
    assert pretraining.data.params["train.steps"] == "2" and "loss/total" in pretraining.data.metrics
    assert {run.data.tags["mdjpt.cell"] for run in cells} == {cell.key for cell in study.cells}
    for run in cells:
        key = run.data.tags["mdjpt.cell"]
        assert run.info.run_name == f"{name}/cell/{key}" and run.data.tags["mdjpt.pretraining"] == identity
        assert run.data.params["place.target"] == "three" and run.data.params["place.sources"] == '["one", "two"]'
        stores = {k: v for k, v in run.data.tags.items() if k.startswith("mdjpt.store.")}
        assert stores == {f"mdjpt.store.{n}": v for n, v in entries[key].stores.items()} and len(stores) == 3
        table = study.table()
        means = table[table["cell"] == key].groupby(["method", "readout", "lds", "metric"])["value"].mean().dropna()
        scores = {k: v for k, v in run.data.metrics.items() if k.startswith("score/three/")}
        assert scores == pytest.approx({f"score/three/{m}/{r}/lds_{d}/{k}": v for (m, r, d, k), v in means.items()})


def test_one_parent_and_its_children(tiny_store: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    study = run_study(open_study(write(tmp_path, tiny_store, uri)))
    found = runs(uri)
    check(found, study)
    assert replay_study(study) == (4, 0), "nothing is lacking"
    assert len(runs(uri)) == len(found)

    other = run_study(open_study(write(tmp_path, tiny_store, uri, "other")))
    assert [cell.key for cell in other.cells] == [cell.key for cell in study.cells]
    check([run for run in runs(uri) if run.info.run_id not in {one.info.run_id for one in found}], other)


def test_a_server_that_was_away_is_brought_up_to_date(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}"
    study = run_study(open_study(write(tmp_path, tiny_store, dead)))
    assert not study.waiting()
    with pytest.raises(MdjptError, match="does not answer"):
        replay_study(study)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert verbs.replay(tmp_path / "s.yaml", [f'exec={{"mlflow": {json.dumps(uri)}}}']) == 0
    check(runs(uri), study)
    sent = int(capsys.readouterr().out.split("MLflow, ")[1].split()[0])
    assert sent == sum(len(run.data.metrics) for run in runs(uri)) + 7, "two steps of the pre-training"
    with pytest.raises(BadInput, match="off"):
        replay_study(open_study(tmp_path / "s.yaml", ['exec={"mlflow": "off"}']))
