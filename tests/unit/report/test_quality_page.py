"""The quality page: self-contained, escaped, true to its store, written beside it by the verbs."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mdjpt_platform import verbs
from mdjpt_platform.config import Config
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.report.quality import page_beside, write_page
from mdjpt_platform.report.quality.build import render
from mdjpt_platform.report.quality.inputs import load_quality
from mdjpt_platform.runfile import parse
from mdjpt_platform.store import Store, open_store
from quality_corpus import (
    CHANNELS,
    FACTS,
    LABELS,
    USUAL,
    after,
    components,
    dropped,
    loose_cap,
    made_up,
    missing,
    noted,
)


class Page(HTMLParser):
    """Tags that balance, attributes, visible text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.visible = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.visible += data


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A corpus with a little of everything."""
    corpus = made_up()
    noted(corpus, "ica", {}, USUAL)
    for plant in (dropped, loose_cap, missing):
        plant(corpus)
    corpus.manifest |= {"failed": {"sub-09_ses-1": "s09.dat: truncated"}}
    return corpus.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def text(store: Store) -> str:
    return render(load_quality(store, FACTS))


def test_page_stands_alone(text: str) -> None:
    page = Page(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), tag
        assert not any(name.startswith("on") for name in attributes)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5 and all(len(one["alt"] or "") > 20 for one in images)
    targets = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert targets == {f"#{attributes['id']}" for tag, attributes in page.tags if tag == "section"}
    assert "url(" not in text and "@import" not in text and "prefers-color-scheme: dark" in text


def test_page_tells_the_facts(text: str, store: Store) -> None:
    page = Page(text)
    for fact in (store.fingerprint, store.manifest.key, store.manifest.version, "F3 F4 C3 C4 P3 P4 O1 O2"):
        assert fact in page.visible
    assert (
        "2 of 7 recordings" not in page.visible
        and "1 of 7 recordings left out: 09 (s09.dat: truncated)" in page.visible
    )
    for step in store.manifest.recipe:
        assert step.step in page.visible
    assert "low 0.5, high 47.0, order 4" in page.visible
    assert re.search(r"\d+ checks passed", page.visible) and "To look at" in page.visible


def test_page_is_written_beside_the_store_and_always_alike(store: Store, text: str, tmp_path: Path) -> None:
    before = sorted(store.folder.rglob("*"))
    page = write_page(store, facts=FACTS, named=True)
    assert page == page_beside(store.folder) == store.folder.parent / f"{store.manifest.key}.quality.html"
    assert page.read_text(encoding="utf-8") == text and sorted(store.folder.rglob("*")) == before
    assert write_page(store, tmp_path, FACTS, named=True).read_bytes() == page.read_bytes()
    open_store(store.folder)
    (tmp_path / "file").touch()
    with pytest.raises(MdjptError, match="the quality page cannot be written"):
        write_page(store, tmp_path / "file", FACTS)


HOSTILE = "<img src=x onerror=alert(1)>&{{ 7*7 }}{% raw %}'\"$\\frac$\x00\x1b\n脑"


def test_names_and_labels_are_shown_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, bad = made_up(), HOSTILE.replace("\x00", "").replace("\n", " ")
    for row in corpus.rows:
        if row["subject"] == "02":
            row |= {"subject": bad, "bad_names": "F3 C3", "bad_channels": 2}
        row["stimulus"] += bad
    corpus.quality[f"sub-{bad}_ses-1"] = corpus.quality.pop("sub-02_ses-1")
    corpus.quality[f"sub-{bad}_ses-1"]["notes"] = {"ica": components((HOSTILE, True), (HOSTILE, False))}
    corpus.quality["sub-03_ses-1"]["notes"] = {"ica": {"passed": HOSTILE}}
    corpus.manifest = {
        "failed": {f"sub-{HOSTILE}_ses-1": HOSTILE}, "labels": [*LABELS, HOSTILE],
        "provenance": {"title": HOSTILE, "citation": HOSTILE, "licence": HOSTILE},
    }  # fmt: skip
    text = render(load_quality(corpus.write(tmp_path), replace(FACTS, unit=HOSTILE)))
    page = Page(text)
    assert all(attributes.get("src", "data:").startswith("data:") for tag, attributes in page.tags if tag == "img")
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "<img src=x" in page.visible and "{{ 7*7 }}" in page.visible and "\x00" not in text and "\x1b" not in text


def test_page_of_a_store_without_looks(tiny_store: Path) -> None:
    store = open_store(next(path for path in (tiny_store / "one").iterdir() if path.is_dir()), verify=False)
    page = Page(render(load_quality(store)))
    assert page.visible.count("The store holds no summary of the signals.") >= 2
    assert "5 subjects where 15 are expected" in page.visible


def test_channels_without_a_position_and_recordings_of_another_cap(tmp_path: Path) -> None:
    corpus = made_up()
    corpus.channels = ("X1", "X2", *CHANNELS[2:])
    after(corpus, [1, 2, 3, 4, 5, 6], names=corpus.channels)
    text = render(load_quality(corpus.write(tmp_path / "some"), FACTS))
    assert "2 channels without a position" in text
    corpus.channels = tuple(f"X{n}" for n in range(8))
    after(corpus, [1, 2, 3], names=corpus.channels)
    assert "No channel has a known position." in render(load_quality(corpus.write(tmp_path / "none"), FACTS))


def test_verb_writes_a_page_a_corpus(tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.quality(tiny) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": quality page ")[0] for line in lines] == ["one", "two", "three"]
    for line in lines:
        page = Path(line.partition(": quality page ")[2])
        assert page.stat().st_size < 5e6 and page.parent.parent == Path(tiny.exec.store)
    elsewhere = tiny.model_copy(update={"exec": tiny.exec.model_copy(update={"store": str(tmp_path / "none")})})
    assert verbs.quality(elsewhere) == 2
    assert "one: not prepared; run `mdjpt prepare` first" in capsys.readouterr().out


def test_preparation_ends_with_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"stimuli": [1, 13, 26], "sessions": 1, "seconds": 6}
    config = parse(
        {
            "corpora": {"sim": {"layout": "faced", "facts": facts, "simulate": {"subjects": 2}}},
            "sources": ["sim"],
            "recipe": "minimal",
            "exec": {"simulated": str(tmp_path / "raw"), "store": str(tmp_path / "store"), "engine": "local",
                     "mlflow": "off", "progress": False},
        }
    )  # fmt: skip
    assert verbs.prepare(config) == 0
    page = Path(capsys.readouterr().out.partition("sim: quality page ")[2].strip())
    written = page.stat().st_mtime_ns
    assert "could not be checked" in page.read_text(encoding="utf-8")
    assert verbs.prepare(config) == 0
    assert "quality page" not in capsys.readouterr().out and page.stat().st_mtime_ns == written
    page.unlink()
    assert verbs.prepare(config) == 0 and page.exists()


def test_nobody_is_named_unless_asked(store: Store, tmp_path: Path) -> None:
    hidden = Page(write_page(store, tmp_path, FACTS).read_text()).visible
    shown = Page(write_page(store, tmp_path, FACTS, named=True).read_text()).visible
    assert "s09.dat" in shown and "s09.dat" not in hidden and "truncated" in hidden
    assert "left out: 09" in shown and "left out: S07" in hidden
    assert "S01, S02" in hidden and "--names" in hidden and "--names" not in shown
    for subject in {str(one) for one in store.index["subject"]}:
        assert f"sub-{subject}" not in hidden and f"in {subject} (" not in hidden
    rows = [line for line in hidden.splitlines() if line.strip() in set(map(str, store.index["subject"]))]
    assert not rows
