"""The page of one predicted recording: self-contained, escaped."""

from __future__ import annotations

from mdjpt_platform.report.page import filled
from mdjpt_platform.report.prediction import wording
from mdjpt_platform.report.prediction.figures import course_plot, plane_plot, sites_plot, spectrum_plot
from mdjpt_platform.report.prediction.inputs import Told
from mdjpt_platform.report.wording import plain

TEMPLATE = "prediction/page.html.j2"


def render(told: Told) -> str:
    """The page as text."""
    summary = told.summary
    return filled(
        TEMPLATE,
        title=plain(told.name, 120),
        outside=[one["text"] for one in summary["findings"] if one["verdict"] == "outside"],
        chips=chips(told),
        seen=wording.seen_verdicts(summary["findings"]),
        worth=wording.worth_verdicts(summary["model"]),
        quality=wording.quality_verdicts(summary["recording"]),
        classes=wording.class_rows(summary),
        affect=wording.affect_rows(summary),
        notes=wording.notes(summary),
        level=f"{100 * summary['level']:.0f}",
        course=course_plot(told),
        plane=plane_plot(told),
        spectrum=spectrum_plot(told),
        sites=sites_plot(told),
        facts=facts(told),
    )


def chips(told: Told) -> list[tuple[str, str]]:
    """The recording at a glance."""
    summary = told.summary
    recording, windows = summary["recording"], summary["windows"]
    return [
        ("length", duration(recording["seconds"])),
        ("recorded at", f"{recording['rate']:g} Hz"),
        ("sites", f"{recording['coverage']} of {recording['sites']}"),
        ("windows", f"{windows['count']} of {windows['seconds']:g} s every {windows['step']:g} s"),
        ("model", plain(summary["model"]["name"], 40)),
    ]


def facts(told: Told) -> list[tuple[str, str]]:
    """By which this result can be told from every other."""
    summary = told.summary
    model = summary["model"]
    files = [(f"file {plain(name, 80)}", f"SHA-256 {one}") for name, one in summary["file"]["sha256"].items()]
    return [
        ("mode", wording.MODES[summary["mode"]]),
        ("model", f"{plain(model['name'], 80)}, {model['family']}"),
        ("classes", ", ".join(told.labels)),
        ("model checksums", f"SHA-256 {model['sha256']}"),
        ("recipe", str(model["recipe"])),
        *files,
        ("channels", " ".join(summary["recording"]["channels"])),
        ("mdjpt", f"{summary['version']}, sources {summary['sources']}"),
        ("fingerprint", summary["fingerprint"]),
    ]


def duration(seconds: float) -> str:
    """`12.5 s`, `3 min 5 s`, `2 h 0 min`."""
    if seconds < 60:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
