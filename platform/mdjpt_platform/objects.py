"""Object storage: a folder named by a URI (`s3://bucket/path`, `gs://`, `abfs://`, `hdfs://`, `file:///`).

Whatever pyarrow.fs.FileSystem.from_uri opens, with the credentials of the environment (variables, profiles, the node's
role), as pyarrow and the providers' own tools find them; a URI that carries credentials is refused and never repeated.
Options such as `?region=` and `?endpoint_override=` belong to the URI. Network errors are tried again with growing
pauses, and a download goes on where it broke off.
"""

from __future__ import annotations

import errno
import hashlib
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType

from mdjpt_platform.errors import BadInput

CHUNK = 16 << 20
"""Bytes in memory at a time, for every file being copied."""
ATTEMPTS = 5
WAIT = 1.0
"""Seconds before the second attempt; twice as long before every further one."""
THREADS = 8
"""Files copied at a time where they are many."""
PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.ECONNRESET, errno.EPIPE}
LASTING = re.compile(
    "DENIED|NO_SUCH|NOT_FOUND|INVALID|DOES_NOT_MATCH|EXPIRED|FORBIDDEN|UNAUTHENTICATED|Authenticat|Authoriz"
)
"""In the message of a provider's library, which sets no errno: errors that another attempt does not mend."""
SECRET = re.compile("key|secret|token|passw|credential|sas|sig", re.IGNORECASE)
"""In the name of a URI's option."""
BUCKETS = ("s3", "gs", "gcs")
"""Schemes whose authority is a bucket: no user, no port."""
ANSWER = "an answer, with the credentials of this environment"

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Place:
    """A folder on object storage. Pickles as its URI: the other process opens it with its own credentials."""

    uri: str
    system: FileSystem
    base: str
    """Path of the folder inside `system`, no slash at its end."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return at, (self.uri,)

    def __str__(self) -> str:
        return shown(self.uri)

    def below(self, *parts: str) -> Place:
        """A folder inside."""
        tail = "/".join(parts)
        return Place(joined(self.uri, tail), self.system, f"{self.base}/{tail}")


@dataclass(frozen=True)
class Object:
    """A file on object storage as the listing shows it."""

    name: str
    """Relative to its place, with slashes."""
    size: int
    modified: int
    """Nanoseconds since 1970; most providers know whole seconds."""


def is_uri(text: str | Path) -> bool:
    """Whether a setting names object storage rather than a local folder."""
    return re.match("[a-z][a-z0-9+.-]*://", str(text), re.IGNORECASE) is not None


def shown(uri: str) -> str:
    """The URI for messages: without user, password and options."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def joined(uri: str, *names: str) -> str:
    """The URI of something inside; options stay at its end."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path="/".join((parts.path.rstrip("/"), *names))))


def at(uri: str) -> Place:
    """Open a place; nothing is asked of the provider yet, except where the region of a bucket has to be looked up.

    Raises BadInput: a URI that carries credentials (its text is not repeated), or that pyarrow does not know.
    """
    parts = urlsplit(uri)
    user, _, host = parts.netloc.rpartition("@")
    bucket = parts.scheme in BUCKETS
    carried = ":" in user or (bucket and (user not in ("", "anonymous") or ":" in host))
    if carried or any(SECRET.search(option) for option, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise BadInput(f"{parts.scheme}://...", "URI", "credentials in it", "none: they come from the environment")
    try:
        system, base = patiently(lambda: FileSystem.from_uri(uri))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadInput(shown(uri), "URI", _line(error), "one that pyarrow.fs opens, such as s3://bucket/path") from None
    return Place(uri, system, base.rstrip("/"))


def patiently(call: Callable[[], T]) -> T:
    """The call's result, tried again while errors may pass. Raises its last OSError."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except OSError as error:
            if not passing(error):
                raise
        time.sleep(WAIT * 2**attempt * random.uniform(0.5, 1.5))  # nodes that failed together do not return together
    return call()


def passing(error: OSError) -> bool:
    """Whether another attempt may help."""
    if error.errno is not None:
        return error.errno in PASSING
    return LASTING.search(str(error)) is None


def asked(where: object, call: Callable[[], T]) -> T:
    """The provider's answer, with patience. Raises BadInput: none, or a refusal."""
    try:
        return patiently(call)
    except FileNotFoundError:
        raise BadInput(where, "object storage", "nothing there", "what the listing or the run file names") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadInput(where, "object storage", _line(error), ANSWER) from None


def listing(place: Place) -> tuple[list[Object], list[str]]:
    """(files, folders) at any depth below a place, by name: one recursive request, a page a thousand names.

    Empty objects whose name ends in a slash are folders. Raises BadInput: nothing there, no access, a name that leads
    out of the place (`..` is a legal part of an object's name), a name that is a file and a folder at once.
    """
    infos = asked(place, lambda: place.system.get_file_info(FileSelector(place.base, recursive=True)))
    files, folders = [], []
    for info in infos:
        name = info.path[len(place.base) + 1 :]
        if {"", ".", ".."} & set(name.split("/")) or "\0" in name or "\\" in name:
            raise BadInput(place, "object", repr(name), "a name without empty parts, '.', '..' and backslashes")
        if info.type == FileType.Directory:
            folders.append(name)
        elif info.type == FileType.File:
            if info.mtime_ns is None:
                raise BadInput(f"{place}/{name}", "modification time", "none", "one: changes are noticed by it")
            files.append(Object(name, info.size, info.mtime_ns))
    both = {file.name for file in files} & set(folders)
    if both:
        raise BadInput(f"{place}/{min(both)}", "object", "a file and a folder of this name", "one of them")
    return sorted(files, key=lambda file: file.name), sorted(folders)


def download(place: Place, item: Object, out: IO[bytes]) -> str:
    """Copy a file into `out`; its SHA-256. Memory: one chunk.

    Raises BadInput: it cannot be read, or is not the one that was listed. OSError comes from `out` alone.
    """
    digest = hashlib.sha256()
    for chunk in _chunks(place, item):
        digest.update(chunk)
        out.write(chunk)
    # A file replaced meanwhile would have been read half old, half new: the ranges are requests of their own.
    where = f"{place}/{item.name}"
    info = asked(where, lambda: place.system.get_file_info(f"{place.base}/{item.name}"))
    second = 10**9  # a single file's time is told in whole seconds where the listing's has a fraction
    if info.size != item.size or (info.mtime_ns or 0) // second != item.modified // second:
        found = "nothing" if info.type == FileType.NotFound else f"{info.size} bytes of {info.mtime}"
        raise BadInput(where, "file", f"{found}: changed since it was listed", f"the {item.size} bytes listed")
    return digest.hexdigest()


def _chunks(place: Place, item: Object) -> Iterator[bytes]:
    where, position = f"{place}/{item.name}", 0
    source: pa.NativeFile | None = None

    def more() -> bytes:
        nonlocal source
        if source is None:
            source = place.system.open_input_file(f"{place.base}/{item.name}")
            if source.size() != item.size:
                raise BadInput(where, "size", f"{source.size()} bytes", f"{item.size}, as listed")
            source.seek(position)
        try:
            return source.read(CHUNK)
        except OSError:
            source = None  # a broken connection does not mend: open anew, go on from the same place
            raise

    try:
        while position < item.size:
            chunk = asked(where, more)
            if not chunk:
                raise BadInput(where, "size", f"{position} bytes: truncated", f"{item.size}, as listed")
            position += len(chunk)
            yield chunk
    finally:
        if source is not None:
            source.close()


def upload(place: Place, source: Path, name: str) -> None:
    """Copy a local file to `name` inside the place. Memory: one chunk.

    Raises BadInput: it cannot be written, or has another size afterwards.
    """
    where, path = f"{place}/{name}", f"{place.base}/{name}"
    size = source.stat().st_size

    def put() -> None:
        with source.open("rb") as file, _new(place.system, path) as out:
            while chunk := file.read(CHUNK):
                out.write(chunk)

    asked(where, put)
    found = asked(where, lambda: place.system.get_file_info(path)).size
    if found != size:
        raise BadInput(where, "size", f"{found} bytes after the upload", f"{size}")


def _new(system: FileSystem, path: str) -> pa.NativeFile:
    """Folders are made only where files need them: on object storage they would be objects, and need permissions."""
    try:
        return system.open_output_stream(path)
    except FileNotFoundError:
        system.create_dir(path.rpartition("/")[0], recursive=True)
        return system.open_output_stream(path)


def together(work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """Results in order, some at a time; the first error stops what has not begun."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
