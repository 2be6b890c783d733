"""Cells that array tasks ran, each in a ledger of its own, into the ledger of the whole study.

    gather.py jobs/runs/scaling_count.yaml --set seeds=[0,1,2] --set exec.runs=/shared/runs

Equal cells have equal keys in every study, so nothing is run again: table and entry are copied, after the check that
the ledger makes whenever it reads. Prints what is missing; `mdjpt study run` with the same arguments would run that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.study.ledger import CELLS, Ledger
from mdjpt_platform.study.run import open_study
from mdjpt_platform.verbs import job_of_file


def gather(path: Path, overrides: list[str]) -> int:
    """Copy finished cells; 1 if some are missing."""
    study = open_study(path, overrides)
    whole = study.ledger
    parts = [
        Ledger(folder)
        for folder in sorted(whole.folder.parent.glob(f"{study.config.name}-*"))
        if folder != whole.folder and (folder / CELLS).is_dir()
    ]
    with whole.alone():
        whole.cells.mkdir(parents=True, exist_ok=True)
        for cell in study.waiting():
            for part in parts:
                entry = part.entry(cell.key)
                if entry is not None and entry.state == "done":
                    for suffix in (".parquet", ".json"):  # the entry last: it says that the table is whole
                        write_atomic(
                            whole.cells / f"{cell.key}{suffix}", (part.cells / f"{cell.key}{suffix}").read_bytes()
                        )
                    break
    missing = len(study.waiting())
    print(f"{whole.folder}: {len(study.cells) - missing} of {len(study.cells)} cells, from {len(parts)} parts")
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(job_of_file(gather))
