"""Memory of a training step: what autograd keeps for the backward pass, and the peak of the process.

Every case runs in a process of its own: the model, one small step to warm up, then one step whose peak resident memory
is taken above what the process held before it. `saved` counts every storage once, weights excluded. The last case is
the published step, 254 windows of five corpora through train/step.py; it is skipped with a reason where it would not
fit into what is free.

    python benchmarks/memory.py [--smoke] [--windows 30]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import naive
import step
import torch
from measure import emit
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from mdjpt_model import ModelSpec
from mdjpt_model.flops import activation_bytes
from mdjpt_model.montage import UNIFIED

MODELS = ("naive", "ours", *step.PARTLY)
WARM = 4
BUDGETS = {"inf": "everything_stored", "4": "4_gb_stored", "0": "nothing_stored"}
"""Gigabytes that activations of the published step may take."""
STATUS = Path("/proc/self/status")


def saved_bytes(model: nn.Module, forward: Callable[[], Tensor]) -> int:
    """Bytes that `forward` leaves for its backward pass, every storage once and the model's parameters excluded."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # not the output itself: a ring with its own graph, which stays for ever

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    total = sum(kept.values())
    del result
    return total


def reset_peak() -> None:
    """Give back what was freed and forget the highest resident memory so far, where the system can (Linux, glibc).

    What the allocator holds back of the warm-up would otherwise count as there before the step.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5", encoding="ascii")


def resident() -> tuple[int, int]:
    """Bytes now and at the peak; twice the peak where only that is known."""
    if not STATUS.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return peak, peak
    fields = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
    return tuple(1024 * int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def free() -> int:
    """Bytes that a process can still have."""
    return 1024 * int(Path("/proc/meminfo").read_text(encoding="ascii").split("MemAvailable:")[1].split()[0])


def peak_above(work: Callable[[], object]) -> int:
    """Bytes of resident memory that `work` adds at its highest."""
    reset_peak()
    before, _ = resident()
    work()
    return resident()[1] - before


def one_step(variant: str, name: str, precision: str, windows: int) -> dict[str, Any]:
    """Saved bytes a window and peak of one step of [windows, 60, 625]."""
    spec = ModelSpec(variant=variant)  # type: ignore[arg-type]
    model: nn.Module = step.build(spec, stored=step.PARTLY.get(name, 1.0))
    value: Callable[..., Tensor] = step.loss
    if name == "naive":
        model, _ = naive.load(model)  # type: ignore[arg-type]
        value = naive.loss
    batch = torch.randn(windows, len(UNIFIED), step.SAMPLES)
    step.training_step(model, value, [batch[:WARM]], precision)()
    saved = saved_bytes(model, lambda: value(model, [batch], precision))
    peak = peak_above(step.training_step(model, value, [batch], precision))
    return {
        "windows": windows,
        "saved_mb_per_window": saved / windows / 1e6,
        "peak_above_mb": peak / 1e6,
        "peak_above_mb_per_window": peak / windows / 1e6,
    }


def in_process(*case: str) -> None:
    """This file again, in a fresh process, for one case; its line goes to the same output."""
    subprocess.run([sys.executable, __file__, "--case", *case], check=True)


def needed(variant: str, gigabytes: float, windows: int) -> float:
    """Bytes that a step will keep, by the formula where everything is stored."""
    return min(gigabytes * 1e9, windows * activation_bytes(ModelSpec(variant=variant), step.SAMPLES))  # type: ignore[arg-type]


def run_case(kind: str, variant: str, *rest: str) -> None:
    if kind == "step":
        name, precision, windows = rest
        facts: dict[str, Any] = {"model": name, "precision": precision}
        emit(f"memory.{variant}.{precision}.{name}", **facts, **one_step(variant, name, precision, int(windows)))
        return
    import published  # the platform takes seconds to import, which the other cases need not wait for

    gigabytes, trials = float(rest[0]), published.TRIALS[rest[1]]
    name, windows = f"memory.published_step.{variant}.{BUDGETS[rest[0]]}", 2 * sum(trials.values())
    if needed(variant, gigabytes, windows) > 0.75 * free():
        emit(name, windows=windows, skipped=f"does not fit into the {free() / 1e9:.0f} GB that are free")
        return
    share, work = published.step_of(variant, gigabytes, trials)
    begin = time.perf_counter()
    peak = peak_above(work)
    figures = {"seconds": time.perf_counter() - begin, "peak_above_mb": peak / 1e6, "peak_mb": resident()[1] / 1e6}
    emit(name, windows=windows, share_stored=share, **figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="four windows, two corpora of the published step")
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--variants", default="corrected,released")
    parser.add_argument("--case", nargs="+", help="one case, in this process")
    arguments = parser.parse_args()
    if arguments.case:
        run_case(*arguments.case)
        return
    windows, size = (WARM, "small") if arguments.smoke else (arguments.windows, "published")
    for variant in arguments.variants.split(","):
        for precision in step.PRECISIONS:
            for name in MODELS:
                in_process("step", variant, name, precision, str(windows))
        for gigabytes in BUDGETS:
            in_process("published", variant, gigabytes, size)


if __name__ == "__main__":
    main()
