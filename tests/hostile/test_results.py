"""Hostile results: checkpoints, trained models, logs, ledgers and tables that somebody else put into a run's folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from mdjpt_model.spec import ModelSpec
from mdjpt_platform.errors import BadInput
from mdjpt_platform.plain import object_of, table_of
from mdjpt_platform.report.inputs import load_target
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.checkpoint import load_checkpoint, load_model, save_model


class Command:
    """Pickles into a command."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch canary",)


def saved(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


SPEC = ModelSpec()
SOUND = {"spec": "{}", "model": {}, "optimiser": {}, "random": torch.zeros(1), "step": 1}
CHECKPOINTS: dict[str, bytes] = {
    "a command": saved({"spec": Command()}),
    "a bare pickle": pickle.dumps(Command(), 2),
    "no zip": b"PK\x03\x04" + b"\xff" * 300,
    "truncated": saved(SOUND)[:-200],
    "a list": saved([1]),
    "nothing in it": saved({}),
    "a description that is no JSON": saved({**SOUND, "spec": "["}),
    "a description nested too deeply": saved({**SOUND, "spec": "[" * 100_000}),
    "another architecture": saved(SOUND),
    "text": b"hello",
    "nothing": b"",
}
WEIGHTS: dict[str, bytes] = {
    "a header without end": struct.pack("<Q", 2**62) + b"{}",
    "a header of gigabytes": struct.pack("<Q", 2**33) + b"{}",
    "offsets outside": struct.pack("<Q", 64) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,99999]}}'.ljust(64),
    "a pickle": pickle.dumps(Command()),
    "nothing": b"",
    "other names": struct.pack("<Q", 56)
    + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(56)
    + bytes(4),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refuses(call: Callable[[], object]) -> None:
    with pytest.raises(BadInput) as caught:
        call()
    assert "\n" not in str(caught.value) and not Path("canary").exists()


@pytest.mark.parametrize("content", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_checkpoints(tmp_path: Path, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()[:16]
    (tmp_path / f"step-00000005-{digest}.pt").write_bytes(content)
    model = torch.nn.Linear(1, 1)
    refuses(lambda: load_checkpoint(tmp_path, model, torch.optim.Adam(model.parameters()), SPEC))


@pytest.mark.timeout(30)
def test_a_pipe_for_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"step-00000005-{'0' * 16}.pt")
    model = torch.nn.Linear(1, 1)
    assert load_checkpoint(tmp_path, model, torch.optim.Adam(model.parameters()), SPEC) == 0


@pytest.mark.parametrize("content", WEIGHTS.values(), ids=WEIGHTS)
def test_trained_models(tmp_path: Path, content: bytes) -> None:
    save_model(tmp_path, torch.nn.Linear(1, 1), SPEC)
    (tmp_path / "model.safetensors").write_bytes(content)
    described = json.loads((tmp_path / "model.json").read_text())
    described["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(described))
    refuses(lambda: load_model(tmp_path, SPEC))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 200_000, b"\xff", pickle.dumps(Command()), None])
def test_json_and_logs(tmp_path: Path, content: bytes | None) -> None:
    for name in ("result.json", "results.json", "metrics.jsonl"):
        if content is None:
            os.mkfifo(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content + b"\n{}\n")
    refuses(lambda: object_of(tmp_path / "result.json", ["identity"]))
    refuses(lambda: load_target(tmp_path))
    refuses(lambda: read_jsonl(tmp_path / "metrics.jsonl"))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\xff" * 50 + b"PAR1", pickle.dumps(Command()), None])
def test_tables(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "scores.parquet"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    refuses(lambda: table_of(path))


def test_sound_tables_come_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"subject": ["a", "b"], "value": [1.0, 2.0]})
    table.to_parquet(tmp_path / "scores.parquet", index=False)
    pd.testing.assert_frame_equal(table_of(tmp_path / "scores.parquet"), table)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("content", [b"", b"{", b"[" * 200_000, b'{"key": 1}', pickle.dumps(Command()), None])
def test_entries_of_a_ledger_count_as_none(tmp_path: Path, content: bytes | None) -> None:
    ledger = Ledger(tmp_path)
    ledger.cells.mkdir()
    path = ledger.cells / "some.json"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    assert ledger.entry("some") is None and not Path("canary").exists()
