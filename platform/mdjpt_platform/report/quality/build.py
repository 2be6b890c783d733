"""The quality page of one prepared corpus: self-contained, escaped, equal for equal stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.corpora.base import Facts
from mdjpt_platform.errors import MdjptError
from mdjpt_platform.preprocess.steps import STEPS
from mdjpt_platform.report.page import filled
from mdjpt_platform.report.quality.checks import judge
from mdjpt_platform.report.quality.figures import amplitude_plot, counts_plot, trial_grid
from mdjpt_platform.report.quality.inputs import Heard, Look, Quality, load_quality
from mdjpt_platform.report.quality.scalps import scalp_plot
from mdjpt_platform.report.quality.signal import alpha_of, ica
from mdjpt_platform.report.quality.spectra import spectra_plot
from mdjpt_platform.report.wording import NONE, plain
from mdjpt_platform.store import Store

TEMPLATE = "quality/page.html.j2"
BAR = 9.0
"""Width in rem of the bar of the largest class."""
COLUMNS = (
    "recording", "trials", "left out", "minutes", "factor", "channels replaced", "SD before", "SD after", "line before",
    "line after", "alpha (Hz)", "alpha (dB)", "beyond 100 µV", "ICA removed",
)  # fmt: skip


def page_beside(store: str | Path) -> Path:
    """Where the page of the store in a folder belongs: beside it, for the folder's content is what its name says."""
    return Path(store).with_name(f"{Path(store).name}.quality.html")


def write_page(store: Store, folder: str | Path | None = None, facts: Facts | None = None, named: bool = False) -> Path:
    """Write a store's page into `folder` (default: beside the store) and give its path.

    `facts`: instead of those declared for the store's layout. `named`: call subjects by their names.
    Raises BadInput: quality.json absent or damaged. MdjptError: the page cannot be written.
    """
    beside = page_beside(store.folder)
    out = beside if folder is None else Path(folder) / beside.name
    page = render(load_quality(store, facts, named))
    try:
        write_atomic(out, page.encode())
    except OSError as error:
        raise MdjptError(f"{out}: the quality page cannot be written: {error.strerror or error}") from None
    return out


def render(quality: Quality) -> str:
    """The page as text."""
    verdicts = judge(quality)
    return filled(
        TEMPLATE,
        title=plain(quality.manifest.corpus, 120),
        chips=chips(quality),
        to_look=[one for one in verdicts if one.severity == "look"],
        passed=[one for one in verdicts if one.severity == "fine"],
        unchecked=[one for one in verdicts if one.severity == "unknown"],
        grid=trial_grid(quality),
        scalp=scalp_plot(quality),
        counts=counts_plot(quality),
        spectra=spectra_plot(quality),
        amplitudes=amplitude_plot(quality),
        labels=label_rows(quality),
        columns=COLUMNS,
        rows=[recording_row(quality, one) for one in quality.recordings],
        corpus=corpus_facts(quality),
        recipe=recipe_in_words(quality),
        identity=identity(quality),
        named=quality.named,
    )


def chips(quality: Quality) -> list[tuple[str, str]]:
    """The corpus at a glance."""
    kept = quality.kept
    return [
        ("subjects", f"{kept['subject'].nunique()}"),
        ("recordings", f"{len(quality.recordings)}"),
        ("trials", f"{len(kept)}"),
        ("stimuli", f"{kept['stimulus'].nunique()}"),
        ("hours", f"{kept['seconds'].sum() / 3600:.2f}"),
        ("channels", f"{len(quality.manifest.channels)}"),
        ("rate", f"{quality.manifest.rate:g} Hz"),
        ("unit", quality.manifest.unit),
    ]


def label_rows(quality: Quality) -> list[dict[str, Any]]:
    """Trials, subjects, stimuli and minutes of every class of the scheme, and of the trials without one."""
    kept = quality.kept
    parts = [(label, kept[kept["label"] == label]) for label in quality.manifest.labels]
    nameless = kept[kept["label"].isna()]
    parts += [("no label", nameless)] if len(nameless) else []
    most = max((len(own) for _, own in parts), default=0) or 1
    return [
        {
            "name": name,
            "trials": len(own),
            "share": f"{100 * len(own) / len(kept):.1f}",
            "width": f"{BAR * len(own) / most:.2f}",
            "subjects": own["subject"].nunique(),
            "stimuli": own["stimulus"].nunique(),
            "minutes": f"{own['seconds'].sum() / 60:.1f}",
        }
        for name, own in parts
    ]


def recording_row(quality: Quality, one: Heard) -> list[str]:
    """Figures of one recording, as COLUMNS names them."""
    own = quality.trials[quality.trials["recording"] == one.id]
    kept = own[own["dropped"] == ""]
    parts, rhythm = ica(one), alpha_of(one)
    return [
        quality.name(one.id),
        f"{len(kept)}",
        f"{len(own) - len(kept)}",
        f"{kept['seconds'].sum() / 60:.1f}",
        f"{one.factor:g}",
        f"{np.mean([len(names) for names in own['bad']]):.1f}",
        _spread(one.before),
        _spread(one.after),
        _line(one.before),
        _line(one.after),
        NONE if rhythm is None else f"{rhythm.frequency:.1f}",
        NONE if rhythm is None else f"{rhythm.height:.1f}",
        NONE if one.after is None else f"{100 * one.after['beyond_100uv']:.2f} %",
        f"{sum(bool(part.get('removed')) for part in parts)} of {len(parts)}" if parts else NONE,
    ]


def _spread(look: Look | None) -> str:
    return NONE if look is None else f"{np.median(look['sd']):.3g}"


def _line(look: Look | None) -> str:
    heights = [height for height in look["line"].values() if height is not None] if look else []
    return f"{round(max(heights))}".replace("-", "−") if heights else NONE


def corpus_facts(quality: Quality) -> list[tuple[str, str]]:
    """What the corpus is, who published it, under which terms."""
    manifest, facts = quality.manifest, quality.facts
    about = manifest.provenance
    rows = [("name in the run", manifest.corpus), ("layout", manifest.layout)]
    rows += [(key, about[key]) for key in ("title", "citation", "licence", "obtain") if about.get(key)]
    if facts is not None and facts.subjects:
        rows.append(("published", f"{facts.subjects} subjects, {facts.sessions} sessions, {len(facts.shown)} stimuli"))
        rows.append(("recorded at", f"{facts.recorded:g} Hz; files at {facts.rate:g} Hz in {facts.unit}"))
    return [*rows, ("label scheme", manifest.config.labels), ("channels", " ".join(manifest.channels))]


def recipe_in_words(quality: Quality) -> list[tuple[str, str, str]]:
    """Step, what it says of itself, its settings."""
    rows = []
    for step in quality.manifest.recipe:
        work = STEPS[step.step].work if step.step in STEPS else None
        words = " ".join((work.__doc__ or "").split("\n\n")[0].split("Raises ")[0].split()) if work else NONE
        settings = ", ".join(
            f"{key} {_said(value)}" for key, value in step.params.items() if value not in (None, [], {})
        )
        rows.append((step.step, words, settings))
    return rows


def _said(value: Any) -> str:
    """A setting without the brackets of a programme."""
    if isinstance(value, dict):
        return " ".join(f"{key}: {_said(one)}" for key, one in value.items())
    return " ".join(map(_said, value)) if isinstance(value, list | tuple) else f"{value}"


def identity(quality: Quality) -> list[tuple[str, str]]:
    """Hashes and versions by which this store can be told from every other."""
    manifest = quality.manifest
    tools = {key: value for key, value in manifest.provenance.items() if key in ("mne", "numpy", "scipy")}
    return [
        ("fingerprint", manifest.fingerprint),
        ("key", manifest.key),
        ("index", manifest.index),
        ("code", manifest.code),
        ("mdjpt", manifest.version),
        *tools.items(),
    ]
