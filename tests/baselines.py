"""Whether the library's networks can be built here: they come with the extra `baselines`."""

from __future__ import annotations

import pytest

from mdjpt_platform.errors import BadInput
from mdjpt_platform.library.load import networks


def require_braindecode() -> None:
    """Skip the test, with the line that a user would read, where braindecode cannot be imported."""
    try:
        networks()
    except BadInput as error:
        pytest.skip(str(error))
