"""Stores on object storage: published by upload, opened through a copy on the node's own disk.

A store lies there as in a folder, `<exec.store>/<corpus>/<key>/`. Its manifest comes last and goes first: a store that
is half uploaded, or half replaced, has none and is no store.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from pyarrow.fs import FileType
from pydantic import ValidationError

from mdjpt_platform.config import CorpusConfig, StepConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.objects import Object, Place, asked, download, is_uri, listing, together, upload
from mdjpt_platform.store.read import CURE, Store, open_store
from mdjpt_platform.store.schema import INDEX, MANIFEST, QUALITY, SAFE_NAME, SIGNALS, Manifest, store_folder
from mdjpt_platform.store.stage import staged
from mdjpt_platform.store.write import new_draft, publish, unwritable

LARGEST_MANIFEST = 64 << 20
"""Bytes; a larger one is none of ours."""


class NoStore(BadInput):
    """There is no whole store at a place."""


def working_root(execution: ExecConfig) -> Path:
    """Folder in which stores are prepared: `exec.store`, or a part of the node's cache where that is object storage.

    Raises BadInput: object storage and no `exec.cache`.
    """
    if not is_uri(execution.store):
        return Path(execution.store)
    if execution.cache is None:
        raise BadInput("run file", "exec.cache", "nothing", "a folder of this machine for copies of exec.store")
    return Path(execution.cache) / "prepared"


def store_place(root: Place, name: str, corpus: CorpusConfig, recipe: Sequence[StepConfig]) -> Place:
    """`<root>/<corpus>/<key>` on object storage; see `store_folder`."""
    return root.below(*store_folder("", name, corpus, recipe).parts)


def push(folder: str | Path, place: Place) -> Manifest:
    """Publish the store in `folder` as `place`; one that is there already is left as it is.

    Raises BadInput: no store in `folder`, an object that cannot be written or has another size afterwards.
    """
    folder = Path(folder)
    try:
        manifest = _parsed(folder / MANIFEST, (folder / MANIFEST).read_bytes())
    except OSError as error:
        raise BadInput(folder, "store", error.strerror, "a prepared store; run `mdjpt prepare` first") from None
    if published(place) == manifest:
        return manifest
    there = {item.name for item in _objects(place)}
    _delete(place, [name for name in there if name == MANIFEST])
    together(lambda name: upload(place, folder / name, name), (INDEX, QUALITY, *manifest.files))
    upload(place, folder / MANIFEST, MANIFEST)
    _delete(place, [name for name in there if name.startswith(f"{SIGNALS}/") and name not in manifest.files])
    return manifest


def published(place: Place) -> Manifest | None:
    """Manifest of the store at a place, None if there is none or it lacks a file. No signal is read.

    Raises BadInput: no answer.
    """
    try:
        return _opened(place)[0]
    except NoStore:
        return None


def pull(place: Place, cache: str | Path) -> Store:
    """The store copied below `cache`, named by its content; opened there if it is there already.

    The copy is verified when it is made. Processes that come at the same time wait for the first.
    Raises BadInput: no store there (NoStore), one of another key, a file damaged or replaced meanwhile, no answer, the
    cache cannot be written.
    """
    manifest, files = _opened(place)

    def fill(copy: Path) -> None:
        (copy / SIGNALS).mkdir(parents=True)
        together(lambda item: _save(place, item, copy / item.name), files)

    return staged(manifest, place.base.rpartition("/")[2], cache, fill)


def fetch(place: Place, folder: Path) -> bool:
    """Copy a published store to where it would be prepared, so that what is finished there is not done again here.

    Does nothing, and returns False, where a store is there already or none is published. Raises BadInput: damaged, no
    answer, the folder cannot be written.
    """
    if (folder / MANIFEST).exists() or published(place) is None:
        return False
    files = _opened(place)[1]
    try:
        draft = new_draft(folder.parent, folder.name)
        try:
            (draft / SIGNALS).mkdir()
            together(lambda item: _save(place, item, draft / item.name), files)
            open_store(draft, key=folder.name)
            publish(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    return True


def _opened(place: Place) -> tuple[Manifest, list[Object]]:
    """The manifest, and the store's files as the listing shows them. Raises NoStore: one is absent or too short."""
    there = {item.name: item for item in _objects(place)}
    if MANIFEST not in there or there[MANIFEST].size > LARGEST_MANIFEST:
        raise NoStore(place, "store", f"no {MANIFEST}", "a published store; run `mdjpt prepare` first")
    buffer = io.BytesIO()
    download(place, there[MANIFEST], buffer)
    manifest = _parsed(f"{place}/{MANIFEST}", buffer.getvalue())
    for name in (manifest.corpus, *(name.removeprefix(f"{SIGNALS}/") for name in manifest.files)):
        if not SAFE_NAME.fullmatch(name):
            raise NoStore(f"{place}/{MANIFEST}", "files", repr(name), f"{SIGNALS}/<recording>.npy inside the store")
    names = (MANIFEST, INDEX, QUALITY, *manifest.files)
    for name in names:
        if name not in there or (name in manifest.files and there[name].size != manifest.files[name].bytes):
            found = f"{there[name].size} bytes" if name in there else "nothing"
            raise NoStore(f"{place}/{name}", "file of a store", found, f"what its {MANIFEST} lists; {CURE}")
    return manifest, [there[name] for name in names]


def _objects(place: Place) -> list[Object]:
    info = asked(place, lambda: place.system.get_file_info(place.base))
    return listing(place)[0] if info.type == FileType.Directory else []


def _parsed(where: object, text: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise NoStore(where, "manifest", error.errors()[0]["msg"], f"that of a store; {CURE}") from None


def _save(place: Place, item: Object, target: Path) -> None:
    with target.open("wb") as out:
        download(place, item, out)


def _delete(place: Place, names: Sequence[str]) -> None:
    for name in names:
        path = f"{place.base}/{name}"
        asked(f"{place}/{name}", lambda path=path: place.system.delete_file(path))  # type: ignore[misc]
