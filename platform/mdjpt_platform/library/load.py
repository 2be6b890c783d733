"""The one door to braindecode: imported when a network is built, never before.

braindecode imports torchaudio for networks that are not used here, and torchaudio's published Linux wheel is linked
against CUDA, so that beside a CPU-only torch the import fails. torchaudio itself does without its compiled files where
it finds none, which is what `repair` makes of such an installation.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from mdjpt_platform.errors import BadInput

INSTALL = "the extra `baselines`: make baselines, or pip install 'mdjpt[baselines]'"
REPAIR = "compiled files that fit this torch, or none: python -m mdjpt_platform.library.repair"


def networks() -> Any:
    """The module braindecode.models. Raises BadInput: not installed, or torchaudio does not fit this torch."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside other people's packages
            return importlib.import_module("braindecode.models")
    except ModuleNotFoundError as error:
        raise BadInput("model.family library", "braindecode", error, INSTALL) from None
    except (ImportError, OSError) as error:
        # torch says which file it could not load, and only the cause says why
        found = f"{error.__cause__ or error}".splitlines()[0]
        if "torchaudio" in f"{error} {error.__cause__}":
            raise BadInput("model.family library", "torchaudio", found, REPAIR) from None
        raise BadInput("model.family library", "braindecode", found, "a package that can be imported") from None
