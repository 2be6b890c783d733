"""What must not get out: passwords of addresses, names of subjects, text that a browser or spreadsheet would run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mdjpt_platform.errors import BadInput, MdjptError, masked, printable
from mdjpt_platform.report.build import render
from mdjpt_platform.report.inputs import CorpusInfo, ReportInputs
from mdjpt_platform.spreadsheet import inert
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.tracking.mlflow import initialise
from mdjpt_platform.tracking.names import brief
from mdjpt_platform.tracking.outbox import Outbox

SECRET = "hunter2"
ADDRESSES = (f"http://me:{SECRET}@host:5000/x", f"https://{SECRET}@host", f"postgresql+psycopg2://me:p@{SECRET}@host/db",
             f"s3://bucket/x?secret_key={SECRET}", f"http://host/?a=1&token={SECRET}")  # fmt: skip
SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize("uri", ADDRESSES)
def test_addresses(uri: str, tmp_path: Path) -> None:
    box = Outbox()
    box.stage(params={"exec": {"mlflow": uri}}, tags={"where": uri})
    Ledger(tmp_path).describe({"study": {"exec": {"mlflow": uri}}})
    told: tuple[Any, ...] = (
        masked(uri), BadInput(uri, uri, uri, uri), MdjptError(f"MLflow at {uri} does not answer"),
        brief(OSError(f"API request to {uri} failed")), box.params, box.tags, (tmp_path / "study.json").read_text(),
    )  # fmt: skip
    for text in map(str, told):
        assert SECRET not in text and "***" in text, text


def test_a_server_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not initialise(f"http://me:{SECRET}@127.0.0.1:9", "some")
    assert "127.0.0.1" in caplog.text and SECRET not in caplog.text


def test_addresses_without_secrets_stay() -> None:
    for text in ("http://host:5000/a", "s3://bucket/a?region=eu", "found a@b, expected c@d", "sqlite:///x/mlflow.db"):
        assert masked(text) == text


def test_terminals_get_no_orders() -> None:
    assert printable("a\x1b[31mb\u202ec\x07") == "a\\x1b[31mb\\u202ec\\x07"
    assert "\x1b" not in str(BadInput("\x1b[2J", "\x1b", "\x1b", "\x1b"))
    assert len(str(BadInput("a", "b", "x" * 10**6, "y"))) < 3000


def test_subjects_are_counted_and_not_named() -> None:
    tree = {"corpora": {"a": {"subjects": ["anna", "bert"]}}, "only": {"a": ["anna", "bert"]},
            "axes": {"corpora.a.subjects": [["anna"], ["bert"]]}}  # fmt: skip
    box = Outbox()
    box.stage(params=tree)
    assert "anna" not in str(box.params) and box.params["only.a"] == "2 named"
    page = render(ReportInputs(title="x", config=tree))
    assert "anna" not in page and "bert" not in page and "2 named" in page


def test_pages_escape_what_comes_from_data() -> None:
    corpus = CorpusInfo(SCRIPT, SCRIPT, 1, 1, 1, 1.0, (SCRIPT,), 125.0, {SCRIPT: 3}, {}, SCRIPT)
    page = render(ReportInputs(title=SCRIPT, config={SCRIPT: SCRIPT}, identities={SCRIPT: SCRIPT},
                               versions={SCRIPT: SCRIPT}, corpora=(corpus,)))  # fmt: skip
    assert SCRIPT not in page and "&lt;script&gt;" in page


def test_spreadsheets_run_nothing() -> None:
    table = pd.DataFrame({"subject": ["=cmd|' /C calc'!A0", "@x", "-1.5", "S01"], "value": [-1.0, 2.0, 3.0, 4.0]})
    safe = inert(table)
    assert safe["subject"].tolist() == ["'=cmd|' /C calc'!A0", "'@x", "-1.5", "S01"]
    assert safe["value"].tolist() == [-1.0, 2.0, 3.0, 4.0]
