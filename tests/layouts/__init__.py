"""Files made to the published layouts of corpora, small enough for tests.

Every module has `write(root, subjects=2) -> CorpusConfig`: it lays files below `root` as the publisher does (names, keys,
shapes, types, units, traps), with every session and every trial, and returns the configuration that reads them. Where the
layout fixes the length of trials, `facts.seconds` shortens them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mdjpt_platform.config import CorpusConfig

LAYOUTS: dict[str, Callable[[Path], CorpusConfig]] = {}
"""Layout -> its writer; one line a corpus."""
