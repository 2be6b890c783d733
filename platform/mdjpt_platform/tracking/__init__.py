"""Where a run writes its numbers: JSON lines are the truth, MLflow mirrors them."""

from mdjpt_platform.tracking.open import open_sinks
from mdjpt_platform.tracking.sink import JsonlSink, MetricSink, Status, Tee, read_events, read_jsonl

__all__ = ["JsonlSink", "MetricSink", "Status", "Tee", "open_sinks", "read_events", "read_jsonl"]
