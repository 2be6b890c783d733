"""`about.json` beside every result: with what, from what and how it was made. Part of no identity.

Written when the work starts and again when it has ended, so that an interrupted run says what began it.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdjpt_platform import __version__
from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.code import git_state, sources
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput, masked
from mdjpt_platform.hardware import hardware
from mdjpt_platform.objects import is_uri
from mdjpt_platform.plain import read

NAME = "about.json"
LARGEST = 2**22
"""Bytes of a manifest that is read; one of ours has 3 kB."""
PACKAGES = ("torch", "ray", "mlflow", "numpy")
HOW = ("engine", "workers", "workers_min", "threads", "gpu", "cpus_per_worker", "fetch", "resident", "activations",
       "compile", "store", "cache")  # fmt: skip
"""Fields of `exec` that are kept: what may move the last digit, and where the data were."""
RAY_WORKER = "default_worker.py"
SECRET = re.compile(r"(?i)(key|secret|token|passw|credential)")


class Manifest(BaseModel):
    """Everything but the numbers."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    kind: Literal["pretraining", "evaluation", "study"]
    identity: str = Field(description="of the result: what its folder is named after")
    versions: dict[str, str] = Field(description="mdjpt, Python and the packages that compute")
    sources: str = Field(description="folders that the code was imported from")
    code: str = Field(description="hash of every source file in them")
    git: str | None = Field(None, description="commit, `-dirty` where files differ from it; None outside a checkout")
    hardware: dict[str, str] = Field(description="of the process that trained (rank 0), once it has begun")
    command: tuple[str, ...] = Field(
        description="as it was typed, secrets masked; none in a trial of a study: the study's manifest has it"
    )
    run: str = Field(description="SHA-256 of run.yaml, or of what stands for it in a study")
    seeds: dict[str, int]
    steps: int | None = Field(None, description="steps of the whole pre-training")
    execution: dict[str, Any] = Field(description="fields of `exec` as they were set (HOW)")
    threads: int | None = Field(None, description="torch threads that rank 0 had, set or not")
    stores: dict[str, str] = Field(description="fingerprint by corpus")
    weights: str | None = Field(None, description="SHA-256 of the weights that were made or judged")
    started: float = Field(description="s since 1970, of the first attempt")
    ended: float | None = Field(None, description="s since 1970; None while it is not finished")
    attempts: int = Field(1, description="how often it was started; more than one: it was resumed")
    earlier: tuple[str, ...] = Field((), description="hashes of other sources that had a part in it before a resume")


def describe(
    kind: Literal["pretraining", "evaluation", "study"], config: Config, identity: str, run: bytes,
    stores: Mapping[str, str], **facts: Any,
) -> Manifest:  # fmt: skip
    """The manifest of work that begins now; `run`: the bytes of its run file."""
    folders, code = sources()
    return Manifest(
        kind=kind, identity=identity, versions=versions(), sources=folders, code=code, git=git_state(),
        hardware=hardware(config.exec.gpu), command=tuple(command(sys.argv)), run=hashlib.sha256(run).hexdigest(),
        seeds={"run": config.run.seed, "evaluate": config.run.evaluate.seed}, execution=how(config),
        stores=dict(stores), started=time.time(), **facts,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of what computes; what is not installed is left out."""
    found = {"mdjpt": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def how(config: Config) -> dict[str, Any]:
    """The kept fields of `exec`, places absolute and without passwords."""
    tree = {name: value for name, value in config.exec.model_dump(mode="json").items() if name in HOW}
    for name in ("store", "cache"):
        if tree[name] is not None:
            tree[name] = masked(tree[name]) if is_uri(tree[name]) else str(Path(tree[name]).resolve())
    return tree


def command(words: Sequence[str]) -> list[str]:
    """A command line without secrets: passwords in addresses, and values whose name says that they are secret."""
    shown: list[str] = []
    if words and Path(words[0]).name == RAY_WORKER:
        return shown
    for word in words:
        name, equals, _ = word.partition("=")
        if shown and shown[-1].startswith("-") and SECRET.search(shown[-1]) and "=" not in shown[-1]:
            shown.append("***")
        elif equals and SECRET.search(name.rpartition("?")[0] or name) and "://" not in name:
            shown.append(f"{name}=***")
        else:
            shown.append(masked(word))
    return shown


def write(folder: Path, manifest: Manifest) -> None:
    """Put it into the folder."""
    write_atomic(folder / NAME, manifest.model_dump_json(indent=1).encode())


def begin(folder: Path, manifest: Manifest) -> None:
    """Write it; where the folder has one of the same work, this is a further attempt at it."""
    try:
        before = load(folder)
    except BadInput:
        before = None  # none, or one of an older version: nothing is known of earlier attempts
    if before is not None and before.identity == manifest.identity:
        others = dict.fromkeys((*before.earlier, before.code))
        others.pop(manifest.code, None)
        update = {"started": before.started, "attempts": before.attempts + 1, "earlier": tuple(others)}
        manifest = manifest.model_copy(update=update)
    write(folder, manifest)


def amend(folder: Path, **facts: Any) -> None:
    """Add what became known later. Raises BadInput: the folder has no manifest."""
    write(folder, load(folder).model_copy(update=facts))


@contextmanager
def recorded(folder: Path, about: Manifest) -> Iterator[None]:
    """Write it now, and when the block has ended well, when that was."""
    begin(folder, about)
    yield
    amend(folder, ended=time.time())


def load(folder: Path) -> Manifest:
    """The manifest of a result's folder. Raises BadInput: absent, damaged, of an older version."""
    path = folder / NAME
    try:
        return Manifest.model_validate_json(read(path, LARGEST))
    except OSError as error:
        raise BadInput(path, "manifest", error.strerror, "the manifest of a run, an evaluation or a study") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "JSON"
        raise BadInput(path, field, first["msg"], "a manifest that this version wrote") from None
