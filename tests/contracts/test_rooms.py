"""The rooms of the repository: who may import whom, where things are declared, what no file may do."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from pydantic import BaseModel

from mdjpt_model import spec as specification
from mdjpt_model.emod import spec as emod_specification
from mdjpt_platform import config as configuration
from mdjpt_platform.library import spec as library_specification
from mdjpt_platform.predict.runfile import load as load_prediction
from mdjpt_platform.runfile import load
from mdjpt_platform.study.grid import expand
from mdjpt_platform.study.spec import load_study

ROOT = Path(__file__).resolve().parents[2]
PLATFORM, MODEL, JOBS = ROOT / "platform" / "mdjpt_platform", ROOT / "mdjpt_model", ROOT / "jobs"
WITH_RAY = {"runtime.py", "data/loader.py", "data/stream.py", "train/trainer.py", "train/worker.py", "train/group.py",
            "train/observed.py", "preprocess/run.py", "predict/batch.py", "study/tune.py", "study/hpo.py"}  # fmt: skip
WITH_MNE = ("corpora", "preprocess", "report")
RUNS = sorted((JOBS / "runs").glob("*.yaml"))


def files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


SOURCES = files(PLATFORM, MODEL, JOBS)
PYTHON = sorted(
    {*SOURCES, *(path for name in ("tests", "benchmarks", "cluster", "docs") for path in files(ROOT / name))}
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """Full names of everything imported in a file, inside functions and under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: relative import"
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "import_module",
            "importlib.import_module",
            "__import__",
        ):
            found.add(ast.unparse(node.args[0]).strip("f'\""))
    return found


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def test_the_walk_finds_the_rooms() -> None:
    assert {relative(p) for p in (PLATFORM / "config.py", MODEL / "model.py", JOBS / "demo.py")} <= {
        *map(relative, SOURCES)
    }
    assert "torch" in packages(MODEL / "model.py") and "ray" in packages(PLATFORM / "train" / "trainer.py")


def test_imports_point_one_way() -> None:
    for path in files(MODEL):
        assert not packages(path) & {"mdjpt_platform", "jobs", "tests"}, relative(path)
    for path in files(PLATFORM):
        assert not packages(path) & {"jobs", "tests", "benchmarks"}, relative(path)
    for path in files(JOBS):
        assert packages(path) <= {*sys.stdlib_module_names, "mdjpt_platform"}, relative(path)


def test_the_model_needs_torch_numpy_and_safetensors_alone() -> None:
    allowed = {*sys.stdlib_module_names, "torch", "numpy", "safetensors", "mdjpt_model"}
    assert {relative(path): packages(path) - allowed for path in files(MODEL) if packages(path) - allowed} == {}


def test_ray_is_imported_where_it_is_announced() -> None:
    announced = {path for path in SOURCES if (ast.get_docstring(parsed(path)) or "").startswith("(R)")}
    importing = {path for path in SOURCES if "ray" in packages(path)}
    assert importing == announced == {PLATFORM / name for name in WITH_RAY}


def test_mne_stays_in_its_rooms() -> None:
    for path in SOURCES:
        if packages(path) & {"mne", "mne_bids", "mne_lsl"}:
            assert path.is_relative_to(PLATFORM) and path.relative_to(PLATFORM).parts[0] in WITH_MNE, relative(path)


def test_mlflow_stays_in_its_room() -> None:
    found = {path for path in SOURCES if "mlflow" in packages(path)}
    assert found and {path.parent for path in found} == {PLATFORM / "tracking"}


def test_what_is_served_needs_the_model_alone() -> None:
    served = PLATFORM / "tracking" / "served.py"  # copied into the registry, without the rest of the platform
    allowed = {*sys.stdlib_module_names, "mdjpt_model", "mlflow", "numpy", "pandas"}
    assert packages(served) <= allowed


def test_platform_is_a_plain_folder() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "it would shadow Python's own module"


def test_jobs_are_short_and_shadow_nothing() -> None:
    for path in files(JOBS):
        assert path.stem not in sys.stdlib_module_names, relative(path)
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, relative(path)


def test_every_job_is_a_verb() -> None:
    from mdjpt_platform import cli

    verbs = {command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    verbs |= {str(group.name) for group in cli.app.registered_groups}
    assert {path.stem for path in files(JOBS)} <= verbs


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_file_is_short_and_named_by_what_it_holds(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in ("utils", "util", "helpers", "misc", "common")


def statements_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when the module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from statements_at_import(child)


WRITING = ("append", "insert", "extend", "setdefault", "update", "pop", "clear", "remove")


def written(node: ast.AST) -> str:
    """What an assignment, deletion or writing call changes, as source; empty if it changes nothing."""
    if isinstance(node, ast.Assign):
        return " ".join(map(ast.unparse, node.targets))
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return ast.unparse(node.target)
    if isinstance(node, ast.Delete):
        return " ".join(map(ast.unparse, node.targets))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITING:
        return ast.unparse(node.func.value)
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.putenv", "os.unsetenv"):
        return "os.environ"
    return ""


def test_detector_of_writes() -> None:
    tree = ast.parse(
        "import os\nif 1:\n    os.environ['A'] = 'b'\ndef f():\n    os.environ['A'] = 'b'\nos.environ.get('A')"
    )
    assert [written(node) for node in statements_at_import(tree) if written(node)] == ["os.environ['A']"]
    assert written(ast.parse("sys.path.insert(0, 'x')").body[0].value) == "sys.path"  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_file_edits_no_path_and_no_environment_at_import(path: Path) -> None:
    assert [node.lineno for node in ast.walk(parsed(path)) if written(node).startswith("sys.path")] == []  # type: ignore[attr-defined]
    at_import = [node for node in statements_at_import(parsed(path)) if written(node).startswith("os.environ")]
    assert [node.lineno for node in at_import] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_run_file_loads_and_has_its_twin(path: Path) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "files" in tree:
        assert load_prediction(path).exec.engine == "ray"
    elif "base" in tree:
        study, base = load_study(path)
        assert study.search is not None or study.budget != "steps" or expand(study, base)
    else:
        assert load(path).run.sources
    name = path.stem
    twin = name.removesuffix("_smoke") if name.endswith("_smoke") else f"{name}_smoke"
    assert path.with_stem(twin).is_file(), f"{path.name} has no {twin}.yaml"


def test_there_are_run_files() -> None:
    assert len(RUNS) >= 2


NODES: list[type] = [
    *(
        c
        for c in vars(configuration).values()
        if isinstance(c, type) and issubclass(c, BaseModel) and c is not BaseModel
    ),
    *(
        c
        for module in (specification, emod_specification, library_specification)
        for c in vars(module).values()
        if isinstance(c, type) and is_dataclass(c)
    ),
]


def described_fields(node: type) -> dict[str, bool]:
    """Field name -> whether it says what it is: a pydantic description, or a docstring below a dataclass field."""
    if issubclass(node, BaseModel):
        return {name: bool(field.description) for name, field in node.model_fields.items()}
    source = Path(inspect.getfile(node)).resolve()
    (body,) = (n.body for n in parsed(source).body if isinstance(n, ast.ClassDef) and n.name == node.__name__)
    found = {}
    for line, following in zip(body, [*body[1:], None], strict=True):
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and "ClassVar" not in ast.unparse(line)
        ):
            text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            found[line.target.id] = text and isinstance(following.value.value, str)  # type: ignore[union-attr]
    return found


@cache
def attributes_read() -> frozenset[str]:
    nodes = (node for path in SOURCES for node in ast.walk(parsed(path)))
    return frozenset(n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load))


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_setting_is_described_and_used(node: type) -> None:
    assert node.__doc__
    fields = described_fields(node)
    if node not in (configuration.Config, configuration.Frozen):
        assert fields and [name for name, described in fields.items() if not described] == []
    assert [name for name in fields if name not in attributes_read()] == []


def test_the_tree_has_its_nodes() -> None:
    expected = {"RunConfig", "ExecConfig", "ProbeConfig", "Switches", "ModelSpec", "EmodSwitches", *(
        spec.__name__ for spec in configuration.SPECS.values()
    )}  # fmt: skip
    assert expected <= {node.__name__ for node in NODES}
    assert set(described_fields(specification.Switches)) == {*specification.Switches.__dataclass_fields__} - {
        "__pydantic_config__"
    }


MACHINE = re.compile(r"(?<![\w.:])/(work|root|home(?!/ray\b))/")
"""Absolute paths of somebody's machine; /home/ray is that of Ray's own images."""


def belonging() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to it is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_place_on_one_machine() -> None:
    found = []
    for path in belonging():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}:{i}" for i, line in enumerate(text.splitlines(), 1) if MACHINE.search(line)]
    assert found == []


def test_detector_of_machine_paths() -> None:
    for text in ("/" + "work/main", "x=/" + "root/x", '"/' + 'home/me"'):
        assert MACHINE.search(text), text
    for text in ("bcmi.sjtu.edu.cn/" + "home/seed", "/" + "home/ray/anaconda3", "./" + "work/x", "framework/"):
        assert not MACHINE.search(text), text


def project() -> dict[str, list[str]]:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"run": about["dependencies"], **about["optional-dependencies"]}


def pinned() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    return {name.lower().replace("_", "-"): Version(version) for name, version in pins}


@pytest.mark.parametrize("text", [text for group in project().values() for text in group])
def test_pin_satisfies_the_requirement(text: str) -> None:
    requirement = Requirement(text)
    version = pinned().get(requirement.name.lower().replace("_", "-"))
    assert version is not None, f"constraints.txt does not pin {requirement.name}"
    assert version in requirement.specifier


def test_pins_are_unique_and_complete() -> None:
    assert len(pinned()) > 100
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len(pinned()) == len([line for line in lines if line.strip() and not line.startswith("#")])
