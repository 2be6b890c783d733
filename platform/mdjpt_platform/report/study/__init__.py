"""The page of a study: what it asks, what the statistics answer, and everything they rest on."""

from mdjpt_platform.report.study.build import write_study_report

__all__ = ["write_study_report"]
