"""ray job submit --working-dir . -- python jobs/predict.py jobs/runs/predict_smoke.yaml [--set a.b=c ...]"""

import sys

from mdjpt_platform.predict.verbs import predict_run
from mdjpt_platform.verbs import job_of_file

if __name__ == "__main__":
    sys.exit(job_of_file(predict_run))
