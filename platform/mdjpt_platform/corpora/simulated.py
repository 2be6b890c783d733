"""Simulated corpora with a known truth, in the file layouts of public ones.

`simulate` writes raw files that the readers take for SEED, FACED, DEAP or BIDS, and `truth.json` beside them; the model
is in `simulated_signals`. With `permute_stimuli` every subject sees, under each stimulus id, the content of another
stimulus, and any two of as many subjects as there are stimuli see different ones: ids and labels then mean nothing,
which is the negative control of everything that relies on them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mdjpt_platform.config import CorpusConfig, FactsConfig
from mdjpt_platform.corpora import deap, faced, seed
from mdjpt_platform.corpora.affect import VALENCE_CLASSES, affect_of, valence_class
from mdjpt_platform.corpora.simulated_files import LAYOUTS, Shown
from mdjpt_platform.corpora.simulated_head import EVOKED_SITES, SOURCES, Array, head, mixing
from mdjpt_platform.corpora.simulated_signals import BANDS, STRENGTHS, Strengths, cosines, courses, generator, signals
from mdjpt_platform.errors import BadInput

PUBLISHED = {
    "seed": tuple(VALENCE_CLASSES[label + 1] for label in seed.LABELS),
    "faced": faced.STIMULUS_EMOTION,
    "deap": tuple(deap.half(number) for number in range(1, deap.FACTS.stimuli + 1)),
    "bids": faced.STIMULUS_EMOTION,
}
"""Default label of the stimuli 1, 2, ... of a layout."""


@dataclass(frozen=True)
class Simulation:
    """Everything that decides the files of a simulated corpus."""

    name: str
    layout: str
    subjects: int
    stimuli: tuple[int, ...]
    """Published numbers of the stimuli, in file order."""
    sessions: int = 1
    seconds: float = 30.0
    seed: int = 0
    permute_stimuli: bool = False
    strengths: Strengths = STRENGTHS


@dataclass(frozen=True)
class Content:
    """What is on the screen during a stimulus."""

    label: str
    valence: float
    arousal: float
    frequencies: Array
    phases: Array


def simulate(
    layout: str,
    folder: str | Path,
    name: str,
    *,
    subjects: int = 8,
    stimuli: int | Sequence[int] = 6,
    sessions: int = 1,
    seconds: float = 30.0,
    seed: int = 0,
    permute_stimuli: bool = False,
    strengths: Strengths = STRENGTHS,
    progress: bool = True,
) -> Path:
    """Write a simulated corpus into `folder`, which must not exist yet or be empty, and return its path.

    stimuli: published numbers, or how many of them to take, balanced over the classes.
    Raises BadInput: unknown layout, numbers the layout has no room for, folder in use.
    """
    if layout not in LAYOUTS:
        raise BadInput(name, "layout", layout, f"one of {', '.join(LAYOUTS)}")
    chosen = balanced(layout, stimuli) if isinstance(stimuli, int) else tuple(stimuli)
    plan = Simulation(name, layout, subjects, chosen, sessions, seconds, seed, permute_stimuli, strengths)
    return write(plan, folder, progress=progress)


def write(plan: Simulation, folder: str | Path, *, progress: bool = True) -> Path:
    """Like `simulate`, from a `Simulation`. The folder appears whole or not at all."""
    _check(plan)
    folder = Path(folder).absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadInput(folder, "folder", "something there already", "a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        layout = LAYOUTS[plan.layout]
        pairs = [(u, s) for u in range(1, plan.subjects + 1) for s in range(1, plan.sessions + 1)]
        truth = _truth(plan)
        for subject, session in tqdm(pairs, desc=f"simulating {plan.name}", unit="recording", disable=not progress):
            eeg, blinks, shown, bad = recording(plan, subject, session)
            layout.write(partial, subject, session, eeg, blinks, shown)
            truth["bad_channels"][f"{subject}/{session}"] = bad
        (partial / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
        partial.chmod(0o755)  # a temporary folder is closed to others
        try:
            os.replace(partial, folder)
        except OSError as error:  # another process was faster
            raise BadInput(folder, "folder", error.strerror, "a new folder") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def corpus_config(plan: Simulation, labels: str = "default") -> CorpusConfig:
    """The configuration under which the readers accept a simulated corpus."""
    facts = FactsConfig(stimuli=plan.stimuli, sessions=plan.sessions, seconds=plan.seconds)
    return CorpusConfig.model_validate({"layout": plan.layout, "labels": labels, "facts": facts})


def balanced(layout: str, count: int) -> tuple[int, ...]:
    """`count` stimulus numbers, sorted: classes of valence in turn, inside them emotions in turn."""
    labels = PUBLISHED[layout]
    repeats = [labels[:place].count(label) for place, label in enumerate(labels)]
    numbers = sorted(range(1, len(labels) + 1), key=lambda number: (repeats[number - 1], number))
    groups = [[n for n in numbers if valence_class(labels[n - 1]) == wanted] for wanted in VALENCE_CLASSES]
    turns = [group[turn] for turn in range(len(labels)) for group in groups if turn < len(group)]
    return tuple(sorted(turns[:count]))


def content(plan: Simulation, stimulus: int) -> Content:
    """Affect and time courses of a stimulus; the same for every subject and session."""
    rng = generator(plan.seed, plan.name, "stimulus", stimulus)
    label = PUBLISHED[plan.layout][stimulus - 1]
    valence, arousal = affect_of(label)
    if plan.layout == "deap":  # the halves are of two arousals each
        arousal = 0.5 if (stimulus - 1) // 10 in (0, 3) else -0.5
    jitter = rng.normal(0.0, 0.08, 2)
    frequencies, phases = cosines(rng)
    return Content(label, float((valence or 0) + jitter[0]), float((arousal or 0) + jitter[1]), frequencies, phases)


def contents_seen(plan: Simulation, subject: int) -> tuple[int, ...]:
    """Whose content the subject sees under each stimulus id, in file order."""
    count = len(plan.stimuli)
    if not plan.permute_stimuli:
        return plan.stimuli
    block, turn = divmod(subject - 1, count)
    order = generator(plan.seed, plan.name, "permutation", block).permutation(count)
    return tuple(plan.stimuli[order[(place + turn) % count]] for place in range(count))


def recording(plan: Simulation, subject: int, session: int) -> tuple[Array, Array, list[Shown], list[str]]:
    """EEG (blocks, channels, samples) and blinks (blocks, samples) in uV, what was shown, names of bad channels."""
    layout, strengths = LAYOUTS[plan.layout], plan.strengths
    lead, extra = round(layout.lead * layout.rate), layout.extra
    length = round(plan.seconds * layout.rate)
    rng = generator(plan.seed, plan.name, "recording", subject, session)
    order = rng.permutation(len(plan.stimuli)) if layout.continuous else np.arange(len(plan.stimuli))
    seen = contents_seen(plan, subject)
    times = np.arange(length + extra) / layout.rate
    modulation = np.zeros((len(order), len(SOURCES), lead + length + extra), dtype=np.float32)
    evoked = np.zeros((len(order), len(EVOKED_SITES), lead + length + extra), dtype=np.float32)
    for block, place in enumerate(order):
        on_screen = content(plan, seen[place])
        course = courses(on_screen.frequencies, on_screen.phases, times)
        level = [s.valence * on_screen.valence + s.arousal * on_screen.arousal for s in SOURCES]
        locked = strengths.locked * course[: len(SOURCES)]
        modulation[block, :, lead:] = strengths.affect * np.array(level)[:, None] + locked
        evoked[block, :, lead:] = course[len(SOURCES) :]
    starts = [layout.lead] * len(order)
    if layout.continuous:
        starts = [block * (lead + length) / layout.rate + layout.lead for block in range(len(order))]
        modulation, evoked = (np.concatenate(list(part), axis=1)[None] for part in (modulation, evoked))
    mix = mixing(layout.channels, strengths.scatter, generator(plan.seed, plan.name, "subject", subject))
    left = replace(strengths, blink=strengths.blink * layout.residue, line=strengths.line * layout.residue)
    eeg, blinks = signals(modulation, evoked, layout.rate, mix, left, rng)
    eeg -= eeg[:, [layout.channels.index(name) for name in layout.reference]].mean(axis=1, keepdims=True)
    eeg *= np.float32(np.exp(generator(plan.seed, plan.name, "corpus").normal(0.0, 0.2)))
    bad = np.flatnonzero(rng.random(len(layout.channels)) < strengths.bad)
    eeg[:, bad] += 60.0 * rng.standard_normal((len(eeg), len(bad), eeg.shape[2]), dtype=np.float32)
    shown = [_shown(plan, subject, plan.stimuli[place], start) for place, start in zip(order, starts, strict=True)]
    return eeg, blinks, shown, [layout.channels[channel] for channel in bad]


def _shown(plan: Simulation, subject: int, stimulus: int, start: float) -> Shown:
    """Labels and ratings follow the id, not the content: a permuted corpus must have no decodable label."""
    about = content(plan, stimulus)
    noise = generator(plan.seed, plan.name, "rating", subject, stimulus).normal(0.0, 0.6, 4)
    mean = 5 + 4 * np.array([about.valence, about.arousal, 0.0, about.valence])
    ratings = np.clip(mean + noise, 1.0, 9.0).tolist()
    return Shown(stimulus, about.label, start, plan.seconds, tuple(ratings))


def _check(plan: Simulation) -> None:
    """Refuse what the layout has no room for."""
    limit = len(PUBLISHED[plan.layout])
    unique = len(set(plan.stimuli)) == len(plan.stimuli) > 0
    if not unique or not all(1 <= stimulus <= limit for stimulus in plan.stimuli):
        raise BadInput(plan.name, "stimuli", list(plan.stimuli), f"different numbers in 1..{limit}")
    most = 3 if LAYOUTS[plan.layout].sessions else 1
    if plan.subjects < 1 or not 1 <= plan.sessions <= most or plan.seconds < 1:
        found = f"{plan.subjects} subjects, {plan.sessions} sessions, {plan.seconds} s"
        raise BadInput(plan.name, "size", found, f"a subject, 1..{most} sessions and a second at least")


def _truth(plan: Simulation) -> dict[str, Any]:
    """What a test may ask afterwards; plain JSON."""
    template = head()
    contents = {stimulus: content(plan, stimulus) for stimulus in plan.stimuli}
    return {
        "simulation": asdict(plan),
        "bands": BANDS,
        "sources": [
            {**asdict(source), "position": template.positions[i].tolist(), "normal": template.normals[i].tolist()}
            for i, source in enumerate(SOURCES)
        ],
        "evoked": [
            {"site": site, "position": template.positions[i].tolist(), "normal": template.normals[i].tolist()}
            for i, site in enumerate(EVOKED_SITES, len(SOURCES))
        ],
        "stimuli": {
            str(stimulus): {
                "label": about.label,
                "valence": about.valence,
                "arousal": about.arousal,
                "frequencies": np.round(about.frequencies, 6).tolist(),
                "phases": np.round(about.phases, 6).tolist(),
            }
            for stimulus, about in contents.items()
        },
        "contents_seen": {str(u): list(contents_seen(plan, u)) for u in range(1, plan.subjects + 1)},
        "bad_channels": {},
    }
