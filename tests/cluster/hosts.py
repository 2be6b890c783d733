"""Two hosts on one machine: network, mounts, processes and name of their own, joined by one cable.

A host is a network namespace and, in it, a process whose end ends everything on the host: the kernel kills what is left
in a process namespace when its first process goes. Both hosts see the same folder `shared`, which stands for a shared
file system, and each has a `/tmp` and a `/dev/shm` of its own. As on Debian, a host's name means loopback on it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

NETWORK = "10.213.77"
"""Known inside the two namespaces alone."""

BOOT = """
set -e
mount --make-rprivate /
hostname "$1"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$1" > "$2/hosts"
mount --bind "$2/hosts" /etc/hosts
mount -t tmpfs -o size=512m shm /dev/shm
mkdir -p "$2/disk/${3#/tmp/}"
mount --bind "$3" "$2/disk/${3#/tmp/}"
mount --rbind "$2/disk" /tmp
cd /
touch "/tmp/${3#/tmp/}/.up-$1"
sleep infinity & wait
"""


def unable() -> str | None:
    """Why hosts cannot be laid here; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    lacking = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    if lacking:
        return f"no {', '.join(lacking)} here (packages iproute2, util-linux)"
    probe = f"mjp{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode == 0:
        made = subprocess.run(
            ["ip", "netns", "exec", probe, "unshare", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "true"],
            capture_output=True, text=True,
        )  # fmt: skip
    subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return None if made.returncode == 0 else f"no namespaces here: {made.stderr.strip()}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def until(reached: Callable[[], bool], what: Callable[[], str], seconds: float = 120) -> float:
    """Seconds until it was reached. Raises AssertionError, with what is known then: it was not."""
    begin = time.monotonic()
    while not reached():
        assert time.monotonic() - begin < seconds, what()
        time.sleep(0.1)
    return time.monotonic() - begin


@dataclass
class Host:
    name: str
    address: str
    folder: Path
    shared: Path
    power: subprocess.Popen[bytes] | None = None
    pid: int = 0
    """Of the host's first process, as this machine counts."""
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        """The host's /tmp as this machine sees it; survives the host's end."""
        return self.folder / "disk"

    @property
    def cable(self) -> str:
        return f"v{self.name}"

    def boot(self) -> None:
        up = self.shared / f".up-{self.name}"
        up.unlink(missing_ok=True)
        space = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        boot = ["bash", "-c", BOOT, "boot", self.name, str(self.folder), str(self.shared)]
        self.power = subprocess.Popen(["ip", "netns", "exec", self.name, *space, *boot])
        power = self.power
        until(lambda: up.exists() or power.poll() is not None, lambda: f"{self.name} does not start", 20)
        assert power.poll() is None, f"{self.name} does not start"
        self.pid = int(Path(f"/proc/{power.pid}/task/{power.pid}/children").read_text())

    def off(self) -> None:
        """End all that runs on the host; its disk stays."""
        if self.power is not None:
            if self.power.poll() is None:
                os.kill(self.pid, signal.SIGKILL)
            self.power.wait(20)
        for process in self.started:
            process.wait(20)
        self.started.clear()

    def link(self, state: str) -> None:
        """Pull the cable (`down`) or plug it in (`up`)."""
        ip("-n", self.name, "link", "set", self.cable, state)

    def inside(self, *command: str | Path) -> list[str]:
        """The command as it is run on the host."""
        return [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--net",
            "--pid",
            "--uts",
            "--wd=/tmp",
            *map(str, command),
        ]

    def run(
        self, *command: str | Path, env: Mapping[str, str], seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.inside(*command), env=env, capture_output=True, text=True, timeout=seconds)

    def start(self, command: Sequence[str | Path], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process on the host that goes with it at the latest."""
        with log.open("ab") as out:
            process = subprocess.Popen(self.inside(*command), env=env, stdout=out, stderr=out, start_new_session=True)
        self.started.append(process)
        return process

    def hide(self, folder: Path) -> None:
        """From now on the folder is empty for every process of this host."""
        subprocess.run(self.inside("mount", "-t", "tmpfs", "hidden", folder), check=True)

    def show(self, folder: Path) -> None:
        subprocess.run(self.inside("umount", folder), check=True)


@contextmanager
def two_hosts(shared: Path) -> Iterator[tuple[Host, Host]]:
    """Two hosts that are up and reach each other; ended and removed in any case. `shared` lies below /tmp."""
    mark = secrets.token_hex(3)
    folder = Path("/tmp") / f"mjn{mark}"
    hosts = tuple(Host(f"mj{mark}{n}", f"{NETWORK}.{k}", folder / n, shared) for k, n in enumerate("ab", 1))
    try:
        for host in hosts:
            host.disk.mkdir(parents=True)
            ip("netns", "add", host.name)
        one, other = hosts
        ip(
            "link",
            "add",
            one.cable,
            "netns",
            one.name,
            "type",
            "veth",
            "peer",
            "name",
            other.cable,
            "netns",
            other.name,
        )
        for host in hosts:
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.cable)
            ip("-n", host.name, "link", "set", "lo", "up")
            host.link("up")
            host.boot()
        yield one, other
    finally:
        for host in hosts:
            host.off()
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)  # and its end of the cable
        shutil.rmtree(folder, ignore_errors=True)
