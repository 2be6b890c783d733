"""A model folder needs torch, NumPy and safetensors, and nothing else of what the platform needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from conftest import REPOSITORY
from model_folder import make_model

ALONE = """
import sys

# torch and what torch itself requires; NumPy; safetensors
ALLOWED = {"torch", "torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec",
           "filelock", "typing_extensions", "setuptools", "numpy", "safetensors", "mdjpt_model"}


class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED | sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if sys.argv[2] == "block":
    sys.meta_path.insert(0, Nothing())
for absent in ("mdjpt_platform", "ray", "pandas", "mlflow", "pydantic", "mne", "scipy", "sklearn", "yaml"):
    try:
        __import__(absent)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{absent} is there")

import torch
from safetensors.torch import load_file

from mdjpt_model import from_pretrained
from mdjpt_model.montage import UNIFIED

torch.set_num_threads(1)
model = from_pretrained(sys.argv[1])
example = load_file(f"{sys.argv[1]}/example.safetensors")
compared = 0
for mode in model.modes:
    for name, value in vars(model.predict(example["windows"], UNIFIED, mode)).items():
        if not torch.equal(value, example[f"{mode}.{name}"]):
            sys.exit(f"{mode}.{name}: {(value - example[f'{mode}.{name}']).abs().max()}")
        compared += 1
print(compared, "equal;", ", ".join(sorted({n.partition(".")[0] for n in sys.modules} - sys.stdlib_module_names)))
"""
EQUAL = "15 equal"
"""Features, probabilities, valence and arousal and both their ends, in three modes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def science(tmp_path: Path) -> Path:
    """A folder with a copy of `mdjpt_model` and nothing else."""
    copy = tmp_path / "science" / "mdjpt_model"
    shutil.copytree(REPOSITORY / "mdjpt_model", copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy.parent


def alone(python: Path | str, options: list[str], folder: Path, how: str, path: str) -> str:
    """What the script prints in a process with these places to import from."""
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [str(python), *options, "-c", ALONE, str(folder), how],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_bits_where_nothing_else_can_be_imported(folder: Path, science: Path) -> None:
    places = [str(science), sysconfig.get_paths()["purelib"]]
    said = alone(sys.executable, ["-S", "-B"], folder, "block", os.pathsep.join(places))
    assert said.startswith(EQUAL), said


@pytest.mark.slow
def test_the_same_bits_in_an_environment_of_its_own(folder: Path, science: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=300)
    python = tmp_path / "venv" / "bin" / "python"
    pins = str(REPOSITORY / "constraints.txt")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", pins]
    for some in (["torch"], ["numpy", "safetensors"]):  # torch first and alone, as the Makefile says why
        subprocess.run([*install, *some], check=True, timeout=500)
    assert alone(python, ["-B"], folder, "as it is", str(science)).startswith(EQUAL)
