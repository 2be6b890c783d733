"""ray job submit --working-dir . -- python jobs/evaluate.py jobs/runs/demo_smoke.yaml [--set a.b=c ...]"""

import sys

from mdjpt_platform.verbs import job, evaluate

if __name__ == "__main__":
    sys.exit(job(evaluate))
