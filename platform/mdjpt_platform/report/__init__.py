"""Tables, figures and the page that shows them."""

from mdjpt_platform.report.build import build_report
from mdjpt_platform.report.inputs import CorpusInfo, ReportInputs, TargetInputs, load_target

__all__ = ["CorpusInfo", "ReportInputs", "TargetInputs", "build_report", "load_target"]
