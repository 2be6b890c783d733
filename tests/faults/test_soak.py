"""The long run in small: its verdict can say `grows`, its gauges see what is kept, a few turns work; (slow) on Ray."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from faults import gauges
from faults.soak import BOUNDS, KEPT, Soak, judge
from faults.trend import FEWEST, comes_back, trend

HERE = Path(__file__).parent


def noisy(turns: int, slope: float, noise: float, seed: int = 0) -> list[float]:
    """Memory: 700 MB, a cache that fills in the first turns, `slope` a turn, noise, and a peak here and there."""
    chance = random.Random(seed)
    fills = [30.0 * (1 - 0.5**turn) for turn in range(turns)]
    peaks = [chance.choice([0.0] * 9 + [60.0]) for _ in range(turns)]
    return [700 + fills[turn] + slope * turn + chance.gauss(0, noise) + peaks[turn] for turn in range(turns)]


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_told_from_noise(seed: int) -> None:
    bound = BOUNDS["driver"]
    assert trend(noisy(60, 0.0, 2.0, seed), bound).verdict == "flat"
    assert trend(noisy(60, -1.0, 2.0, seed), bound).verdict == "flat"
    leaking = trend(noisy(60, 0.5, 2.0, seed), bound)
    assert leaking.verdict == "grows" and leaking.low <= 0.5 <= leaking.high
    below = trend(noisy(60, 0.1, 0.2, seed), bound)
    assert below.low > 0 and below.verdict == "flat", "sure, and still within the bound"


def test_what_fills_once_is_no_leak() -> None:
    assert trend([100.0 + 50 * min(turn, 10) for turn in range(40)], 0.25).verdict == "flat"
    assert trend([100.0 + 50 * (turn // 8) for turn in range(40)], 0.25).verdict == "grows", "in steps, without end"


def test_of_few_turns_nothing_is_said() -> None:
    assert trend([float(turn) for turn in range(FEWEST - 1)], 0.0).verdict == "too few"


def test_a_count_that_comes_back() -> None:
    assert comes_back([4, 4, 6, 4, 4, 5, 4, 4]) and comes_back([41] * 11 + [60])
    assert not comes_back([40 + turn // 5 for turn in range(40)])
    assert not comes_back([0, 0, 0, 1, 1, 1, 1, 1])


def test_what_grows_is_named() -> None:
    flat = {"seconds": 20.0, "raylet": 30.0, "work_files": 9, "descriptors": 41, "threads": 30, "mlflow_bytes": 1}
    records = [flat | {"turn": turn, "driver": 700 + 0.1 * turn} for turn in range(40)]
    assert judge(records)["leaks"] == []
    for name, step in (("driver", 1), ("work_files", 1), ("descriptors", 1)):
        told = judge([one | {name: one[name] + step * one["turn"]} for one in records])
        assert told["leaks"] == [name] and told["series"][name]["verdict"] == "grows", name
    hour = judge([one | {"driver": 700 + one["turn"]} for one in records])["series"]["driver"]["hour"]
    assert hour == pytest.approx(180), "1 MB in 20 s"
    assert judge([one | {"mlflow_bytes": one["turn"]} for one in records])["leaks"] == [], "by nature"


def test_gauges_see_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    size, handles, files = gauges.memory(None)["driver"][0], gauges.handles(), gauges.files(tmp_path / "work", None)
    kept, over = bytearray(os.urandom(60_000_000)), threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with tempfile.NamedTemporaryFile(dir=tmp_path / "tmp"):
            (tmp_path / "work" / "runs" / "mlartifacts").mkdir(parents=True)
            (tmp_path / "work" / "runs" / "mlartifacts" / "m").write_bytes(b"123")
            (tmp_path / "work" / "left").touch()
            assert gauges.memory(None)["driver"][0] - size > 50
            now = gauges.handles()
            assert now == {"descriptors": handles["descriptors"] + 1, "threads": handles["threads"] + 1}
            assert gauges.files(tmp_path / "work", None) == {"work_files": 1, "mlflow_bytes": 3, "temporary_files": 1}
            assert files == {"work_files": 0, "mlflow_bytes": 0, "temporary_files": 0}
    finally:
        over.set()
        thread.join()
    assert len(kept) and gauges.handles() == handles


def test_turns_leave_nothing_behind(tmp_path: Path) -> None:
    soak = Soak(tmp_path, mlflow=False)
    records = [soak.turn(number) for number in range(2)]
    assert [one["turn"] for one in records] == [0, 1] and json.dumps(records)
    assert records[0]["work_files"] == records[1]["work_files"], sorted(str(path) for path in tmp_path.rglob("*"))
    assert list((tmp_path / "runs").iterdir()) == []
    assert records[1]["threads"] <= records[0]["threads"] and records[1]["descriptors"] <= records[0]["descriptors"]
    assert judge(records)["leaks"] == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1200)
def test_a_short_run_on_ray(tmp_path: Path) -> None:
    """All gauges read, the figure is drawn, Ray ends with its driver; the half hour itself is docs/faults.md's."""
    figure = tmp_path / "memory.png"
    command = [sys.executable, str(HERE / "soak.py"), "--turns", "3", "--figure", str(figure)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *turns, told = lines
    assert len(turns) == told["turns"] == 3 and told["leaks"] == []
    assert {*BOUNDS, *KEPT, "actors_alive", "placement_groups", "processes"} <= set(told["series"])
    assert all(one["placement_groups"] == 0 and one["driver"] > 100 and one["raylet"] > 5 for one in turns)
    assert turns[0]["actors_alive"] == turns[2]["actors_alive"] and told["peak"]["actors"] > turns[2]["actors"]
    assert figure.stat().st_size > 10_000
    assert not [one for one in psutil.Process().children(recursive=True) if one.name() in ("raylet", "gcs_server")]
