"""All checks, in the order in which their verdicts stand on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mdjpt_platform.report.quality import design, labels, signal
from mdjpt_platform.report.quality.inputs import Quality
from mdjpt_platform.report.quality.verdict import Verdict

CHECKS: tuple[Callable[[Quality], Iterator[Verdict]], ...] = (
    design.recordings_left_out,
    design.trials_left_out,
    design.subjects_present,
    design.trials_present,
    design.trial_lengths,
    design.duplicates,
    signal.units,
    signal.bad_by_recording,
    signal.bad_by_channel,
    signal.mains,
    signal.amplitudes,
    signal.artefacts,
    signal.components,
    signal.alpha_rhythm,
    signal.other_peaks,
    labels.label_balance,
    labels.play_order,
    labels.class_and_order,
    labels.class_and_session,
    design.stimuli_shared,
)


def judge(quality: Quality) -> list[Verdict]:
    """What every check says."""
    return [verdict for check in CHECKS for verdict in check(quality)]
