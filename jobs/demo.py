"""ray job submit --working-dir . -- python jobs/demo.py jobs/runs/demo.yaml [--set a.b=c ...]"""

import sys

from mdjpt_platform.verbs import everything, job

if __name__ == "__main__":
    sys.exit(job(everything))
