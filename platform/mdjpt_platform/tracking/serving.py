"""A model folder in MLflow's registry, from where `mlflow models serve` answers windows over HTTP.

What is registered: the folder itself, the file served.py and the package `mdjpt_model` as source text, a signature and
an example. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of

import mdjpt_model
from mdjpt_model.montage import UNIFIED
from mdjpt_model.pretrained import CHECKSUMS, Pretrained
from mdjpt_platform.errors import BadInput, MdjptError, masked
from mdjpt_platform.export.folder import EXAMPLE, load
from mdjpt_platform.plain import object_of, read
from mdjpt_platform.tracking.mlflow import IDENTITY, UPLOAD_SECONDS, open_experiment, refusals
from mdjpt_platform.tracking.names import brief, patience

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CODE = Path(__file__).with_name("served.py")
NEEDED = ("mlflow", "numpy", "pandas", "safetensors", "torch")
TAG, FAMILY = "mdjpt.checksums", "mdjpt.family"
BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
MODE = "frozen"
"""Unless a request says otherwise: every window by itself, so that an answer does not depend on its companions."""
LARGEST = 2**34
"""Bytes of a file of a model folder."""


def register(folder: Path, name: str, uri: str, experiment: str, artifacts: Path | None = None) -> tuple[int, bool]:
    """Log and register a model folder under `name`; gives its version, and whether it is a new one.

    A folder with the same checksums is not registered twice under one name. `artifacts`: where the files go that a
    database does not hold, for an experiment that is not there yet.
    Raises BadInput: a damaged folder, a model without read-outs, a name MLflow does not take; MdjptError: MLflow does
    not answer or refuses.
    """
    if not re.fullmatch(r"[\w.\- ]{1,250}", name):
        raise BadInput("command line", "--name", repr(name), "letters, digits, '_', '.', '-' and spaces")
    model = load(folder)
    if MODE not in model.modes:
        raise BadInput(folder, "read-outs", "none", "a model exported without --bare: there is nothing to answer with")
    print_ = hashlib.sha256(read(folder / CHECKSUMS)).hexdigest()
    try:
        with patience(UPLOAD_SECONDS), tempfile.TemporaryDirectory() as place:
            copy = _copied(folder, Path(place) / "model")  # whole, or refused before anybody is asked
            _, experiment_id = open_experiment(uri, experiment, artifacts)
            with _pointed_at(uri) as client:
                versions = client.search_model_versions(f"name = '{name}'")
                same = [int(one.version) for one in versions if one.tags.get(TAG) == print_]
                if same:
                    return min(same), False
                saved = _saved(model, copy, Path(place) / "saved")
                return _registered(client, model, saved, name, experiment_id, {TAG: print_, FAMILY: model.family}), True
    except refusals() as error:
        raise MdjptError(f"MLflow at {masked(uri)} does not take {folder}: {brief(error)}") from None


def _registered(
    client: MlflowClient, model: Pretrained, saved: Path, name: str, experiment_id: str, tags: dict[str, str]
) -> int:
    """Log what lies in `saved` and make it the next version of `name`; what is cut off before that is no version."""
    simple = re.sub(r"[^\w\-]", "_", name)  # a logged model's name is held to stricter rules
    logged = client.create_logged_model(experiment_id, simple, _run_of(client, model, experiment_id), tags)
    client.log_model_artifacts(logged.model_id, str(saved))
    client.finalize_logged_model(logged.model_id, "READY")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, logged.model_uri, logged.source_run_id, tags, model_id=logged.model_id)
    return int(made.version)


def _saved(model: Pretrained, folder: Path, place: Path) -> Path:
    """The model as MLflow lays it out on disk; MLflow tries it on the example."""
    import mlflow

    mlflow.pyfunc.save_model(
        place,
        python_model=str(CODE),
        artifacts={"model": str(folder)},
        code_paths=[str(Path(str(mdjpt_model.__file__)).parent)],
        pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in NEEDED],
        signature=_signature(model),
        input_example=(_example(folder), {"channels": list(UNIFIED), "mode": MODE}),
    )
    return place


def _run_of(client: MlflowClient, model: Pretrained, experiment_id: str) -> str | None:
    """The run in which the model was trained, where this MLflow has it."""
    identity = str(model.config["trained"].get("identity"))
    runs = client.search_runs([experiment_id], f"tags.`{IDENTITY}` = '{identity}'") if identity.isalnum() else []
    return str(runs[0].info.run_id) if runs else None


def _signature(model: Pretrained) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    number, text = DataType.double, DataType.string
    readout = model.readouts[MODE]
    outputs: list[ColSpec] = []
    if readout.layers:
        names = ("confidence", *(f"p_{label}" for label in model.labels))
        outputs += [ColSpec(text, "label"), *(ColSpec(number, name) for name in names)]
    if readout.affect is not None:
        ends = ("", "_low", "_high") if readout.halfwidth is not None else ("",)
        outputs += [ColSpec(number, name + end) for end in ends for name in ("valence", "arousal")]
    return ModelSignature(
        # the number of samples is left to the model, whose refusal is one line; MLflow's repeats the data
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1))]),
        outputs=Schema([*outputs, ColSpec(text, "mode")]),
        params=ParamSchema([
            ParamSpec("channels", text, list(UNIFIED), (-1,)),
            ParamSpec("mode", text, MODE),
        ]),
    )  # fmt: skip


def _copied(folder: Path, copy: Path) -> Path:
    """The files that the folder's checksums name, and no others. Raises BadInput: one is absent or damaged."""
    copy.mkdir()
    for name, expected in object_of(folder / CHECKSUMS, [EXAMPLE]).items():
        if Path(name).name != name:
            raise BadInput(folder / CHECKSUMS, "name", name, "names of files of the folder")
        try:
            content = read(folder / name, LARGEST)
        except OSError as error:
            raise BadInput(folder / name, "file", error.strerror, "a file of a model folder") from None
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise BadInput(folder / name, "SHA-256", found, f"{expected}: damaged or changed")
        (copy / name).write_bytes(content)
    shutil.copyfile(folder / CHECKSUMS, copy / CHECKSUMS)
    return copy


def _example(folder: Path) -> NDArray[np.float32]:
    """Two made-up windows [2, 60, samples]."""
    try:
        return np.ascontiguousarray(tensors_of((folder / EXAMPLE).read_bytes())["windows"][:2], np.float32)
    except (SafetensorError, KeyError, ValueError) as error:
        raise BadInput(folder / EXAMPLE, "windows", error, "made-up windows [6, 60, samples]") from None


@contextmanager
def _pointed_at(uri: str) -> Iterator[MlflowClient]:
    """A client. MLflow looks logged models up at the address of the process, whatever client asks: it is lent ours."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    bars = os.environ.get(BARS)
    os.environ[BARS] = "false"
    mlflow.set_tracking_uri(uri)
    try:
        yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: unset
        os.environ.pop(BARS) if bars is None else os.environ.update({BARS: bars})
