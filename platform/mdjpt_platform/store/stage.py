"""A copy of a store on the node's own disk: made once per node, not once per process."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from mdjpt_platform.store.read import Store, open_store
from mdjpt_platform.store.schema import MANIFEST, Manifest
from mdjpt_platform.store.write import unwritable


def stage(store: Store, cache: str | Path) -> Store:
    """The store copied below `cache`, named by its content; opened there if it is there already.

    The copy is verified when it is made. Processes that come at the same time wait for the first.
    Raises BadInput: the cache cannot be written, the copy is damaged.
    """
    return staged(store.manifest, store.manifest.key, cache, lambda copy: shutil.copytree(store.folder, copy))


def staged(manifest: Manifest, key: str, cache: str | Path, fill: Callable[[Path], object]) -> Store:
    """The node's copy of the store that has this manifest; `fill` makes the folder if there is none yet."""
    home = Path(cache) / manifest.corpus
    target = home / f"{manifest.fingerprint}-{key}"  # stores of one content may be prepared from two configurations
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f".{target.name}.lock"):
            if not (target / MANIFEST).exists():
                draft = Path(tempfile.mkdtemp(prefix=".stage-", dir=home))
                try:
                    fill(draft / "copy")
                    open_store(draft / "copy", key=key)
                    os.replace(draft / "copy", target)
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise unwritable(cache, error) from None
    return open_store(target, verify=False, key=key)
