"""A model folder, registered and answering: over HTTP, as MLflow's function and as a program: what eager answers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from serving import Served, environment, served

from mdjpt_model import from_pretrained
from mdjpt_model.montage import UNIFIED
from mdjpt_model.pretrained import CHECKSUMS, Pretrained
from mdjpt_model.readout import Prediction
from mdjpt_platform.export.program import PROGRAM, exported
from mdjpt_platform.export.run import export
from mdjpt_platform.tracking.mlflow import open_experiment
from model_folder import make_run

NAME, CLOSE = "mood", 1e-5
FEW = ("F3", "F4", "Oz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("model")
    export(make_run(base), base / "model", program=True)
    return base / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> Pretrained:
    return from_pretrained(folder)


@pytest.fixture(scope="module")
def windows(folder: Path) -> np.ndarray:
    return load_file(folder / "example.safetensors")["windows"]


def register(folder: Path, uri: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mdjpt_platform.cli", "register", str(folder), "--name", NAME, "--uri", uri]
    return subprocess.run(command, env=environment(uri), cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def registry(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a registry that holds the model as version 1."""
    place = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{place / 'mlflow.db'}"
    done = register(folder, uri, place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{NAME}, version 1: registered\n") and "mlflow models serve -m" in done.stdout
    assert sorted(path.name for path in place.iterdir()) == ["mlartifacts", "mlflow.db", "mlflow.db.lock"]
    return uri


def distance(rows: list[dict[str, Any]], expected: Prediction, labels: tuple[str, ...]) -> float:
    """Largest difference of any number in the rows from the eager answer."""
    assert expected.probabilities is not None and expected.affect is not None
    assert expected.low is not None and expected.high is not None
    truth = {f"p_{name}": expected.probabilities[:, place] for place, name in enumerate(labels)}
    for place, name in enumerate(("valence", "arousal")):
        for end, values in (("", expected.affect), ("_low", expected.low), ("_high", expected.high)):
            truth[name + end] = values[:, place]
    truth["confidence"] = expected.probabilities.max(1).values
    table = pd.DataFrame(rows)
    assert set(table) == {*truth, "label", "mode"} and len(table) == len(expected.affect)
    assert table["label"].tolist() == [labels[place] for place in expected.probabilities.argmax(1).tolist()]
    return max(float(np.abs(table[name].to_numpy() - values.double().numpy()).max()) for name, values in truth.items())


CALL = """
import json, sys
import mlflow, numpy as np
from mlflow.exceptions import MlflowException
sys.modules["mdjpt_platform"] = None  # what is served stands alone
served = mlflow.pyfunc.load_model(sys.argv[1])
answers = []
for windows, params in json.load(sys.stdin):
    try:
        answers.append(served.predict(np.array(windows, np.float32), params=params).to_dict("records"))
    except MlflowException as error:
        answers.append(str(error))
import mdjpt_model
print(json.dumps({"answers": answers, "code": mdjpt_model.__file__}))
"""


def test_mlflow_loads_what_was_registered(
    registry: str, model: Pretrained, windows: np.ndarray, tmp_path: Path
) -> None:
    requests = [
        (windows[:5], {}), (windows, {"mode": "whole"}), (windows, {"mode": "causal"}),
        (windows[:2, :3], {"channels": list(FEW), "mode": "whole"}), (windows[:1, :3], {}),
    ]  # fmt: skip
    command = [sys.executable, "-c", CALL, f"models:/{NAME}/1"]
    content = json.dumps([(some.tolist(), params) for some, params in requests])
    done = subprocess.run(
        command, input=content, env=environment(registry), cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "mlartifacts" in found["code"], "the code that was registered, not that of this checkout"
    for (some, params), rows in zip(requests[:4], found["answers"], strict=False):
        mode = params.get("mode", "frozen")
        assert {row["mode"] for row in rows} == {mode}
        expected = model.predict(some, params.get("channels", UNIFIED), mode)
        assert distance(rows, expected, model.labels) < CLOSE
    assert "windows: found shape [1, 3, 320], expected [n, 60, 320]" in found["answers"][4]


def test_what_is_in_the_registry(registry: str, folder: Path) -> None:
    client, experiment = open_experiment(registry, "mdjpt")
    (version,) = client.search_model_versions(f"name = '{NAME}'")
    (logged,) = client.search_logged_models([experiment])
    assert str(logged.status) == "READY" and version.source == logged.model_uri
    place = Path(logged.artifact_location.removeprefix("file://"))
    files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert {"MLmodel", "served.py", "input_example.json", "code/mdjpt_model/pretrained.py"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pyc")) or "mdjpt_platform" in name]
    for path in folder.iterdir():
        assert (place / "artifacts" / "model" / path.name).read_bytes() == path.read_bytes()
    pins = (place / "requirements.txt").read_text().split()
    assert {pin.partition("==")[0] for pin in pins} == {"mlflow", "numpy", "pandas", "safetensors", "torch"}
    assert all("+" not in pin for pin in pins)


def test_the_same_folder_is_registered_once(registry: str, folder: Path, tmp_path: Path) -> None:
    again = register(folder, registry, tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"{NAME}, version 1: there already")
    client, _ = open_experiment(registry, "mdjpt")
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1
    copy = tmp_path / "model"
    copy.mkdir()
    for path in folder.iterdir():
        content = path.read_bytes()
        (copy / path.name).write_bytes(content[:-1] + b"!" if path.name == "README.md" else content)
    refused = register(copy, registry, tmp_path)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "README.md: SHA-256" in refused.stderr
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1


@pytest.mark.parametrize("written", [True, False], ids=["file", "bytes"])
def test_the_program_agrees(folder: Path, model: Pretrained, written: bool) -> None:
    content = (folder / PROGRAM).read_bytes() if written else exported(model)
    program = torch.export.load(io.BytesIO(content)).module()
    random = torch.Generator().manual_seed(5)
    for count in (1, 2, 7):
        some = 2 * torch.randn(count, len(UNIFIED), model.samples, generator=random)
        with torch.no_grad():
            features, probabilities, affect = program(some)
        expected = model.predict(some, UNIFIED, "frozen")
        assert expected.probabilities is not None and expected.affect is not None
        for found, truth in (
            (features, expected.features), (probabilities, expected.probabilities), (affect, expected.affect),
        ):  # fmt: skip
            assert found.shape == truth.shape
            assert float((found - truth).abs().max()) < CLOSE


@pytest.fixture(scope="module")
def server(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(registry, f"models:/{NAME}/1", tmp_path_factory.mktemp("serve")) as started:
        yield started


@pytest.mark.slow
def test_http_answers_as_eager_does(server: Served, model: Pretrained, windows: np.ndarray) -> None:
    for some, params in (
        (windows[:1], {}), (windows, {}), (windows, {"mode": "whole"}), (windows, {"mode": "causal"}),
        (windows[:, :3], {"channels": list(FEW)}),
    ):  # fmt: skip
        status, answer = server.post({"inputs": some.tolist(), "params": params})
        assert status == 200, answer
        expected = model.predict(some, params.get("channels", UNIFIED), params.get("mode", "frozen"))
        assert distance(answer["predictions"], expected, model.labels) < CLOSE


def broken(windows: np.ndarray, value: object) -> list[Any]:
    tree = windows[:1].tolist()
    tree[0][3][7] = value
    return tree


@pytest.mark.slow
def test_a_bad_request_is_answered_with_its_reason(server: Served, windows: np.ndarray) -> None:
    shape = "windows: found shape [1, 60, 100], expected [n, 60, 320]: 2.56 s at 125 Hz of each channel"
    infinite = "windows: found NaN or infinity, expected finite values"
    ours: list[tuple[object, dict[str, Any], str]] = [
        (windows[:1, :, :100].tolist(), {}, shape),
        (windows[:1, :3].tolist(), {}, "windows: found shape [1, 3, 320], expected [n, 60, 320]"),
        (broken(windows, None), {}, infinite),
        (broken(windows, "NaN"), {}, infinite),
        (broken(windows, 1e300), {}, infinite),
        (windows[:1, :2].tolist(), {"channels": ["F3", "F3"]}, "F3"),
        (windows[:1, :2].tolist(), {"channels": ["F3", "nose"]}, "NOSE"),
        (windows[:1].tolist(), {"mode": "both"}, "mode: found 'both', expected"),
        (windows[:1].tolist(), {"mode": "whole"}, "windows: found one, expected two or more"),
    ]
    for inputs, params, reason in ours:
        status, answer = server.post({"inputs": inputs, "params": params})
        assert status == 400 and reason in answer["message"], (status, answer)
        assert "\n" not in answer["message"] and len(answer["message"]) < 400, "one line, without the data"
    theirs: list[tuple[object, str]] = [
        ({"inputs": windows[0].tolist()}, "does not match expected shape"),
        ({"inputs": broken(windows, "loud")}, "could not convert string to float"),
        ({"inputs": windows[:1].tolist(), "params": {"channels": "F3"}}, "must be a 1D array"),
        ({}, "exactly one of the input fields"),
        (b'{"inputs": [[', "valid JSON"),
    ]
    for body, reason in theirs:
        status, answer = server.post(body)
        assert 400 <= status < 500 and reason in answer["message"], (status, answer)
    status, answer = server.post({"inputs": windows[:1].tolist()})
    assert status == 200 and len(answer["predictions"]) == 1, "and goes on"


def test_names_and_models_that_cannot_be_registered(folder: Path, tmp_path: Path) -> None:
    from mdjpt_platform.errors import BadInput
    from mdjpt_platform.tracking.serving import register as register_folder

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(BadInput, match="--name"):
        register_folder(folder, "a/b", uri, "mdjpt")
    bare = tmp_path / "bare"
    export(next((folder.parent / "runs").glob("tiny-*")), bare, on=())
    with pytest.raises(BadInput, match="read-outs: found none"):
        register_folder(bare, NAME, uri, "mdjpt")
    (bare / CHECKSUMS).unlink()
    with pytest.raises(BadInput, match=CHECKSUMS):
        register_folder(bare, NAME, uri, "mdjpt")
    assert not (tmp_path / "mlflow.db").exists()
