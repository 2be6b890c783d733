"""EMOD (AAAI 2026): the encoder and its spec.

>>> from mdjpt_model.emod import Emod, EmodSpec
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdjpt_model.emod.model import Emod
    from mdjpt_model.emod.spec import EmodSpec

_HOME = {"Emod": "model", "EmodSpec": "spec"}
__all__ = ["Emod", "EmodSpec"]


def __getattr__(name: str) -> Any:
    """Import on first use: reading a configuration needs `EmodSpec` and must not wait for torch."""
    if name in _HOME:
        return getattr(import_module(f"mdjpt_model.emod.{_HOME[name]}"), name)
    raise AttributeError(f"module 'mdjpt_model.emod' has no attribute {name!r}")
