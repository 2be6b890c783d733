"""ray job submit --working-dir . -- python jobs/study.py jobs/runs/scaling_subsets_smoke.yaml [--set a.b=c ...]"""

import argparse
import sys
from pathlib import Path

from mdjpt_platform.errors import MdjptError
from mdjpt_platform.study.verbs import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("study_file", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="override", metavar="a.b=c")
    arguments = parser.parse_args()
    try:
        sys.exit(run(arguments.study_file, arguments.override))
    except MdjptError as error:
        print("mdjpt:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
