"""Model and store that several files here use."""

from __future__ import annotations

from pathlib import Path

import pytest

from planted_store import make_model, make_store


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("adapt") / "model")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("planted"), planted=0.12)
