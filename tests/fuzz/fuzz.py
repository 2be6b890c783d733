"""Damaged inputs against the code that reads them: `python tests/fuzz/fuzz.py unpickler --seconds 300`.

Targets: unpickler, store, runfile. Every input follows from (seed, number), so a finding can be made again; it is kept
in `--findings` too, for `python tests/fuzz/fuzz.py unpickler --again FILE`. Inputs are read by a process of their own,
under limits of memory and time, whose death is a finding like any exception but BadInput, a command that ran (it would
leave a file `canary`), memory beyond LARGEST, or more than SECONDS of CPU. Ends with one JSON line; exit 1 on findings.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}
"""Started as a script, this file hides the package that it lies in: processes import it as `fuzz.fuzz`."""
LARGEST = 384 * 2**20
"""Bytes that a process may grow by while it reads inputs of a few kilobytes."""
SECONDS = 10.0
"""CPU time of one input."""
STUCK = 120.0
"""Seconds without a next input, after which a process counts as hanging."""


def work(name: str, seed: int, first: int, seconds: float, folder: Path) -> None:
    """Read inputs from `first` on; `folder/at` says which one is being read, `folder/found` what was found."""
    from fuzz.targets import target

    scratch = folder / "base"
    attack = target(name, scratch)
    os.chdir(folder)
    for _ in range(2):  # loads what is loaded lazily, which is nobody's fault
        shutil.rmtree("input", ignore_errors=True)
        Path("input").mkdir()
        attack.hand(folder / "input", attack.sound)
    began, number = time.monotonic(), first
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    limit = _status("VmSize") + LARGEST
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with (folder / "at").open("w") as at, (folder / "found").open("a") as found:
        while time.monotonic() - began < seconds:
            content = attack.make(random.Random(f"{seed}-{number}"))
            at.seek(0)
            at.write(f"{number:12d}")
            at.flush()
            fault = examined(attack, folder / "input", content)
            if fault:
                found.write(json.dumps({"number": number, "fault": fault}) + "\n")
                found.flush()
            number += 1
        at.seek(0)
        at.write(f"{number:12d} end")


def examined(attack: Any, folder: Path, content: bytes) -> str:
    """What is wrong with how an input is read; empty if nothing."""
    from mdjpt_platform.errors import BadInput

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    fault = ""
    try:
        attack.hand(folder, content)
    except BadInput as error:
        if "MemoryError" in str(error) or "malloc" in str(error):
            fault = f"asked for more than {LARGEST} bytes: {error}"[:300]
        elif "\x1b" in str(error) or len(str(error)) > 10_000:
            fault = "an error that a terminal should not print"
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "a command ran" if Path("canary").exists() or (folder / "canary").exists() else fault


def fuzz(name: str, seconds: float, seed: int, findings: Path | None) -> dict[str, Any]:
    """Attack for some seconds; numbers of inputs and findings, with what they are."""
    began, number, found = time.monotonic(), 0, []
    while (left := seconds - (time.monotonic() - began)) > 0:
        with tempfile.TemporaryDirectory(prefix="mdjpt-fuzz-") as place:
            folder = Path(place)
            ended, code = _one_process(name, seed, number, left, folder)
            at = (folder / "at").read_text().split() if (folder / "at").exists() else []
            if (folder / "found").exists():
                found += [json.loads(line) for line in (folder / "found").read_text().splitlines()]
            if not at:
                raise RuntimeError(f"the process did not begin: exit {code}")
            if "end" in at:
                number = int(at[0])
                break
            found.append({"number": int(at[0]), "fault": "hangs" if not ended else f"died with {code}"})
            number = int(at[0]) + 1
    if findings is not None and found:
        _keep(name, seed, found, findings)
    took = round(time.monotonic() - began, 1)
    return {"target": name, "seed": seed, "inputs": number, "seconds": took, "findings": found}


def _one_process(name: str, seed: int, first: int, seconds: float, folder: Path) -> tuple[bool, int]:
    line = [sys.executable, "-m", "fuzz.fuzz", name, "--work", str(folder), "--first", str(first), "--seed", str(seed),
            "--seconds", str(seconds)]  # fmt: skip
    process = subprocess.Popen(line, env={**ENVIRONMENT, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"})
    before, since = "", time.monotonic()
    while True:
        try:
            return True, process.wait(timeout=min(5.0, STUCK))
        except subprocess.TimeoutExpired:
            now = (folder / "at").read_text() if (folder / "at").exists() else ""
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > STUCK:
                process.kill()
                return False, process.wait()


def _keep(name: str, seed: int, found: list[dict[str, Any]], folder: Path) -> None:
    from fuzz.targets import target

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        attack = target(name, Path(scratch))
        for one in found:
            (folder / f"{name}-{seed}-{one['number']}").write_bytes(
                attack.make(random.Random(f"{seed}-{one['number']}"))
            )


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--again", type=Path, help="read a kept input once, with the traceback of what it raises")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work is not None:
        work(chosen.target, chosen.seed, chosen.first, chosen.seconds, chosen.work)
        return 0
    if chosen.again is not None:
        from fuzz.targets import target

        with tempfile.TemporaryDirectory() as scratch:
            attack = target(chosen.target, Path(scratch) / "base")
            print(attack.hand(Path(scratch), chosen.again.read_bytes()))
        return 0
    outcome = fuzz(chosen.target, chosen.seconds, chosen.seed, chosen.findings)
    print(json.dumps(outcome))
    return 1 if outcome["findings"] else 0


if __name__ == "__main__":
    if not __package__:
        os.execve(sys.executable, [sys.executable, "-m", "fuzz.fuzz", *sys.argv[1:]], ENVIRONMENT)
    sys.exit(main())
