"""Makes an installed torchaudio importable beside a torch that it was not compiled for.

    python -m mdjpt_platform.library.repair

Its compiled files are set aside under another name, and only if it cannot be imported with them; torchaudio then runs
on its Python part, which is all that braindecode asks of it. Reinstalling torchaudio brings them back. On disk and by
hand rather than by a stand-in among the loaded modules: what runs is torchaudio's own code by a way it provides for, in
every process alike, and whoever wonders can see it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from mdjpt_platform.errors import BadInput

ASIDE = ".aside"


def set_aside() -> list[Path]:
    """New names of the files set aside, none where torchaudio can be imported as it is.

    Raises BadInput: there is no torchaudio, or its compiled files are not what ails it (they are put back).
    """
    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None:
        raise BadInput("this Python", "torchaudio", "not installed", "the extra `baselines`: make baselines")
    if not _trouble():
        return []
    compiled = sorted((Path(spec.origin).parent / "lib").glob("*.so"))
    moved = [path.rename(path.with_name(path.name + ASIDE)) for path in compiled]
    trouble = _trouble()
    if trouble:
        for path in moved:
            path.rename(path.with_name(path.name.removesuffix(ASIDE)))
        raise BadInput("torchaudio", "import", trouble, "one that works without its compiled files")
    return moved


def _trouble() -> str:
    """Last line that a fresh Python says when it cannot import torchaudio; empty if it can."""
    done = subprocess.run([sys.executable, "-c", "import torchaudio"], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


if __name__ == "__main__":
    try:
        found = set_aside()
    except BadInput as error:
        sys.exit(str(error))
    print("\n".join(f"set aside: {path.name}" for path in found) or "torchaudio works as it is")
