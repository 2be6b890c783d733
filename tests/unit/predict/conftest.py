"""A model over small corpora, trained once, and recordings that it has never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_folder import make_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of 2.56 s every 0.4 s at 125 Hz, classes negative and positive, no ICA in its recipe."""
    return make_model(tmp_path_factory.mktemp("model"), recipe="mdjpt_no_ica")
