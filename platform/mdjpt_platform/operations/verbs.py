"""What `mdjpt status` and `mdjpt reproduce` do. Each returns an exit code and prints what it found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def status(folder: Path, as_json: bool = False) -> int:
    """Print how far the runs and studies below a folder are. Reads only."""
    from mdjpt_platform.operations import status as reading

    runs = reading.runs_below(folder)
    studies = reading.studies_below(folder, runs)
    if as_json:
        print(reading.as_json(runs, studies))
    else:
        from mdjpt_platform.operations.console import print_status

        print_status(runs, studies)
    return 0


def reproduce(folder: Path, into: Path, overrides: Iterable[str] = (), as_json: bool = False) -> int:
    """Do a finished run again and print what is equal; 1 if a number is not."""
    from mdjpt_platform.operations import compare
    from mdjpt_platform.operations.console import print_reproduction
    from mdjpt_platform.operations.reproduce import reproduce as again

    outcome = again(folder, into, overrides)
    if as_json:
        tree = {"equal": outcome.equal, "original": str(outcome.original), "repeated": str(outcome.repeated),
                "compared": compare.tree(list(outcome.findings)), "environment": list(outcome.environment),
                "notes": list(outcome.notes)}  # fmt: skip
        print(json.dumps(tree, indent=1))
    else:
        print_reproduction(outcome)
    return 0 if outcome.equal else 1
