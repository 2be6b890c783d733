"""The quality page of a prepared corpus."""

from mdjpt_platform.report.quality.build import page_beside, write_page

__all__ = ["page_beside", "write_page"]
