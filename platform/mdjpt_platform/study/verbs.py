"""What `mdjpt study ...` and jobs/study.py do. Each returns an exit code and prints what it found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdjpt_platform.atomic import replacing
from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.run import open_study, run_study, summary
from mdjpt_platform.study.spec import load_study


def run(path: Path, overrides: Iterable[str] = (), mixed_code: bool = False) -> int:
    """Prepare what is missing, run what is not done, print how it ended; 1 if a cell failed."""
    from mdjpt_platform.verbs import prepare_missing

    overrides = tuple(overrides)
    config, base = load_study(path, overrides)
    pool = config.pool.corpora if config.pool is not None else base.run.sources
    prepare_missing(base, dict.fromkeys((*pool, *(config.targets or base.run.targets))))
    study = run_study(open_study(path, overrides), mixed_code=mixed_code)
    print("\n".join(summary(study)))
    return 1 if study.waiting() else 0


def dry(
    path: Path, overrides: Iterable[str] = (), flops_per_second: float | None = None, price: float | None = None
) -> int:
    """Say what `run` would do."""
    from mdjpt_platform.study.dry import dry_run

    study = open_study(path, overrides)
    print("\n".join(dry_run(study, flops_per_second=flops_per_second, price_per_hour=price)))
    return 0


def status(path: Path, overrides: Iterable[str] = ()) -> int:
    """Say how far the study has come; 1 if a cell failed."""
    study = open_study(path, overrides)
    print("\n".join(summary(study)))
    return int(any(entry.state == "failed" for entry in study.entries.values()))


def table(path: Path, out: Path, overrides: Iterable[str] = ()) -> int:
    """Write the tidy table. Raises BadInput: another suffix, no cell done yet."""
    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(out, "table", repr(out.suffix), "a file name that ends in .csv or .parquet")
    study = open_study(path, overrides)
    found = study.table()
    if found.empty:
        raise BadInput(study.ledger.folder, "cells", "none done", "`mdjpt study run` first")
    with replacing(out) as file:
        if out.suffix == ".csv":
            found.to_csv(file, index=False)
        else:
            found.to_parquet(file, index=False)
    print(f"{out}: {len(found)} rows of {found['cell'].nunique()} cells")
    return 0
