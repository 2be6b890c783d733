"""Kills a verb at seeded random moments, runs the same command again until it ends, compares with an unbroken run.

    python tests/faults/harness.py --kills 20 --seed 0 [--only pretrain study]

One JSON line a kill: what was hit, when (seconds and share of the work after its first file; of a worker's life after
its first sight), the exit codes, how often the command was started again, and what differs. The last line sums up;
exit 1 if anything differed or hung. What is killed was started here and is found below its driver: pids, never names of
processes elsewhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faults.processes import Running
    from faults.scenes import Result, Scene, Sizes

TESTS = Path(__file__).resolve().parents[1]
STARTS = 5
"""Most times that a command is started again; a sound one needs one."""
TEMPFAIL = 75


@dataclass(frozen=True)
class Unbroken:
    """A scene to which nothing happened: seconds of its work, and of these from a worker's first sight to the last."""

    result: Result
    seconds: float
    worker: float


@dataclass
class Stage:
    """Where scenes are played. `start(arguments, log, environment)` begins a verb."""

    base: Path
    start: Callable[..., Running]
    sizes: Sizes
    unbroken: dict[str, Unbroken] = field(default_factory=dict)
    """By scene."""

    def expected(self, name: str, scene: Scene) -> Unbroken:
        """The unbroken run of a scene, once."""
        from faults.hits import WORDS
        from faults.processes import LIMIT, span, until_work

        if name not in self.unbroken:
            with self._home() as (disk, environment):
                file = scene.write(self.base, disk, self.sizes)
                running = self.start([*scene.verb, str(file)], disk.parent / "log", environment)
                until_work(running, disk)
                began = time.monotonic()
                worker = span(running, WORDS["worker"]) if "worker" in scene.targets else 0.0
                code = running.wait(LIMIT)
                assert code == 0, (name, code, _tail(disk.parent / "log"))
                self.unbroken[name] = Unbroken(scene.result(disk), time.monotonic() - began, worker)
        return self.unbroken[name]

    def kill(self, name: str, scene: Scene, target: str, chance: random.Random) -> dict[str, Any]:
        """Play a scene with one fault; what became of it."""
        from faults.hits import WORDS, ended, hit, tracking
        from faults.processes import Disk, until_found, until_work

        unbroken = self.expected(name, scene)
        expected, share = unbroken.result, chance.random()
        awaited = target in ("worker", "start")
        seconds = 0.0 if target == "start" else unbroken.worker if awaited else unbroken.seconds
        told: dict[str, Any] = {"scene": name, "target": target, "share": round(share, 3)}
        with self._home() as (disk, environment), ExitStack() as left:
            small = Disk(disk) if target == "disk" else None
            if small is not None:
                left.callback(small.close)
                if not small.mounted:
                    return {**told, "skipped": "a file system cannot be mounted here"}
            file = scene.write(self.base, disk, self.sizes)
            arguments, log = [*scene.verb, str(file)], disk.parent / "log"
            server = left.enter_context(tracking(disk.parent)) if target == "server" else None
            if server is not None:
                arguments += ["--set", f"exec.mlflow={server.uri}"]
            running = self.start(arguments, log, environment)
            there = until_work(running, disk) and (not awaited or until_found(running, WORDS[target]))
            began = time.monotonic() if there else None
            while began is not None and running.poll() is None and time.monotonic() - began < share * seconds:
                time.sleep(0.005)
            told["at"] = None if began is None else round(time.monotonic() - began, 3)
            told["steps"] = _steps(disk)
            told["hit"] = "" if running.poll() is not None else hit(target, running, small, server, chance)
            codes = [ended(running, target)]
            if small is not None:
                told["said"] = _tail(log)
                small.free()
            while codes[-1] != 0 and len(codes) <= STARTS:
                codes.append(ended(self.start(arguments, log, environment), ""))
            told |= {"codes": codes, "restarted": len(codes) - 1}
            found = scene.result(disk) if codes[-1] == 0 else {}
            different = sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key))
            told |= {"equal": not different and _fits(target, told), "different": different}
            if not told["equal"]:
                told["log"] = log.read_text(errors="replace")[-3000:]
        return told

    @contextmanager
    def _home(self) -> Iterator[tuple[Path, dict[str, str]]]:
        """A folder `disk` for what a verb writes, and the environment it gets: a short one, for Ray's sockets."""
        home = Path(tempfile.mkdtemp(prefix="mjf", dir="/tmp"))
        (home / "disk").mkdir()
        (home / "tmp").mkdir()
        environment = {**os.environ, "RAY_TMPDIR": str(home / "tmp"), "TMPDIR": str(home / "tmp"),
                       "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "OMP_NUM_THREADS": "1"}  # fmt: skip
        try:
            yield home / "disk", environment
        finally:
            shutil.rmtree(home, ignore_errors=True)


def _fits(target: str, told: dict[str, Any]) -> bool:
    """Whether it ended the way it is promised, beside the result."""
    first = told["codes"][0]
    if not told["hit"]:
        return first == 0
    promised: dict[str, tuple[int | str, ...]] = {
        "driver": (-signal.SIGKILL,), "worker": (0,), "start": (0,), "server": (0,), "notice": (0, TEMPFAIL),
        "disk": (0, 1, 2),
        "raylet": (0, 1, 2),  # Ray ends the driver itself, with its own words
    }  # fmt: skip
    if target == "disk" and first != 0 and not ("No space left" in told["said"] and "\n" not in told["said"]):
        return False
    return first in promised[target] if target in promised else first != "hung"


def _steps(disk: Path) -> int:
    """Steps in the logs of all trainings, as of now."""
    return sum(path.read_bytes().count(b'{"step"') for path in disk.glob("runs/*/metrics.jsonl"))


def _tail(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill verbs at random moments and compare what comes out.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="scenes")
    parser.add_argument("--targets", nargs="*", default=[], help="what to hit")
    chosen = parser.parse_args()
    if importlib.util.find_spec("faults") is None:  # started as a script: the package that it lies in is not seen
        path = os.pathsep.join([str(TESTS), str(TESTS / "integration"), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "faults.harness", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)})
    return play(chosen.kills, chosen.seed, chosen.only, chosen.targets)


def play(kills: int, seed: int, only: list[str], targets: list[str]) -> int:
    """All kills; 0 if every result is that of an unbroken run."""
    from faults.processes import Command
    from faults.scenes import SCENES, Sizes, make_base

    order = random.Random(seed)
    places = [(name, target) for name, scene in SCENES.items() if not only or name in only
              for target in scene.targets if not targets or target in targets]  # fmt: skip
    order.shuffle(places)
    told = []
    with tempfile.TemporaryDirectory(prefix="mjb", dir="/tmp") as folder:
        stage = Stage(Path(folder), Command, Sizes())
        make_base(stage.base)
        for number in range(kills):
            name, target = places[number % len(places)]
            told.append({"kill": number} | stage.kill(name, SCENES[name], target, random.Random(f"{seed}-{number}")))
            print(json.dumps(told[-1]), flush=True)
    tried = [one for one in told if "skipped" not in one]
    equal = sum(one["equal"] for one in tried)
    print(json.dumps({"kills": len(told), "skipped": len(told) - len(tried), "equal": equal, "seed": seed,
                      "in_the_midst": sum(bool(one["hit"]) for one in tried)}))  # fmt: skip
    return 0 if equal == len(tried) else 1


if __name__ == "__main__":
    sys.exit(main())
