"""Do a finished run again, from what lies in its folder, and say whether the same came out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.operations import compare, manifest
from mdjpt_platform.operations.compare import Finding
from mdjpt_platform.plain import YAML, object_of, read, yaml_of
from mdjpt_platform.runfile import override, parse

RESULT, WEIGHTS, METRICS = "result.json", "model.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Reproduction:
    """What came out."""

    original: Path
    repeated: Path
    findings: tuple[Finding, ...]
    environment: tuple[str, ...]
    """What differed beside the numbers, a line each."""
    notes: tuple[str, ...]
    """What was not compared, and why."""

    @property
    def equal(self) -> bool:
        """Everything that was compared, to the last bit."""
        return all(finding.equal for finding in self.findings)


def reproduce(folder: Path, into: Path, overrides: Iterable[str] = ()) -> Reproduction:
    """Train again into a new folder below `into`, evaluate if the run had been, compare.

    `overrides`: `exec.a=b` alone, for stores that lie elsewhere now or a machine without the device of then.
    Raises BadInput: no finished run, its files were changed, a store is absent or holds other data, `into` is not new;
    MdjptError: the training failed.
    """
    about = manifest.load(folder)
    if about.kind != "pretraining":
        raise BadInput(folder, "kind", about.kind, "a pre-training; for a study, one of its pre-trainings")
    weights = object_of(folder / RESULT, ["weights_sha256"])["weights_sha256"]
    if about.weights != weights or hashlib.sha256(read_weights(folder)).hexdigest() != weights:
        raise BadInput(folder / WEIGHTS, "checksum", "other weights than the run's", str(about.weights))
    config = configuration(folder, about, into, overrides)
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BadInput(into, "--into", "something there", "a new or empty folder")
    refuse_other_stores(config, about.stores, config.run.sources)
    evaluated, notes = evaluation_of(folder, config)

    from mdjpt_platform.train.launch import pretrain

    with redirect_stdout(sys.stderr):  # progress and tables are not what was asked for
        again = pretrain(config).folder
    findings = [compare.same_weights(folder / WEIGHTS, again / WEIGHTS),
                *compare.same_metrics(folder / METRICS, again / METRICS)]  # fmt: skip
    if evaluated is not None:
        from mdjpt_platform import verbs

        with redirect_stdout(sys.stderr):
            verbs.evaluate(config)
        there = verbs.evaluation_folder(config, again)
        findings += [compare.same_scores(evaluated / target / "scores.parquet", there / target / "scores.parquet")
                     for target in config.run.targets]  # fmt: skip
    now = manifest.load(again)
    if about.execution.get("workers_min") is not None:
        notes.append("the run went on with fewer workers where some were lost; this one had all of them throughout")
    if about.attempts > 1:
        notes.append(f"the run was made in {about.attempts} attempts, this one in {now.attempts}")
    if about.earlier:
        notes.append(f"other sources had a part in the run: {', '.join(about.earlier)}")
    differs = compare.environment(about.model_dump(), now.model_dump())
    return Reproduction(folder, again, tuple(findings), tuple(differs), tuple(notes))


def read_weights(folder: Path) -> bytes:
    """The bytes of the weights. Raises BadInput: absent."""
    from mdjpt_platform.train.checkpoint import LARGEST

    try:
        return read(folder / WEIGHTS, LARGEST)
    except OSError as error:
        raise BadInput(folder / WEIGHTS, "weights", error.strerror, "those of a finished run") from None


def configuration(folder: Path, about: manifest.Manifest, into: Path, overrides: Iterable[str]) -> Config:
    """The run's configuration, carried out as it was. Raises BadInput: run.yaml was changed, an override of results."""
    path = folder / "run.yaml"
    try:
        content = read(path, YAML)
        run = yaml_of(content.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(path, "run file", error, "the run file of a finished run") from None
    found = hashlib.sha256(content).hexdigest()
    if found != about.run or not isinstance(run, dict):
        raise BadInput(path, "SHA-256", found, f"{about.run}: the file was changed after the run")
    how = {name: value for name, value in about.execution.items() if name in manifest.HOW}
    how["workers_min"] = None
    if about.threads is not None:
        how["threads"] = about.threads  # what torch chose then, it may not choose here
    tree: dict[str, Any] = {**run, "exec": {**how, "mlflow": "off", "progress": sys.stderr.isatty()}}
    for text in overrides:
        if not text.strip().startswith("exec."):
            raise BadInput("--set", "key", text.partition("=")[0], "exec.…: what changes results is not to be changed")
        override(tree, text)
    tree["exec"]["runs"] = str(into)
    return parse(tree, path)


def refuse_other_stores(config: Config, expected: dict[str, str], names: Iterable[str]) -> None:
    """Raises BadInput: a store is absent, or holds other data than the run read; all of the latter are named."""
    from mdjpt_platform.train.prepared import open_stores

    names = tuple(names)
    stores = open_stores(config, names, verify=False)
    other = {name: stores[name].fingerprint for name in names if stores[name].fingerprint != expected.get(name)}
    if other:
        wanted = ", ".join(f"{name} {expected.get(name)}" for name in other)
        raise BadInput("stores", ", ".join(other), ", ".join(f"{n} {p}" for n, p in other.items()),
                       f"the data of the run: {wanted}")  # fmt: skip


def evaluation_of(folder: Path, config: Config) -> tuple[Path | None, list[str]]:
    """Where the run's own evaluation lies, and what is said of those that are not compared.

    Raises BadInput: it was evaluated on stores that are absent now or hold other data.
    """
    from mdjpt_platform.verbs import evaluation_folder

    mine = evaluation_folder(config, folder)
    others = [path.name for path in sorted(folder.glob("evaluation-*")) if path != mine]
    notes = [f"{name}: of other settings than run.yaml's, not compared" for name in others]
    targets = config.run.targets
    if not targets or not all((mine / target / "results.json").exists() for target in targets):
        return None, [*notes, "the run was not evaluated with the settings of its run.yaml: no scores to compare"]
    refuse_other_stores(config, manifest.load(mine).stores, dict.fromkeys((*targets, *config.run.sources)))
    return mine, notes
