"""`mdjpt live` and `mdjpt predict --causal` as processes: whole lines, a clean end, one line for what cannot be."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest
from causal import random_model

from mdjpt_model.spec import ModelSpec
from mdjpt_platform import cli
from mdjpt_platform.export.folder import write
from signal_cases import STANDARD, field

NAMES = STANDARD[:10]
RATE, SECONDS = 250.0, 20.0
SMALL = ModelSpec(
    hidden=16, features=4, heads=2, spatial=6, kernels=2, stride=8, patch=16, dilations=(1, 3), attention_kernel=5
)
Called = Callable[..., int]
CLI = [sys.executable, "-m", "mdjpt_platform.cli"]
LOOPBACK = """[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
ListenAddress = 127.0.0.1
[lab]
KnownPeers = {127.0.0.1}
"""
"""Settings of liblsl under which no packet leaves the machine."""
PLAYER = """
import sys
from mne_lsl.player import PlayerLSL
for line in sys.stdin:
    if line == "play\\n":
        player = PlayerLSL(sys.argv[1], chunk_size=25, name=sys.argv[2], source_id="one").start()
        print("playing", flush=True)
    else:
        player.stop()
        del player
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder and a recording."""
    base = tmp_path_factory.mktemp("live")
    write(base / "model", random_model(SMALL, "mdjpt_no_ica", window=(2.56, 0.64)), "a card")
    info = mne.create_info([*NAMES, "VEOG"], RATE, ["eeg"] * len(NAMES) + ["eog"])
    data = np.vstack([1e-6 * field(round(SECONDS * RATE), NAMES), np.zeros(round(SECONDS * RATE))])
    mne.io.RawArray(data, info, verbose="ERROR").save(base / "one_raw.fif", verbose="ERROR")
    return base


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """`mdjpt` in this process, which spares a start: its exit code."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["mdjpt", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return int(stopped.value.code or 0)

    return call


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    threads = {"OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [*CLI, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **threads},
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out, err


def lines_of(text: str) -> list[dict[str, Any]]:
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_replay_answers_until_the_seconds_are_over(
    folder: Path, tmp_path: Path, called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "lines.jsonl"
    shown, _ = ended(
        start(
            "live", folder / "model", "--replay", folder / "one_raw.fif", "--speed", 20, "--seconds", 10, "--out", out
        )
    )
    first, *answers, last = lines_of(out.read_text())
    assert first["line"] == "start" and first["channels"] == list(NAMES) and first["model"] == "model"
    assert last["line"] == "end" and last["why"] == "10 s were asked for" and last["answers"] == len(answers) == 12
    assert {line["line"] for line in answers} == {"answer"} and answers[-1]["time"] <= 10.0
    assert "12 answers in 10 s" in shown and str(folder) not in out.read_text()


def test_sigterm_ends_it_with_whole_lines(folder: Path) -> None:
    process = start("live", folder / "model", "--replay", folder / "one_raw.fif", "--speed", 2)
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = lines_of("".join(seen) + out)
    assert [line["line"] for line in lines[:2]] == ["start", "answer"]
    assert lines[-1]["line"] == "end" and lines[-1]["why"] == "told to end"
    assert lines[-1]["age_s"]["p50"] < 5


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    process = start("live", folder / "model", "--replay", folder / "one_raw.fif", "--speed", 50)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_predict_causal_writes_a_folder_a_file(
    folder: Path, tmp_path: Path, called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.edf").write_text("no recording")
    files = (folder / "one_raw.fif", tmp_path / "bad.edf")
    assert called("predict", folder / "model", *files, "--causal", "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().out
    assert "1 of 2 predicted" in shown and "bad.edf" in shown
    (done,) = (tmp_path / "out").iterdir()
    assert done.name == "one_raw-causal"
    lines = lines_of((done / "answers.jsonl").read_text())
    rows = pd.read_parquet(done / "windows.parquet")
    assert len(rows) == lines[-1]["answers"] == len(lines) - 2 == 28
    summary = json.loads((done / "summary.json").read_text())
    assert summary["mode"] == "causal" and summary["end"]["answers"] == 28
    assert summary["end"]["delay"]["wait_s"] == pytest.approx(0.128)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of --lsl NAME and --replay FILE"),
        (("--lsl", "x", "--replay", "{file}"), "one of --lsl NAME and --replay FILE"),
        (("--replay", "{file}", "--speed", "0"), "--speed"),
        (("--replay", "{file}", "--out", "{file}"), "a new one"),
        (("--replay", "{file}.edf"), "nothing there"),
        (("--replay", "{file}", "--least-channels", "40"), "at least 40"),
    ],
)
def test_refusals_are_one_line(
    folder: Path, arguments: tuple[str, ...], said: str, called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [text.format(file=folder / "one_raw.fif") for text in arguments]
    assert called("live", folder / "model", *given) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("mdjpt: ") and said in error


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mne_lsl") is None, reason="MNE-LSL is not installed (the extra `live`)")
def test_lab_streaming_layer(folder: Path, tmp_path: Path) -> None:
    """A real outlet on the loopback interface; it goes away for a while, comes back, and falls silent."""
    (tmp_path / "lsl.cfg").write_text(LOOPBACK)
    lsl, name = {"LSLAPICFG": str(tmp_path / "lsl.cfg")}, f"mdjpt-{os.getpid()}"
    out = tmp_path / "lines.jsonl"
    player = subprocess.Popen(
        [sys.executable, "-c", PLAYER, folder / "one_raw.fif", name], stdin=subprocess.PIPE, text=True,
        env={**os.environ, **lsl, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert player.stdin is not None

    def heard(kind: str, count: int) -> None:
        until = time.monotonic() + 200
        while not out.exists() or out.read_text().count(f'"line": "{kind}"') < count:
            assert process.poll() is None and time.monotonic() < until, f"no {count} lines of {kind}"
            time.sleep(0.2)

    try:
        print("play", file=player.stdin, flush=True)
        assert player.stdout is not None and "playing\n" in iter(player.stdout.readline, "")
        process = start("live", folder / "model", "--lsl", name, "--patience", 15, "--out", out, **lsl)
        heard("answer", 10)
        print("pause", file=player.stdin, flush=True)
        time.sleep(2)
        print("play", file=player.stdin, flush=True)
        heard("gap", 1)
        print("pause", file=player.stdin, flush=True)
        ended(process)
    finally:
        player.kill()
        player.wait()
    first, *lines, last = lines_of(out.read_text())
    assert first["source"] == name and first["channels"] == list(NAMES) and first["not_used"] == ["VEOG"]
    assert last["why"] == "no sample for 15 s" and last["answers"] >= 10
    assert not any("unit" in line["text"] for line in lines if line["line"] == "note")  # the stream says volts
    assert [line["line"] for line in lines].count("gap") >= 1
    assert max(line["latency"]["age_s"] for line in lines if line["line"] == "answer") < 10
    _, err = ended(start("live", folder / "model", "--lsl", "nobody", **lsl), 2)
    assert "none; there are: no streams" in err
