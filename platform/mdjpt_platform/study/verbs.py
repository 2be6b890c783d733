"""What `mdjpt study ...` and jobs/study.py do. Each returns an exit code and prints what it found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdjpt_platform.atomic import replacing
from mdjpt_platform.errors import BadInput, printable
from mdjpt_platform.spreadsheet import inert
from mdjpt_platform.study import trials
from mdjpt_platform.study.run import Study, open_study, run_study, summary, track_page
from mdjpt_platform.study.search import tidy
from mdjpt_platform.study.spec import load_study

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


def run(path: Path, overrides: Iterable[str] = (), mixed_code: bool = False) -> int:
    """Prepare what is missing, run what is not done, write the report, print how it ended.

    1 if a cell failed, 130 after Ctrl-C, which leaves everything finished where it is.
    """
    from mdjpt_platform.verbs import prepare_missing

    overrides = tuple(overrides)
    config, base = load_study(path, overrides)
    pool = config.pool.corpora if config.pool is not None else base.run.sources
    try:
        if config.search is not None:
            return _search(open_study(path, overrides), mixed_code)
        prepare_missing(base, dict.fromkeys((*pool, *(config.targets or base.run.targets))))
        study = run_study(open_study(path, overrides), mixed_code=mixed_code)
    except KeyboardInterrupt:
        print(f"{config.name}: stopped; what is finished is kept, and the same command goes on from there")
        return STOPPED
    print(printable("\n".join(summary(study))))
    print(f"report: {_reported(study)}")
    return 1 if study.waiting() else 0


def _search(study: Study, mixed_code: bool) -> int:
    from mdjpt_platform.study.hpo import run_search
    from mdjpt_platform.verbs import prepare_missing

    search = trials.open_search(study)
    prepare_missing(study.base, study.base.run.sources)
    written = run_search(search, mixed_code=mixed_code)
    print(printable("\n".join(trials.summary(search))))
    if written is not None:
        print(f"run file of the best setting: {written}")
    return int(any(one.state == "failed" for one in search.tried()))


def dry(
    path: Path, overrides: Iterable[str] = (), flops_per_second: float | None = None, price: float | None = None
) -> int:
    """Say what `run` would do."""
    from mdjpt_platform.study.dry import dry_run

    study = open_study(path, overrides)
    if study.config.search is not None:
        print("\n".join(trials.outlook(trials.open_search(study))))
        return 0
    print("\n".join(dry_run(study, flops_per_second=flops_per_second, price_per_hour=price)))
    return 0


def status(path: Path, overrides: Iterable[str] = ()) -> int:
    """Say how far the study has come; 1 if a cell failed."""
    study = open_study(path, overrides)
    if study.config.search is not None:
        search = trials.open_search(study)
        print(printable("\n".join(trials.summary(search))))
        return int(any(one.state == "failed" for one in search.tried()))
    print(printable("\n".join(summary(study))))
    return int(any(entry.state == "failed" for entry in study.entries.values()))


def report(path: Path, overrides: Iterable[str] = ()) -> int:
    """Write the page and its tables from what the ledger holds, be it finished or not."""
    study = open_study(path, overrides)
    if study.config.search is not None:
        raise BadInput(path, "search", "trials", "a study of cells; `mdjpt study table` has the trials")
    print(f"report: {_reported(study)}")
    return 0


def replay(path: Path, overrides: Iterable[str] = ()) -> int:
    """Send MLflow what it lacks of a study, from the logs on disk."""
    from mdjpt_platform.study.track import replay_study

    study = open_study(path, overrides)
    runs, sent = replay_study(study)
    print(f"{study.config.name}: {runs} runs in MLflow, {sent} values sent that it lacked")
    return 0


def _reported(study: Study) -> Path:
    from mdjpt_platform.report.study import write_study_report

    page = write_study_report(study)
    track_page(study, page)
    return page


def table(path: Path, out: Path, overrides: Iterable[str] = ()) -> int:
    """Write the tidy table. Raises BadInput: another suffix, no cell done yet."""
    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(out, "table", repr(out.suffix), "a file name that ends in .csv or .parquet")
    study = open_study(path, overrides)
    if study.config.search is not None:
        found = tidy(study.config.search, trials.open_search(study).tried())
    else:
        found = study.table()
    if found.empty:
        raise BadInput(study.ledger.folder, "cells", "none done", "`mdjpt study run` first")
    with replacing(out) as file:
        if out.suffix == ".csv":
            inert(found).to_csv(file, index=False)
        else:
            found.to_parquet(file, index=False)
    what = f"{found['cell'].nunique()} cells" if "cell" in found else "a search"
    print(f"{out}: {len(found)} rows of {what}")
    return 0
