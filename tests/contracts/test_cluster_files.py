"""Images, clouds, MLflow's server and the batch scripts of cluster/, and every command that its files name.

As in test_cluster.py: nothing here shows that an image builds or a machine starts.
"""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from mdjpt_platform.runfile import load
from mdjpt_platform.study.spec import load_study

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file() and path.suffix != ".pyc")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
RAY_CLUSTERS = re.compile(r'rayVersion: "([\d.]+)"')


def dockerfile(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip()) for word, _, rest in (x.partition(" ") for x in text.splitlines() if x.strip())
    ]


DOCKERFILES = [CLUSTER / "Dockerfile", CLUSTER / "mlflow" / "Dockerfile"]
BASE = re.compile(r"python:(\d+\.\d+\.\d+)-slim-\w+")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image(path: Path) -> None:
    steps = dockerfile(path)
    stages: set[str] = set()
    for word, rest in steps:
        assert word in {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT"}, (
            "no ADD, no secrets in ARG"
        )
        if word == "FROM":
            base, *named = rest.split(" AS ")
            assert base in stages or BASE.fullmatch(base), f"{base} is not pinned"
            stages |= set(named)
        if word in ("ARG", "ENV"):
            assert not re.search(r"TOKEN=|PASSWORD|SECRET", rest)
        if word == "RUN":
            assert not re.search(r"curl|https?://", rest)
    assert [rest for word, rest in steps if word == "USER"][-1] == "1000:1000"


def test_image_of_nodes() -> None:
    steps = dockerfile(CLUSTER / "Dockerfile")
    targets = [rest.split(" AS ")[1] for word, rest in steps if word == "FROM"]
    assert targets == ["packages", "wheel", "installed"]
    start = [i for i, (word, _) in enumerate(steps) if word == "FROM"]
    packages = steps[: start[1]]
    assert ("ENV", "PYTHONPATH=platform      RAY_AUTH_MODE=token      RAY_USAGE_STATS_ENABLED=0") in packages
    assert [rest for word, rest in packages if word == "COPY"] == ["constraints.txt pyproject.toml ./"]
    installs = [part for word, rest in steps if word == "RUN" for part in rest.split("&&") if "pip install" in part]
    assert all("--constraint constraints.txt" in one or "--no-deps" in one for one in installs) and len(installs) == 4
    assert ("USER", "1000:1000") in packages and steps[-1] == ("USER", "1000:1000")
    allowed = {line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name for word, rest in steps if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    assert copied == allowed and all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("path", [CLUSTER / "Dockerfile", CLUSTER / "cloud" / "aws.yaml"], ids=lambda path: path.name)
def test_requirements_are_those_of_the_project(path: Path) -> None:
    found = re.search(r'python -c "(import tomllib.*?)" > requirements.txt', path.read_text())
    assert found is not None
    printed = subprocess.run([sys.executable, "-c", found[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*about["dependencies"], *about["optional-dependencies"]["platform"]]
    assert [line for line in printed.stdout.splitlines() if line != "boto3"] == wanted


def test_versions_agree() -> None:
    text = {path: path.read_text(encoding="utf-8") for path in FILES}
    pythons = {found for one in text.values() for found in BASE.findall(one)}
    (python,) = pythons
    assert python.startswith("3.11."), "the minor version that constraints.txt was measured with"
    tags = {found for one in text.values() for found in re.findall(r"mdjpt:(ray[\w.]+-py[\d.]*\d)", one)}
    assert tags == {f"ray{PINS['ray']}-py{python}"}
    stated = [found for one in text.values() for found in RAY_CLUSTERS.findall(one)]
    assert stated == [PINS["ray"]] * 2
    mlflow = {found for one in text.values() for found in re.findall(r"mlflow(?:\[auth\]==|:)(\d+\.\d+\.\d+)", one)}
    assert mlflow == {PINS["mlflow"]}


def test_aws_is_what_ray_up_takes() -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    tree = yaml.safe_load((CLUSTER / "cloud" / "aws.yaml").read_text())
    jsonschema.validate(tree, schema)
    types = tree["available_node_types"]
    assert "InstanceMarketOptions" not in types[tree["head_node_type"]]["node_config"]
    assert types["spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    for one in types.values():
        assert (
            "SecurityGroupIds" in one["node_config"]
            and one["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        )
    head = tree["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head and "0.0.0.0" not in head
    assert tree["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in one for one in tree["initialization_commands"])
    local = [name for name in tree["file_mounts"].values() if not name.startswith("~")]
    assert local and all((ROOT / name).is_file() for name in local)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree | {"idle_timeout": 1}, schema)


def test_mlflow_keeps_its_passwords_in_files() -> None:
    tree = yaml.safe_load((CLUSTER / "mlflow" / "compose.yaml").read_text())
    services, secrets = tree["services"], tree["secrets"]
    assert all(value["file"].startswith("./secrets/") for value in secrets.values())
    for service in services.values():
        assert set(service["secrets"]) <= set(secrets)
        assert set(service["networks"]) <= set(tree["networks"])
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(tree["volumes"])
        for name, value in service["environment"].items():
            assert "PASSWORD" not in name or (name.endswith("_FILE") and value.startswith("/run/secrets/"))
    assert "ports" not in services["database"] and tree["networks"]["inside"]["internal"] is True
    assert services["server"]["ports"] == ["127.0.0.1:5000:5000"]
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in services["server"]["environment"]
    start = (CLUSTER / "mlflow" / "start.sh").read_text()
    assert set(re.findall(r"/run/secrets/(\w+)", start)) == set(services["server"]["secrets"])
    for ignored in ("secrets/database_password", "secrets/admin_password"):
        asked_git = subprocess.run(["git", "check-ignore", "-q", f"cluster/mlflow/{ignored}"], cwd=ROOT)
        assert asked_git.returncode in (0, 128), "passwords would be added to the repository (128: not a checkout)"


def test_no_secret_has_a_value() -> None:
    for path in FILES:
        assert not re.search(
            r"(auth_token|password|secret_key)\"?\s*[:=]\s*[\"']?[0-9a-zA-Z/+]{12,}", path.read_text()
        ), path


BATCH = [CLUSTER / "slurm" / name for name in ("pretrain.sh", "study.sh")]


@pytest.mark.parametrize("path", sorted(CLUSTER.rglob("*.sh")), ids=lambda path: path.name)
def test_shell_is_shell(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).stderr == b""


@pytest.mark.parametrize("path", BATCH, ids=lambda path: path.name)
def test_batch_script(path: Path) -> None:
    text = path.read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))
    lines = text.splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") for line in lines[: last + 1]), "Slurm reads no further than the first command"
    signal = re.fullmatch(r"B:USR1@(\d+)", options["signal"])
    grace = re.search(r"MDJPT_GRACE:-(\d+)", (path.parent / "job.sh").read_text())
    assert signal is not None and grace is not None
    assert int(signal[1]) >= int(grace[1]) + 60, "what is left after the wait for a checkpoint ends the processes"
    assert "requeue" in options and options["open-mode"] == "append"


def test_slurm_ends_only_what_it_started() -> None:
    for path in (CLUSTER / "slurm").glob("*.*"):
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(), flags=re.DOTALL if path.suffix == ".py" else 0)
        assert not re.search(r"ray stop|\"stop\"\]|pkill|killall|RAY_AUTH_TOKEN=", code), path.name


NAMED = re.compile(r"jobs/[\w/]+\.(?:py|yaml)")
COMMAND = re.compile(r"(jobs/runs/\w+\.yaml)((?:\s+(?:#\s+)?--set\s+[^\s`]+)+)")


def test_every_job_and_run_file_that_is_named_exists() -> None:
    named = {(path, name) for path in FILES for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert len({path for path, _ in named}) >= 7
    assert [(path.name, name) for path, name in sorted(named) if not (ROOT / name).is_file()] == []


def commands() -> list[tuple[str, str, list[str]]]:
    found = []
    for path in FILES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for run, rest in COMMAND.findall(text):
            found.append((path.name, run, re.findall(r"--set\s+(\S+)", rest)))
    return found


@pytest.mark.parametrize(("where", "run", "overrides"), commands(), ids=lambda value: str(value)[:40])
def test_settings_that_are_named_exist(where: str, run: str, overrides: list[str]) -> None:
    kept = [one for one in overrides if "=" in one and "..." not in one and "$" not in one]
    tree = yaml.safe_load((ROOT / run).read_text())
    if "base" in tree:
        load_study(ROOT / run, kept)
    else:
        load(ROOT / run, kept)
    assert len(commands()) >= 4


@pytest.mark.parametrize("path", BATCH, ids=lambda path: path.name)
def test_settings_of_batch_scripts_exist(path: Path) -> None:
    keys = re.findall(r'--set "?(exec\.\w+)=', path.read_text())
    values = {"gpu": "true", "progress": "false", "mlflow": "off"}
    overrides = [f"{key}={values.get(key.removeprefix('exec.'), '1')}" for key in keys]
    strings = [one if not one.endswith(("runs=1", "store=1")) else one.replace("=1", "=/x") for one in overrides]
    assert len(keys) >= 6
    load(ROOT / "jobs" / "runs" / "demo_smoke.yaml", strings)


def test_numbers_of_the_readme_are_those_of_the_formula() -> None:
    outcome = doctest.testfile(str(CLUSTER / "README.md"), module_relative=False)
    assert outcome.failed == 0 and outcome.attempted == 6
