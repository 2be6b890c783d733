"""Real processes of a verb: started, watched, killed by pid, and what they leave ended. Nothing else is touched."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Protocol

import psutil

LIMIT = 600.0
"""Seconds after which a process counts as hanging."""
POLL = 0.01


class Running(Protocol):
    """A verb at work."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int | None:
        """Exit code, negative after a signal; None: it is still there."""


class Command:
    """`mdjpt <arguments>` as a user types it, in a session of its own."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mdjpt_platform.cli", *arguments],
                stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None


class Forked:
    """The same verb in a process that a server forks which has imported everything: a tenth of a second to start."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        process = server().Process(target=verb, args=(list(arguments), str(log), environment))
        process.start()
        assert process.pid is not None
        self._process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode


def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults.imports"])
    return context


def verb(arguments: list[str], log: str, environment: dict[str, str]) -> None:
    """What a forked process does."""
    from mdjpt_platform.cli import main

    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    sys.argv = ["mdjpt", *arguments]
    main()


def below(pid: int) -> list[psutil.Process]:
    """All that a process has started."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def find(pid: int, words: Sequence[str]) -> list[psutil.Process]:
    """The processes below one whose name or command holds one of the words, oldest first."""
    found = []
    for one in below(pid):
        with suppress(psutil.Error):
            if any(word in " ".join((one.name(), *one.cmdline())) for word in words):
                found.append(one)
    return sorted(found, key=lambda one: (one.create_time(), one.pid))


def end(left: Sequence[psutil.Process], patience: float = 20.0) -> None:
    """End what a dead driver has started: Ray's own agents do not notice. psutil refuses a pid that was given anew."""
    _, alive = psutil.wait_procs(list(left), timeout=patience)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(alive, timeout=10)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def content(folder: Path) -> tuple[int, int]:
    """Files below a folder and their bytes: changes when something is written there."""
    files = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.stat(os.path.join(place, name)).st_size
                files += 1
    return files, size


def until_work(process: Running, folder: Path) -> bool:
    """Wait for the first change below a folder; False: it ended or hangs without one."""
    before, deadline = content(folder), time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if content(folder) != before:
            return True
        time.sleep(POLL)
    return False


def until_found(process: Running, words: Sequence[str]) -> bool:
    """Wait for a process below one that find() finds; False: it ended or hangs without one."""
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if find(process.pid, words):
            return True
        time.sleep(POLL)
    return False


def span(process: Running, words: Sequence[str]) -> float:
    """Seconds from the first to the last sight of what find() finds, until the process ends."""
    if not until_found(process, words):
        return 0.0
    first = last = time.monotonic()
    while process.poll() is None and last - first < LIMIT:
        if find(process.pid, words):
            last = time.monotonic()
        time.sleep(0.05)
    return last - first


class Disk:
    """A small file system at a folder that can be filled; needs the right to mount."""

    def __init__(self, folder: Path, megabytes: int = 48) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.filler = folder, folder / ".filler"
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(command, capture_output=True).returncode == 0

    def fill(self) -> None:
        with suppress(OSError), self.filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
