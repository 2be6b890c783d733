"""ray job submit --working-dir . -- python jobs/evaluate.py jobs/runs/demo_smoke.yaml [--set a.b=c ...]"""

import sys

from mdjpt_platform.verbs import evaluate, job

if __name__ == "__main__":
    sys.exit(job(evaluate))
