"""What must not leave with a result: who the subjects are. Reports and tracking servers are read by others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def without_subjects(tree: Any) -> Any:
    """A configuration whose lists of subjects are replaced by their length."""
    if isinstance(tree, Mapping):
        return {
            str(key): _counted(value)
            if {"subjects", "only"} & set(str(key).split("."))
            else dict(value)
            if key == "mapping" and isinstance(value, Mapping)  # its `only` names columns, not people
            else without_subjects(value)
            for key, value in tree.items()
        }
    if isinstance(tree, list | tuple):
        return [without_subjects(value) for value in tree]
    return tree


def _counted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _counted(one) for key, one in value.items()}
    return f"{len(value)} named" if isinstance(value, list | tuple) else value
