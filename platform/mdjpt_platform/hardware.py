"""What a process computes with, in words for a report."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def hardware(gpu: bool) -> dict[str, str]:
    """CPU model, cores that this process may use, memory of the machine, and the GPU where one is used."""
    found = {"cpu": cpu_model(), "cores": f"{len(os.sched_getaffinity(0)) if _linux() else os.cpu_count() or 1}"}
    if _linux():
        found["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    if gpu:
        import torch

        found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none found"
    return found


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU as it calls itself, else its architecture."""
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        named = None
    return named[1].strip() if named else platform.processor() or platform.machine() or "unknown"


def _linux() -> bool:
    return hasattr(os, "sched_getaffinity")
