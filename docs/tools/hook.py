"""What the site needs beyond MkDocs: formulas as MathML, lists of names as API pages or tables, files outside docs/."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"clusters.md": "cluster/README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Page of the site -> file of the repository."""
API = re.compile(r"^```api\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTINGS = re.compile(r"^```settings\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([\w./-]+\.md)(#[\w-]+)?\)")


def on_config(config: Any) -> Any:
    """Formulas in ```math fences become MathML, which browsers draw without a script."""
    fence: dict[str, Any] = {"name": "math", "class": "math", "format": _formula}
    config["mdx_configs"].setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def _formula(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="formula">{convert(source.strip(), display="block")}</div>'


def on_files(files: Files, config: Any) -> Files:
    """Pages whose file lies outside docs/."""
    for name, path in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Markers of the tests go or become titles, lists of names become pages, links out of docs/ lead to pages."""
    markdown = re.sub(r"^<!-- file: (\S+) -->\n```(\w+)", r'```\2 title="\1"', markdown, flags=re.MULTILINE)
    markdown = re.sub(r"^ *<!--\s*(run|output)\b.*?-->\n", "", markdown, flags=re.MULTILINE)
    source = OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        pages = {path: name for name, path in OUTSIDE.items()}
        name = pages.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(name, posixpath.dirname(page.file.src_uri))}{match[2] or ''})"

    return SETTINGS.sub(_settings, API.sub(_api, LINK.sub(lead, markdown)))


@cache
def _package(name: str) -> griffe.Object:
    return griffe.load(name, search_paths=[str(ROOT), str(ROOT / "platform")])  # type: ignore[return-value]


def summary(name: str) -> str:
    """First sentence of the docstring of a module's member, on one line; a constant without one is its value."""
    package, _, rest = name.partition(".")
    member = _package(package)[rest]
    if member.docstring is None:
        return f"`{member.value}`" if member.is_attribute else ""
    text = " ".join(member.docstring.value.split("\n\n")[0].split())
    return re.split(r"(?<=[.:;])\s+(?=[A-Z])", text)[0].replace("|", "\\|")


def _api(match: re.Match[str]) -> str:
    """A table of names with their first sentences, then each in full."""
    names = match[1].split()
    rows = [f"| [`{name.rpartition('.')[2]}`][{name}] | {summary(name)} |" for name in names]
    return "\n".join(["| | |", "|---|---|", *rows, "", *(f"::: {name}\n" for name in names)])


def _settings(match: re.Match[str]) -> str:
    """A table of every setting of the named pydantic classes: name, default, description."""
    lines = []
    for name in match[1].split():
        module, _, attribute = name.rpartition(".")
        lines += ["| setting | default | |", "|---|---|---|"]
        for field, about in getattr(import_module(module), attribute).model_fields.items():
            plain = about.default is None or isinstance(about.default, str | int | float | bool | tuple)
            default = f"`{about.default!r}`" if plain else "" if not about.is_required() else "needed"
            lines.append(f"| `{field}` | {default} | {(about.description or '').replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)
