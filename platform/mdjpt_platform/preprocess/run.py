"""(R) Preparation of a run's corpora: recordings through Ray Data, one a task, then subjects, then the store.

Nothing finished is done twice: a recording's result lies in a work folder named by the hash of its raw files, options,
recipe and code; a store whose recordings have the hashes found now is left as it is; what costly steps gave is kept, so
that a recipe which changes after them starts from there. The order in which tasks end, their number and interruptions
do not change a byte of the store. Store and raw data lie on storage that all nodes see.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mdjpt_platform.config import Config
from mdjpt_platform.corpora.base import Corpus
from mdjpt_platform.objects import at, is_uri
from mdjpt_platform.preprocess.listing import Listing, check_names, list_corpus
from mdjpt_platform.preprocess.recipe import resolve
from mdjpt_platform.preprocess.stages import CorpusReport, prepare_corpus
from mdjpt_platform.preprocess.timings import spelled
from mdjpt_platform.store.remote import fetch, push, store_place
from mdjpt_platform.store.write import new_draft, unwritable


@dataclass
class PrepareReport:
    """What became of every corpus."""

    corpora: dict[str, CorpusReport] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No recording failed; the exit code of the verb follows."""
        return not any(report.failed for report in self.corpora.values())

    def lines(self) -> list[str]:
        """One line a corpus, one for the time its recordings took, one a failed recording."""
        found = []
        for name, report in self.corpora.items():
            what = "nothing to do" if report.unchanged else f"{len(report.done)} prepared"
            found.append(
                f"{name}: {what}, {len(report.skipped)} there already, {len(report.failed)} failed, "
                f"{report.hours:.2f} h of signal, {report.seconds:.1f} s -> {report.folder} [{report.fingerprint}]"
            )
            if times := spelled(report.timings):
                found.append(f"{name}: {times}")
            factors = sorted(set(report.corrected.values()))
            if factors:
                text = ", ".join(f"{factor:g}" for factor in factors)
                found.append(f"{name}: unit corrected in {len(report.corrected)} recordings (times {text})")
            if report.dropped:
                found.append(f"{name}: {report.dropped} single trials left out for bad channels, see its manifest.json")
            found += [f"{name}: left out {recording}: {reason}" for recording, reason in report.failed]
        return found


def prepare(
    config: Config, *, only: Sequence[str] | None = None, corpora: Mapping[str, Corpus] | None = None
) -> PrepareReport:
    """Prepare the run's corpora (or `only` some); with `exec.engine: local` in this process, without Ray.

    `corpora` replaces the registry of layouts. A recording that cannot be used is reported and left out.
    Raises BadInput: unknown corpus, layout, label scheme, subject or recipe step, a corpus without `exec.raw` entry or
    without a usable recording, a store that cannot be written.
    """
    if corpora is None:
        from mdjpt_platform.corpora import CORPORA

        corpora = CORPORA
    names = list(config.run.corpora) if only is None else list(only)
    recipe = resolve(config.run.recipe)
    check_names(config, names)
    listings = {name: list_corpus(config, name, recipe, corpora) for name in names}
    for listing in listings.values():  # everything wrong is said before any work
        _probe(config, listing)
    if config.exec.engine == "ray":
        from mdjpt_platform.runtime import connect

        connect(config.exec)
        each = _each_on_ray(config.exec.progress)
    else:
        each = _each_here(config.exec.progress)
    report = PrepareReport()
    for name, listing in listings.items():
        place = None
        if is_uri(config.exec.store):
            place = store_place(at(config.exec.store), name, listing.config, recipe)
            fetch(place, listing.final)
        report.corpora[name] = prepare_corpus(listing, each)
        if place is not None:
            push(report.corpora[name].folder, place)
    return report


def _probe(config: Config, listing: Listing) -> None:
    try:
        new_draft(listing.work, "probe").rmdir()
    except OSError as error:
        raise unwritable(config.exec.store, error) from None


def _each_here(show: bool) -> Callable[..., list[dict[str, Any]]]:
    """Tasks one after another in this process."""

    def each(work: Callable[[Any], dict[str, Any]], items: Sequence[Any], title: str) -> list[dict[str, Any]]:
        with _bar(show, title, len(items)) as advance:
            return [advance(work(item)) for item in items]

    return each


def _each_on_ray(show: bool) -> Callable[..., list[dict[str, Any]]]:
    """Tasks through Ray Data, one item a block and so one a task; tasks whose worker dies are run again by Ray."""
    import ray
    from ray.data import DataContext

    # its plans and its advice about progress bars are not for our users; what goes wrong is raised
    logging.getLogger("ray.data").setLevel(logging.ERROR)

    def each(work: Callable[[Any], dict[str, Any]], items: Sequence[Any], title: str) -> list[dict[str, Any]]:
        context = DataContext.get_current()
        bars, context.enable_progress_bars = context.enable_progress_bars, False
        try:
            with _bar(show, title, len(items)) as advance:
                positions = [{"position": position} for position in range(len(items))]
                rows = ray.data.from_items(positions, override_num_blocks=len(items))
                done = rows.map(lambda row: work(items[row["position"]]), num_cpus=1)
                return [advance(row) for row in done.iter_rows()]
        finally:
            context.enable_progress_bars = bars

    return each


@contextmanager
def _bar(show: bool, title: str, total: int) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """A progress bar; what it yields counts a result and hands it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not (show and console.is_terminal), transient=True) as progress:
        bar = progress.add_task(title, total=total)

        def advance(row: dict[str, Any]) -> dict[str, Any]:
            progress.advance(bar)
            return row

        yield advance
