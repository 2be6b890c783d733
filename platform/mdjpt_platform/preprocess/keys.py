"""What decides the numbers of a recording, as a chain of keys: one for the signal as read, one after every step.

A key hashes the key before it, a step with all its parameters, the source behind that step and the versions of the
libraries it uses. So two recipes share keys for as long as they say the same, and an edit or an upgrade changes the
keys from its own step on. No path, no time enters.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mdjpt_platform.config import StepConfig, content_hash
from mdjpt_platform.corpora.base import Corpus, Recording
from mdjpt_platform.preprocess.quality import look
from mdjpt_platform.preprocess.signals import begin
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.store.schema import FORMAT

HOME = Path(__file__).resolve().parents[1]
ROOMS = ("corpora", "preprocess")
"""Folders of this package whose files decide numbers."""
LIBRARIES = {
    "mne": ("mne",),
    "scipy": ("scipy",),
    "mne_icalabel": ("mne-icalabel", "python-picard"),
    "pyriemann": ("pyriemann",),
}
"""Imported package -> the distributions behind it whose versions decide numbers (MNE calls Picard by itself)."""
UNREAD = {"subjects", "simulate"}
"""Fields of a corpus' configuration that choose recordings and change none."""


def steps_of_recording(recipe: Sequence[StepConfig]) -> list[StepConfig]:
    """The steps that work on one recording: all but the subject's."""
    return [step for step in recipe if STEPS[step.step].stage == "recording"]


def codes_of(corpus: Corpus, recipe: Sequence[StepConfig]) -> tuple[str, ...]:
    """Hashes of the sources behind the signal as read, then behind every step of the recipe."""
    reader = [code_of(function) for function in (corpus.read, corpus.recordings, begin, look)]
    # facts are no source where a layout's functions come from a factory
    return content_hash([reader, asdict(corpus.facts)]), *(code_of(STEPS[step.step].work) for step in recipe)


def chain(
    recording: Recording, inputs: Mapping[str, str], recipe: Sequence[StepConfig], codes: Sequence[str]
) -> tuple[str, ...]:
    """Keys of a recording as read and after each of its steps; the last one names its result.

    `inputs`: SHA-256 of its files by short name; `codes`: `codes_of` the corpus and the recipe.
    """
    read = {
        "corpus": recording.corpus,
        "layout": recording.layout,
        "recording": recording.id,
        "files": dict(inputs),
        "options": recording.options.model_dump(mode="json", exclude=UNREAD),
        "code": codes[0],
        "format": FORMAT,
    }
    keys = [content_hash(read)]
    for step, code in zip(steps_of_recording(recipe), codes[1:], strict=False):  # the subject's step comes last
        keys.append(content_hash([keys[-1], step.step, step.params, code]))
    return tuple(keys)


def code_of(function: Callable[..., Any]) -> str:
    """Hash of the files behind a function, the tables beside them (`<module>.json`) and the libraries they import."""
    found, imported = [], set[str]()
    for path in files_behind(function):
        imported |= {name.split(".")[0] for name in _imports(path.read_bytes())}
        tables = (table for table in sorted(path.parent.glob(f"{path.stem}.*")) if table != path)
        found.append(hashlib.sha256(b"\0".join(one.read_bytes() for one in (path, *tables))).hexdigest())
    used = sorted(name for package in imported & set(LIBRARIES) for name in LIBRARIES[package])
    return content_hash([sorted(found), {name: version(name) for name in used}])


def files_behind(function: Callable[..., Any]) -> set[Path]:
    """The source file that defines a function and every file of ROOMS it imports, also through one another.

    Import statements are read, not followed: they name constants as well as functions, and imports inside functions
    count. Empty for a function without a file (typed at a prompt).
    """
    while isinstance(function, partial):
        function = function.func
    name = inspect.getsourcefile(inspect.unwrap(function))
    found: set[Path] = set()
    ahead = [Path(name).resolve()] if name else []
    while ahead:
        path = ahead.pop()
        if path not in found:
            found.add(path)
            ahead += [file for name in _imports(path.read_bytes()) if (file := _file(name)) is not None]
    return found


@lru_cache(maxsize=512)
def _imports(source: bytes) -> tuple[str, ...]:
    """Dotted names in the import statements of a source; of `from a import b` both a and a.b, which may be a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _file(name: str) -> Path | None:
    """The file of a module in ROOMS; None for any other name."""
    package, *inside = name.split(".")
    path = HOME.joinpath(*inside).with_suffix(".py")
    return path if package == HOME.name and len(inside) > 1 and inside[0] in ROOMS and path.is_file() else None
