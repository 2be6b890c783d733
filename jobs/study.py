"""ray job submit --working-dir . -- python jobs/study.py jobs/runs/scaling_subsets_smoke.yaml [--set a.b=c ...]"""

import sys

from mdjpt_platform.study.verbs import run
from mdjpt_platform.verbs import job_of_file

if __name__ == "__main__":
    sys.exit(job_of_file(run))
