"""Which code is running."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
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


@cache
def git_state() -> str | None:
    """Commit of the sources, with `-dirty` where tracked files differ from it; None outside a checkout."""
    folder = Path(str(mdjpt_platform.__file__)).parent
    git = ["git", "--no-optional-locks", "-C", str(folder)]
    tracked = [*git, "ls-files", "--error-unmatch", "code.py"]  # an installed copy may lie in somebody else's checkout
    state = [*git, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    try:
        answers = [subprocess.run(some, capture_output=True, text=True, timeout=10) for some in (tracked, state)]
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answers[1].stdout.strip() if all(answer.returncode == 0 for answer in answers) else None


def tags_of_code() -> dict[str, str]:
    """What a tracked run says of the code behind it."""
    git = git_state()
    about = {"mdjpt.version": mdjpt_platform.__version__, "mdjpt.sources": sources()[1]}
    return about if git is None else {**about, "mdjpt.git": git}
