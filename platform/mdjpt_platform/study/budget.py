"""What makes cells comparable: equal steps, windows, arithmetic, passes over the data, or hours of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mdjpt_platform.config import RunConfig, content_hash
from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.spec import StudyConfig

BACKWARD = 3
"""FLOPs of a training step per FLOP of its forward pass."""


@dataclass(frozen=True)
class Size:
    """How much of a corpus there is for a run, by its plan and window."""

    episodes: int
    """Episodes until everything was drawn once: pairs of subjects in a session, or what the regions take."""
    windows: float
    """Windows that the corpus puts into an episode, in the mean."""
    hours: Mapping[str, float]
    """Hours of signal by subject."""
    flops: float
    """Of the run's model for one window, forward, by formula; NaN where its family has none."""


Sizes = Callable[[RunConfig, str], Size]
"""(run, corpus) -> its size."""


def training_flops(run: RunConfig, sizes: Sizes) -> float:
    """FLOPs of the pre-training of a run, by formula (products and convolutions)."""
    found = [sizes(run, name) for name in run.sources]
    step = sum(size.windows * size.flops for size in found)
    return BACKWARD * step * run.train.episodes * run.train.steps * run.train.epochs


def within_budget(study: StudyConfig, base: RunConfig, run: RunConfig, sizes: Sizes | None) -> RunConfig:
    """The run with the length that the study's budget gives it.

    Budgets `windows` and `compute` give every cell what the base run would take with all corpora of the study.
    Raises BadInput: sizes are needed and unknown, a budget that cannot be met.
    """
    if study.budget == "steps":
        return run
    if sizes is None:
        raise BadInput(study.name, "budget", f"no sizes of {', '.join(run.sources)}",
                       "prepared stores: run `mdjpt prepare`")  # fmt: skip
    if study.budget == "epochs":
        steps = -(-max(sizes(run, name).episodes for name in run.sources) // run.train.episodes)
        return _trained(run, steps=steps, epochs=study.passes)
    if study.budget == "hours":
        assert study.hours is not None
        hours = {name: sizes(run, name).hours for name in run.sources}
        return run.model_copy(update={"only": _subjects(study, run, hours, study.hours)})
    whole = base if study.pool is None else base.model_copy(update={"sources": study.pool.corpora})
    share = _taken(study, whole, sizes) / _taken(study, run, sizes)
    return _trained(run, steps=max(1, round(base.train.steps * base.train.epochs / run.train.epochs * share)))


def _taken(study: StudyConfig, run: RunConfig, sizes: Sizes) -> float:
    """Windows, or FLOPs, of one step."""
    found = [sizes(run, name) for name in run.sources]
    taken = sum(size.windows * (size.flops if study.budget == "compute" else 1) for size in found)
    if not np.isfinite(taken):
        without = f"compute, with model.family {run.model.family}"
        raise BadInput(study.name, "budget", without, "a family whose FLOPs have a formula")
    return run.train.episodes * taken


def _trained(run: RunConfig, **changes: int) -> RunConfig:
    return run.model_copy(update={"train": run.train.model_copy(update=changes)})


def _subjects(
    study: StudyConfig, run: RunConfig, by_corpus: Mapping[str, Mapping[str, float]], hours: float
) -> dict[str, tuple[str, ...]]:
    """Subjects of every source, drawn in turn over the sources until their hours are reached; two at least of each."""
    queues = {}
    for name in run.sources:
        subjects = sorted(by_corpus[name])
        number = int(content_hash([run.seed, name]), 16)
        queues[name] = [subjects[at] for at in np.random.default_rng(number).permutation(len(subjects))]
    if hours > sum(sum(by_corpus[name].values()) for name in run.sources):
        raise BadInput(study.name, "hours", f"{hours:g} of {', '.join(run.sources)}", "no more than their sources hold")
    chosen: dict[str, list[str]] = {name: queues[name][:2] for name in run.sources}
    total = sum(by_corpus[name][who] for name, some in chosen.items() for who in some)
    if total > hours:
        raise BadInput(
            study.name, "hours", f"{hours:g} for two subjects of each of {', '.join(run.sources)}", f"{total:.2f}"
        )
    for place in range(2, max(map(len, queues.values()))):
        for name, queue in queues.items():
            if place < len(queue) and total + by_corpus[name][queue[place]] <= hours:
                chosen[name].append(queue[place])
                total += by_corpus[name][queue[place]]
    return {name: tuple(sorted(some)) for name, some in chosen.items()}
