"""Which code is running."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mdjpt_model
import mdjpt_platform


def sources() -> tuple[str, str]:
    """Folders that the two packages were imported from, and a hash of every source file in them."""
    digest = hashlib.sha256()
    folders = []
    for package in (mdjpt_platform, mdjpt_model):
        folder = Path(str(package.__file__)).parent
        folders.append(str(folder))
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return ", ".join(folders), digest.hexdigest()[:16]
