"""Reading a run file: YAML with the fields of `RunConfig` at the top level, and `exec:` with those of `ExecConfig`.

Overrides are `a.b=c`, the value parsed as YAML. Unknown keys fail with the valid ones.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mdjpt_platform.config import SPECS, Config, RunConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.plain import YAML, read_text, yaml_of


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a run file and apply `a.b=c` overrides.

    Raises BadInput: file absent or not YAML, key unknown (the valid ones are named), value of the wrong kind.
    """
    return parse(tree_of(path, "run file", overrides), path)


def tree_of(path: str | Path, what: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The mapping in a YAML file, with overrides applied; `what` names it in messages.

    Raises BadInput: absent, not YAML, no mapping, an override that is none.
    """
    try:
        tree = yaml_of(read_text(path, YAML))
    except OSError as error:
        raise BadInput(path, what, error.strerror, "a readable YAML file") from None
    except ValueError as error:
        raise BadInput(path, what, error, "YAML") from None
    if not isinstance(tree, dict):
        raise BadInput(path, what, type(tree).__name__, "a mapping")
    for text in overrides:
        override(tree, text)
    return tree


def parse(tree: dict[str, Any], where: object = "configuration") -> Config:
    """Validate a tree that has the shape of a run file."""
    tree = dict(tree)
    execution = tree.pop("exec", None) or {}
    try:
        return Config(run=RunConfig.model_validate(tree), exec=ExecConfig.model_validate(execution))
    except ValidationError as error:
        in_exec = error.title == "ExecConfig"
        raise first_error(where, error, ExecConfig if in_exec else RunConfig, "exec." if in_exec else "") from None


def override(tree: dict[str, Any], text: str) -> None:
    """Apply `a.b=c` to a tree, the value parsed as YAML. Raises BadInput: no '=', no YAML, a path through a value."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise BadInput("--set", text, "no '='", "a.b=c")
    try:
        set_field(tree, key.strip(), yaml_of(value))
    except ValueError:
        raise BadInput("--set", key, value, "a YAML value") from None


def set_field(tree: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under `a.b` of a nested tree. Raises BadInput: the path leads through what is no mapping."""
    node: Any = tree
    *parents, last = key.split(".")
    for part in parents:
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
        if not isinstance(node, dict):
            raise BadInput("--set", key, f"{part} is not a mapping", "a path of keys")
    node[last] = value


def first_error(where: object, error: ValidationError, root: type[BaseModel], prefix: str = "") -> BadInput:
    """What pydantic says about a tree of `root`: one line with the field and, for unknown keys, the valid ones."""
    first, *more = error.errors()
    # of the branches of a union, the one that came furthest says what is wrong
    first = max([first, *(e for e in more if e["loc"][:1] == first["loc"][:1])], key=lambda e: len(e["loc"]))
    location = [str(part) for part in first["loc"] if part != "str" and not str(part).startswith("tuple[")]
    tagged = location[:1] == ["model"] and location[1:2] and location[1] in SPECS
    field = (prefix + ".".join(["model", *location[2:]] if tagged else location)).rstrip(".")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        valid = _valid_keys(SPECS[location[1]] if tagged else root, location[2:-1] if tagged else location[:-1])
        near = difflib.get_close_matches(location[-1], valid, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return BadInput(where, field, "an unknown key", f"one of: {', '.join(valid)}{hint}")
    found: Any = first.get("input")
    shown = f"{type(found).__name__} with {', '.join(map(str, found))}" if isinstance(found, dict) else repr(found)
    return BadInput(where, field or "run", shown, first["msg"].removeprefix("Value error, "))


def _valid_keys(node: Any, parents: list[str]) -> list[str]:
    """Field names of the configuration node that the path `parents` leads to."""
    for part in parents:
        fields = getattr(node, "model_fields", None)
        if fields is None or part not in fields:
            continue  # a mapping key or a union branch: the next part is a field of the same node's value
        inner = [fields[part].annotation, *_flatten(fields[part].annotation)]
        nodes = [t for t in inner if isinstance(t, type) and hasattr(t, "model_fields")]
        node = nodes[0] if nodes else node
    names = getattr(node, "model_fields", None) or getattr(node, "__dataclass_fields__", {})
    return [name for name in names if not name.startswith("__")]


def _flatten(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for inner in get_args(annotation):
        found += [inner, *_flatten(inner)]
    return found
