"""Raw recordings on object storage: listed through an outline, fetched one recording at a time.

Readers work on local files. For the listing they get an outline of the corpus: every folder, small side files for real,
and of each large file a hollow one of its size and time. A task then fetches what its recording names, reads it, and
removes it, so that the node's disk holds one recording a task.

A corpus read so gives the store that it gives read from a local folder, byte for byte.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mdjpt_platform.config import content_hash
from mdjpt_platform.corpora.base import Recording
from mdjpt_platform.errors import BadInput
from mdjpt_platform.objects import Object, Place, download, listing, shown, together
from mdjpt_platform.preprocess.keys import chain
from mdjpt_platform.preprocess.recording import Outcome, Task, inputs_of, prepare_recording, signature
from mdjpt_platform.preprocess.result import load_prepared
from mdjpt_platform.store.write import new_draft, unwritable

SMALL = 1 << 20
"""Bytes up to which the outline has every file for real."""
SIDE = (".tsv", ".csv", ".json", ".xml", ".txt", ".vhdr", ".vmrk")
"""Text files beside recordings ..."""
LARGEST_SIDE = 16 << 20
"""... which the outline has for real up to this many bytes."""


@dataclass(frozen=True)
class Outline:
    """Which file of the outline stands for which object. Stays of use when the folder is gone."""

    place: Place
    root: Path
    """Folder of the outline, which readers take for that of the corpus."""
    objects: Mapping[str, Object]

    def part(self, files: Iterable[str]) -> Outline:
        """The outline of one recording's files: little to send to a task.

        Raises BadInput: a file that is not in the outline.
        """
        names = [self.name(file) for file in files]
        return Outline(self.place, self.root, {name: self.objects[name] for name in names})

    def name(self, file: str) -> str:
        """Name of the object that a file of the outline stands for. Raises BadInput: there is none."""
        path = Path(os.path.normpath(file))
        name = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        if name not in self.objects:
            raise BadInput(f"{self.place}/{name}", "file of a recording", "nothing", "a file of the corpus")
        return name

    def size(self, file: str) -> int:
        """Bytes of an object. Raises BadInput: there is none."""
        return self.objects[self.name(file)].size

    def mark(self, file: str) -> str:
        """Hash of place, size and time of an object: equal for one that was not touched (see recording.signature)."""
        entry = self.objects[self.name(file)]
        return content_hash([shown(self.place.uri), entry.name, entry.size, entry.modified])


@contextmanager
def outline(place: Place, scratch: str | Path) -> Iterator[Outline]:
    """An outline of a corpus in a folder of its own below `scratch`, for as long as the block lasts.

    Raises BadInput: nothing there, names that lead out of the place, side files that cannot be read, `scratch` that
    cannot be written; in the block, an attempt to open a hollow file (`Corpus.recordings` reads no signals).
    """
    files, folders = listing(place)
    try:
        draft = new_draft(Path(scratch).absolute(), "outline")
    except OSError as error:
        raise unwritable(scratch, error) from None
    found = Outline(place, draft / (Path(place.base).name or "raw"), {file.name: file for file in files})
    try:
        try:
            hollow = _lay_out(found, folders)
        except OSError as error:
            raise unwritable(scratch, error) from None
        with _closed({str(found.root / name): f"{place}/{name}" for name in hollow}):
            yield found
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _lay_out(found: Outline, folders: Sequence[str]) -> list[str]:
    """Make folders and files; names of the hollow ones."""
    for folder in {"", *folders, *(name.rpartition("/")[0] for name in found.objects)}:
        (found.root / folder).mkdir(parents=True, exist_ok=True)

    def side(file: Object) -> None:
        path = found.root / file.name
        with path.open("wb") as out:
            download(found.place, file, out)
        os.utime(path, ns=(file.modified, file.modified))

    sides = [file for file in found.objects.values() if _is_side(file)]
    together(side, sides)
    hollow = [file for file in found.objects.values() if not _is_side(file)]
    for file in hollow:
        path = found.root / file.name
        with path.open("wb") as out:
            out.truncate(file.size)
        path.chmod(0)  # stops libraries that open files without Python; root's privileges set it aside
        os.utime(path, ns=(file.modified, file.modified))
    return [file.name for file in hollow]


def _is_side(file: Object) -> bool:
    return file.size <= SMALL or (file.name.lower().endswith(SIDE) and file.size <= LARGEST_SIDE)


_hollow: dict[str, str] = {}
"""Hollow files of the outlines in use -> the objects that they stand for."""
_opened: list[str] = []


@contextmanager
def _closed(hollow: Mapping[str, str]) -> Iterator[None]:
    """Refuse to open hollow files, so that no zeros are taken for data."""
    _watch()
    _hollow.update(hollow)
    try:
        yield
        touched = [path for path in _opened if path in hollow]
        if touched:  # the reader kept the refusal to itself
            raise _refusal(touched[0])
    finally:
        _opened[:] = [path for path in _opened if path not in hollow]
        for path in hollow:
            del _hollow[path]


@cache
def _watch() -> None:
    """Python tells its audit hooks of every file it is about to open; a hook's exception prevents it."""
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _hollow and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path in _hollow:
            _opened.append(path)
            raise _refusal(path)


def _refusal(path: str) -> BadInput:
    size = os.stat(path).st_size
    expected = f"side files alone (up to {SMALL >> 20} MB; text {LARGEST_SIDE >> 20} MB): copy this corpus to a folder"
    return BadInput(_hollow[path], "listing of recordings", f"a reader that opens this file of {size} bytes", expected)


@dataclass(frozen=True)
class Fetched:
    """Local copies of one recording's files."""

    root: Path
    files: tuple[str, ...]
    """In the order asked for."""
    digests: Mapping[str, str]
    """Mark (`Outline.mark`) -> SHA-256 of what was read."""

    def portable(self, text: str) -> str:
        """An error's text without the place of the copies: it enters the manifest."""
        return text.replace(f"{self.root}/", "").replace(str(self.root), ".")


@contextmanager
def fetched(outline: Outline, files: Sequence[str], scratch: str | Path) -> Iterator[Fetched]:
    """Copies of a recording's files below `scratch`, in the tree that they have in the corpus; removed after the block.

    All of them are there when the block begins, or none. Raises BadInput: an object that cannot be read or is not the
    one that was listed. OSError: the local disk, also for want of room.
    """
    names = [outline.name(file) for file in files]
    draft = new_draft(Path(scratch).absolute(), "fetch")
    try:
        need, free = sum(outline.objects[name].size for name in set(names)), shutil.disk_usage(draft).free
        if need > free:
            raise OSError(errno.ENOSPC, f"{free >> 20} MB free, {need >> 20} MB needed for the files of a recording")
        root = draft / outline.root.name
        digests = {}
        for file, name in zip(files, names, strict=True):
            target, entry = root / name, outline.objects[name]
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                digests[outline.mark(file)] = download(outline.place, entry, out)
            os.utime(target, ns=(entry.modified, entry.modified))
        yield Fetched(root, tuple(str(root / name) for name in names), digests)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def prepare_remote(recording: Recording, task: Task, outline: Outline, scratch: str | Path) -> Outcome:
    """`prepare_recording` for files on object storage: they are fetched unless the result is known to be there.

    `Task.digests` and `Outcome.digests` go by `Outline.mark` in place of `signature`.
    """
    if recording.problem:
        return prepare_recording(recording, task)
    try:
        settled = _settled(recording, task, outline)
        if settled is not None:
            return settled
        with fetched(outline, recording.files, scratch) as local:
            known = {signature(copy): local.digests[outline.mark(file)]
                     for file, copy in zip(recording.files, local.files, strict=True)}  # fmt: skip
            outcome = prepare_recording(replace(recording, files=local.files), replace(task, digests=known))
            return replace(outcome, reason=local.portable(outcome.reason), digests=json.dumps(dict(local.digests)))
    except BadInput as error:
        return Outcome(recording.id, "failed", reason=str(error))
    except OSError as error:
        return Outcome(recording.id, "unwritable", str(scratch), error.strerror or str(error))


def _settled(recording: Recording, task: Task, outline: Outline) -> Outcome | None:
    """How a recording ends whose objects were read before and whose result is there; None for any other."""
    digests = {mark: task.digests[mark] for mark in map(outline.mark, recording.files) if mark in task.digests}
    names = [outline.name(file) for file in recording.files]
    if len(digests) < len(set(names)):
        return None
    keys = chain(recording, inputs_of(recording, digests, outline.mark), task.recipe, task.codes)
    finished = task.known.get(recording.id) == keys[-1]
    if not finished and load_prepared(task.work / keys[-1]) is None:
        return None
    size = sum(outline.objects[name].size for name in names)
    texts = {"digests": json.dumps(digests), "keys": json.dumps(keys)}
    return Outcome(recording.id, "finished" if finished else "cached", keys[-1], **texts, bytes=size)
