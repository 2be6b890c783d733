"""Every page: its blocks have a runner and sound syntax, what they name exists, links and paths lead somewhere."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import mdjpt_model
from docs_blocks import PAGES, ROOT, Block, blocks, fault, indented, runnable
from docs_checks import absent, anchors, broken, command_fault, commands, loose, prose, settings, strict, syntax
from mdjpt_platform import config, execution
from mdjpt_platform.frozen import Frozen

DOCS = ROOT / "docs"
ids = {"ids": lambda page: page.relative_to(ROOT).as_posix()}
CHANGES = (DOCS / "log.md", ROOT / "CHANGELOG.md")
"""They tell what was: files that have gone since may be named."""


def faults(block: Block, written: list[str]) -> Iterator[str]:
    """All that is wrong with a block."""
    yield fault(block)
    yield syntax(block)
    if block.language == "bash":
        for words in commands(block.text):
            yield command_fault(words, written)


@pytest.mark.parametrize("page", PAGES, **ids)
def test_blocks(page: Path) -> None:
    found = blocks(page)
    written = [block.file for block in found if block.file]
    assert [f"{block}: {one}" for block in found for one in faults(block, written) if one] == []
    assert [f"{page}:{line}: code by indentation" for line in indented(page)] == []


@pytest.mark.parametrize("page", PAGES, **ids)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert broken(page) == []
    if page not in CHANGES:
        assert absent(text) == []
        inline = [code.split() for code in re.findall(r"`(mdjpt [^`]+)`", text)]
        assert [f"{' '.join(words)}: {loose(words)}" for words in inline if loose(words)] == []


def test_pages_are_there() -> None:
    assert {"README.md", "index.md", "faq.md", "your-own-data.md", "method.md"} <= {page.name for page in PAGES}
    assert sum(map(runnable, PAGES)) >= 5


def places(tree: object) -> Iterator[str]:
    """Pages of a navigation."""
    if isinstance(tree, str):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from places(child)


def test_navigation_has_every_page_once_and_no_other() -> None:
    listed = list(places(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    outside = {"clusters.md", "changelog.md", "contributing.md"}
    assert sorted(listed) == sorted({page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | outside)


def test_kubernetes_page_shows_the_manifest() -> None:
    (shown,) = [yaml.safe_load(b.text) for b in blocks(DOCS / "tutorials/kubernetes.md") if b.language == "yaml"]
    manifest = yaml.safe_load((ROOT / "cluster/kuberay/job.yaml").read_text(encoding="utf-8"))
    assert shown["spec"].items() <= manifest["spec"].items()


def named() -> list[str]:
    """Names on the API pages."""
    return [name for page in (DOCS / "api").glob("*.md") for block in blocks(page) for name in block.text.split()]


@pytest.mark.parametrize("name", named())
def test_api_name_is_one(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert found.__doc__


def test_settings_page_has_every_node_of_the_configuration() -> None:
    nodes = {
        f"{node.__module__}.{name}"
        for module in (config, execution)
        for name, node in vars(module).items()
        if isinstance(node, type) and issubclass(node, Frozen) and node.__module__ == module.__name__
    }
    listed = {name for block in blocks(DOCS / "settings.md") for name in block.text.split()}
    assert listed == nodes - {"mdjpt_platform.config.Config", "mdjpt_platform.config.StepConfig"}


def test_api_has_all_public_names_of_the_model() -> None:
    assert {name.rpartition(".")[2] for name in named()} >= set(mdjpt_model.__all__)


def test_first_page_shows_the_result_before_the_theory() -> None:
    for page in (DOCS / "index.md", ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert 0 < text.index("demo-result.png") < 1500 and "simulated" in text[: text.index("## ")]


def test_pictures_are_small_and_used() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in (DOCS / "pictures").iterdir():
        assert picture.stat().st_size < 150_000, picture.name
        assert picture.name in text, f"{picture.name} is on no page"


def test_site_asks_for_nothing_outside() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert (
        settings["theme"]["font"] is False
        and "extra_javascript" not in settings
        and "analytics" not in settings["extra"]
    )


def page_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nls\n```\n", "no runner"),
        ("```rust\nx\n```\n", "no runner"),
        ("<!-- run: maybe -->\n```bash\nls\n```\n", "unknown marker"),
        ("<!-- run: no -->\n```bash\nls\n```\n", "unknown marker"),
        ("<!-- file: ../x.yaml -->\n```yaml\na: 1\n```\n", "unknown marker"),
        ("<!-- output -->\n```bash\nls\n```\n", "only a text block"),
        ("```bash\nif then\n```\n", "syntax error"),
        ("```python\nx = (\n```\n", "never closed"),
        ("```yaml\na: [1\n```\n", "expected"),
        ("```bash\nmdjpt prepare x.yaml --quick\n```\n", "No such option"),
        ("```bash\nmdjpt study begin x.yaml\n```\n", "No such command"),
        ("```bash\nA=1 mdjpt evaluate\n```\n", "Missing argument"),
        ("```bash\nmdjpt prepare jobs/runs/demo.yaml --set train.epoch=2\n```\n", "train.epoch"),
        ("```bash\nls | frobnicate -x\n```\n", "nobody knows"),
        ("```bash\npython benchmarks/run.py --fast\n```\n", "no option --fast"),
        ("```bash\nmake cake\n```\n", "no target"),
    ],
)
def test_fault_is_found(tmp_path: Path, text: str, said: str) -> None:
    (block,) = blocks(page_of(tmp_path, text))
    assert any(said in one for one in faults(block, [])), list(faults(block, []))


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, "# One\n\n[a](page.md#one) [b](page.md#two) [c](gone.md) [d](https://x.org) `[e](no.md)`\n"
    )
    assert broken(page) == ["page.md#two", "gone.md"]
    assert absent("`jobs/runs/demo.yaml` `jobs/runs/none.yaml` `tests/unit/test_parity*.py` `jobs/<verb>.py`") == [
        "jobs/runs/none.yaml"
    ]
    assert loose(["mdjpt", "status", "--yaml"]) and loose(["mdjpt", "fly"]) and not loose(["mdjpt", "status", "--json"])
    assert list(indented(page_of(tmp_path, "a\n\n    ls\n\n- b\n\n    c\n"))) == [3]
    assert anchors(page_of(tmp_path, "# It's `a` b, c\n```\n# no\n```\n")) == {"its-a-b-c"}
    assert "code" not in prose(page_of(tmp_path, "text `code`\n```bash\ncode\n```\n"))
    assert not strict(["mdjpt", "study", "run", "x.yaml", "--dry-run"]) and not settings(["ls"])
