"""A file system of pyarrow's that fails on purpose: local files behind a handler that counts and breaks requests."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSystemHandler, FileType, LocalFileSystem, PyFileSystem

from mdjpt_platform.objects import Place


class Faulty(FileSystemHandler):
    """Local files. `fail(kind, path, n)` is asked before the n-th request of a kind and returns the error to raise.

    Kinds: list, info, open, read, write, delete. `cut` bytes are missing at the end of what is read, though the size
    announced is whole; `extra` names are listed besides those that are there.
    """

    def __init__(self) -> None:
        self.local = LocalFileSystem()
        self.seen: Counter[str] = Counter()
        self.fail: Callable[[str, str, int], Exception | None] = lambda kind, path, n: None
        self.cut = 0
        self.extra: list[str] = []

    def ask(self, kind: str, path: str) -> None:
        self.seen[kind] += 1
        error = self.fail(kind, path, self.seen[kind])
        if error is not None:
            raise error

    def get_type_name(self) -> str:
        return "faulty"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        self.ask("info", paths[0])
        return self.local.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> list[FileInfo]:
        self.ask("list", selector.base_dir)
        found = list(self.local.get_file_info(selector))
        return found + [
            FileInfo(f"{selector.base_dir}/{name}", FileType.File, mtime=1.0, size=3) for name in self.extra
        ]

    def open_input_file(self, path: str) -> pa.PythonFile:
        self.ask("open", path)
        return pa.PythonFile(Reading(self, path), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        self.ask("write", path)
        return self.local.open_output_stream(path, metadata=metadata)

    def create_dir(self, path: str, recursive: bool) -> None:
        self.local.create_dir(path, recursive=recursive)

    def delete_file(self, path: str) -> None:
        self.ask("delete", path)
        self.local.delete_file(path)

    def _unused(self, *_: Any) -> Any:
        raise NotImplementedError

    open_input_stream = open_append_stream = copy_file = move = _unused
    delete_dir = delete_dir_contents = delete_root_dir_contents = _unused


class Reading:
    """A file whose reads are asked for one by one."""

    def __init__(self, handler: Faulty, path: str) -> None:
        self.handler, self.path = handler, path
        self.file = Path(path).open("rb")  # noqa: SIM115
        self.length = Path(path).stat().st_size - handler.cut
        self.closed = False

    def read(self, count: int = -1) -> bytes:
        self.handler.ask("read", self.path)
        return self.file.read(max(0, min(count, self.length - self.file.tell())))

    def seek(self, *arguments: int) -> int:
        return self.file.seek(*arguments)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.closed = True
        self.file.close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def faulty(folder: Path) -> tuple[Faulty, Place]:
    """A folder as a place on failing storage."""
    handler = Faulty()
    return handler, Place(folder.as_uri(), PyFileSystem(handler), str(folder))


def passing_once(kind: str, n: int) -> Callable[[str, str, int], Exception | None]:
    """Fails the n-th request of a kind as a network file system does."""
    return lambda k, path, seen: OSError(errno.EIO, "I/O error") if (k, seen) == (kind, n) else None
