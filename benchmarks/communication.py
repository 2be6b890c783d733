"""A model of what W processes pay for talking, fitted and checked on this machine, then asked about larger ones.

A step sends two things: the statistics of the alignment, which everybody waits for between forward and backward, and
the gradients, which DDP sends in buckets while the backward pass goes on: the first bucket of 1 MiB is hidden behind
it, the rest is complete only with the last gradient and is waited for. An all-reduce of n bytes takes the faster of
    ring: 2 (W - 1) / W n / bandwidth + 2 (W - 1) latency
    tree: 2 n / bandwidth + 2 ceil(log2 W) latency
What grows with W beside bytes (the distances between all subjects of the form `slots`) is not in it.

    python benchmarks/communication.py [--rounds 15] [--seconds 0.02 0.1 1]
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

from mdjpt_model import MdJPT, ModelSpec
from mdjpt_model.losses import FORMS, Slots

FIRST_BUCKET = 1 << 20
"""Bytes of DDP's first bucket; the next would hold 25 MiB, more than all of mdJPT."""
BACKWARD = 2 / 3
"""Share of a step that is the backward pass."""


@dataclass(frozen=True)
class Link:
    """What connects a process with the next."""

    bandwidth: float
    """Bytes a second in one direction."""
    latency: float
    """Seconds until the first byte is there."""


LINKS = {
    "10 GbE": Link(0.9 * 1.25e9, 30e-6),
    "25 GbE": Link(0.9 * 3.125e9, 30e-6),
    "100 GbE": Link(0.9 * 12.5e9, 10e-6),
    "NVLink": Link(0.8 * 450e9, 5e-6),
}
"""Assumed: nominal rates less headers, latencies of TCP, of RDMA and of a kernel. Beyond one switch NVLink ends."""


def ring(size: float, workers: int, link: Link) -> float:
    """Seconds of an all-reduce that passes shares around twice."""
    return 2 * (workers - 1) / workers * size / link.bandwidth + 2 * (workers - 1) * link.latency


def tree(size: float, workers: int, link: Link) -> float:
    """Seconds of an all-reduce up a binary tree and down again, in a pipeline."""
    return 2 * size / link.bandwidth + 2 * math.ceil(math.log2(workers)) * link.latency


def all_reduce(size: float, workers: int, link: Link) -> float:
    """Seconds of the faster way; none for one process or nothing to send."""
    return 0.0 if workers == 1 or not size else min(ring(size, workers, link), tree(size, workers, link))


def payload(spec: ModelSpec, corpora: int, episodes: int, form: str) -> int:
    """Bytes of the alignment's statistics of a step of K = `episodes`, whatever the number of processes."""
    each = 2 * corpora
    variances = spec.chosen.covariance_diagonal == "keep"
    slots = Slots(torch.arange(each), torch.arange(each) // 2, each * episodes, corpora, spec.spatial, variances)
    gamma = torch.empty(each, spec.features, spec.spatial, spec.spatial, device="meta")
    return FORMS[form].pack(gamma, slots).nbytes


def gradients(spec: ModelSpec) -> int:
    """Bytes of the gradients."""
    with torch.device("meta"):
        return sum(p.nbytes for p in MdJPT(spec).parameters())


def exposed(size: float, compute: float, workers: int, link: Link) -> float:
    """Seconds of DDP's exchange of `size` bytes of gradients that the backward pass does not hide."""
    first = min(size, FIRST_BUCKET)
    early = all_reduce(first, workers, link) - BACKWARD * compute
    return max(0.0, early) + all_reduce(size - first, workers, link)


def step(compute: float, statistics_size: float, gradient_size: float, workers: int, link: Link) -> float:
    """Seconds of a step that computes for `compute` seconds."""
    return compute + all_reduce(statistics_size, workers, link) + exposed(gradient_size, compute, workers, link)


def fitted(sizes: Sequence[float], seconds: Sequence[float], workers: int) -> Link:
    """The link that explains all-reduces over a ring, by least squares of relative errors.

    Raises ValueError: times that do not grow with the size.
    """
    time = np.asarray(seconds)
    fixed, by_byte = nnls(np.stack([1 / time, np.asarray(sizes) / time], 1), np.ones(len(time)))[0]
    if not by_byte > 0:
        raise ValueError(f"all-reduces take no longer for more bytes: {dict(zip(sizes, seconds, strict=True))}")
    return Link(2 * (workers - 1) / workers / by_byte, fixed / (2 * (workers - 1)))


def predict(seconds: Sequence[float], corpora: int = 5) -> None:
    """Weak scaling of the published model: one episode a process, `seconds` of computing a step."""
    from measure import emit

    spec = ModelSpec()
    for form in ("slots", "corpus", "moments"):
        for name, link in LINKS.items():
            for compute in seconds:
                efficiency = {
                    w: round(compute / step(compute, payload(spec, corpora, w, form), gradients(spec), w, link), 4)
                    for w in (8, 16, 32, 64, 128, 256)
                }
                sent = {w: payload(spec, corpora, w, form) for w in (8, 256)}
                emit("communication.predicted", form=form, link=name, compute_s=compute, gradient_bytes=gradients(spec),
                     statistics_bytes=sent, efficiency=efficiency)  # fmt: skip


HELD_OUT = 1 << 20
SIZES = (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 19, HELD_OUT, 1 << 21, 1 << 22, 1 << 23)
TALKATIVE = {"hidden": 16, "heads": 2, "depth": 1}
"""A model that computes little and sends as much as the published one, or its exchange would vanish in the noise."""


def body(rank: int, world: int, rounds: int, corpora: int) -> None:
    """Fit on all sizes but one, predict that one and a step of two processes, and measure both."""
    from measure import emit
    from processes import alternate, made_up_run, made_up_step
    from torch import distributed

    from mdjpt_platform.train.context import Context

    tensors = {str(size): torch.zeros(size // 4) for size in SIZES}
    reduces = {size: lambda flat=flat: distributed.all_reduce(flat) for size, flat in tensors.items()}
    found = {int(size): statistics.median(values) for size, values in alternate(reduces, rounds, times=5).items()}
    # `corpus` compares as much whatever K is, so that a step of two processes differs by what is sent alone.
    runs = {
        key: made_up_run(corpora, episodes, "corpus", TALKATIVE)
        for key, episodes in (("apart", 1), ("together", world))
    }
    contexts = {"apart": Context(), "together": Context(rank, world)}
    steps = alternate({key: made_up_step(runs[key], contexts[key], 4) for key in runs}, rounds)
    if rank > 0:
        return
    known = {size: seconds for size, seconds in found.items() if size != HELD_OUT}
    link = fitted(list(known), list(known.values()), world)
    expected = all_reduce(HELD_OUT, world, link)
    emit("communication.fit", workers=world, rounds=rounds, bandwidth_bytes_per_s=link.bandwidth,
         latency_s=link.latency, measured_s=found, fitted_s={n: all_reduce(n, world, link) for n in found})  # fmt: skip
    emit("communication.held_out", bytes=HELD_OUT, predicted_s=expected, measured_s=found[HELD_OUT],
         predicted_over_measured=expected / found[HELD_OUT])  # fmt: skip
    spec = ModelSpec(**TALKATIVE)
    sent = {"statistics": payload(spec, corpora, world, "corpus"), "gradients": gradients(spec)}
    compute = statistics.median(steps["apart"])
    ratio = statistics.median(b / a for a, b in zip(steps["apart"], steps["together"], strict=True))
    modelled = step(compute, sent["statistics"], sent["gradients"], world, link) / compute
    emit("communication.step", workers=world, rounds=rounds, model=TALKATIVE, bytes=sent, apart_s=compute,
         together_over_apart={"predicted": modelled, "measured": ratio})  # fmt: skip


if __name__ == "__main__":
    from processes import together

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--corpora", type=int, default=5)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.02, 0.1, 1.0], help="of computing a step")
    chosen = parser.parse_args()
    together(2, body, chosen.rounds, chosen.corpora)
    predict(chosen.seconds, chosen.corpora)
