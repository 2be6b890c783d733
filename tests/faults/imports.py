"""What the verbs import, for processes that are forked from one that has it (processes.Forked)."""

from __future__ import annotations

import torch

import mdjpt_platform.cli
import mdjpt_platform.evaluate.run
import mdjpt_platform.preprocess.run
import mdjpt_platform.report.quality
import mdjpt_platform.report.study
import mdjpt_platform.study.verbs
import mdjpt_platform.train.launch
import mdjpt_platform.verbs  # noqa: F401

torch.set_num_threads(1)  # a pool of threads would not outlive the fork
