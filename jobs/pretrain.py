"""ray job submit --working-dir . -- python jobs/pretrain.py jobs/runs/demo_smoke.yaml [--set a.b=c ...]"""

import sys

from mdjpt_platform.verbs import job, pretrain

if __name__ == "__main__":
    sys.exit(job(pretrain))
