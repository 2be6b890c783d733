"""`mdjpt doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mdjpt_platform.errors import masked


@dataclass(frozen=True)
class Finding:
    """One check."""

    name: str
    ok: bool
    found: str
    cure: str = ""


def _python() -> Finding:
    return Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")


def _packages() -> Finding:
    wanted = ("torch", "ray", "mlflow", "mne", "pyarrow", "pydantic")
    found, absent = [], []
    for name in wanted:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    return Finding("packages", not absent, ", ".join(found), f"`make setup`; absent: {', '.join(absent)}")


def _torch() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", True, f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}; use exec.gpu=true")
    return Finding("GPU", True, f"none; training on {os.cpu_count()} CPUs with torch {torch.__version__}")


def _token() -> Finding:
    where = os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path.home() / ".ray" / "auth_token")
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    there = bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(where).is_file()
    if mode == "disabled":
        return Finding("Ray token", False, "authentication is switched off", "unset RAY_AUTH_MODE")
    cure = "`ray get-auth-token --generate`, and the same token on every node and where jobs are submitted"
    if there and not os.environ.get("RAY_AUTH_TOKEN"):
        known = stat.S_IMODE(Path(where).stat().st_mode) & 0o077
        if known:
            return Finding("Ray token", False, "others on this machine can read it", f"chmod 600 {where}")
        if not Path(where).stat().st_size:
            return Finding("Ray token", False, "an empty file", cure)
    needed = bool(os.environ.get("RAY_ADDRESS"))
    found = "present" if there else "none" if needed else "none yet; a private Ray makes one by itself"
    return Finding("Ray token", there or not needed, found, cure)


def _loopback() -> Finding:
    """Where Ray's dashboard and an MLflow server listen, as far as the environment decides it."""
    told = {name: os.environ.get(name, "") for name in ("RAY_DASHBOARD_HOST", "MLFLOW_HOST")}
    open_to_all = [f"{name}={host}" for name, host in told.items() if host not in ("", "127.0.0.1", "::1", "localhost")]
    cure = "unset it and come through SSH: whoever reaches the port can run code or read results"
    return Finding("loopback", not open_to_all, ", ".join(open_to_all) or "servers listen on this machine alone", cure)


def _ray() -> Finding:
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Finding("Ray cluster", True, "RAY_ADDRESS not set: a private Ray starts on this machine when needed")
    if address in ("auto", "local"):
        return Finding("Ray cluster", True, f"RAY_ADDRESS={address}: Ray looks for it itself")
    host, _, port = address.removeprefix("http://").removeprefix("ray://").partition(":")
    try:
        socket.create_connection((host, int(port or 6379)), timeout=3).close()
    except (OSError, ValueError) as error:
        return Finding("Ray cluster", False, f"{address}: {error}", "start the head, or unset RAY_ADDRESS")
    return Finding("Ray cluster", True, f"{address} answers")


def _mlflow() -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and uri.startswith("http"):
        host, _, port = uri.split("//", 1)[1].split("/", 1)[0].rpartition("@")[2].partition(":")
        try:
            socket.create_connection((host, int(port or 80)), timeout=3).close()
        except (OSError, ValueError) as error:
            return Finding(
                "MLflow", False, f"{masked(uri)}: {error}", "start it, or leave exec.mlflow empty for SQLite"
            )
    return Finding("MLflow", True, "exec.mlflow decides; SQLite inside exec.runs by default")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    cure = "a store takes 4 bytes a sample and channel: 5-20 GiB for a lab's corpora"
    return Finding("disk", free > 10, f"{free:.0f} GiB free here", cure)


def _memory() -> Finding:
    shared = Path("/dev/shm")
    free = shutil.disk_usage(shared).free / 2**30 if shared.exists() else 0.0
    cure = "give containers --shm-size: Ray's objects live there"
    return Finding("shared memory", free > 0.5, f"{free:.1f} GiB in /dev/shm", cure)


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _packages,
    _torch,
    _token,
    _loopback,
    _ray,
    _mlflow,
    _disk,
    _memory,
)


def examine() -> int:
    """Print every finding; 0 if nothing needs doing, else 1."""
    findings = [check() for check in CHECKS]
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'MEND'} {finding.name}: {finding.found}")
        if not finding.ok:
            print(f"     -> {finding.cure}")
    return 0 if all(finding.ok for finding in findings) else 1
