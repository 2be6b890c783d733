"""The page of an adaptation: self-contained, escaped, equal for equal results; no subject is named."""

from __future__ import annotations

from mdjpt_platform.report.adaptation.figures import curve_plot, people_plot
from mdjpt_platform.report.adaptation.wording import NAMES, Told, columns_of, counted, findings, headline, table_rows
from mdjpt_platform.report.page import filled
from mdjpt_platform.report.wording import percent, plain

__all__ = ["Told", "render"]
TEMPLATE = "adaptation/page.html.j2"
MODES = {
    "whole": "whole: layers standardised by the whole recording, without labels",
    "causal": "causal: layers standardised by the recording so far",
    "frozen": "frozen: layers standardised by the people the model's read-out was fitted on",
}


def render(told: Told) -> str:
    """The page as text."""
    result = told.result
    by = result["settings"]["by"]
    units = (("window", "single windows"), ("trial", "whole trials"))
    tables = [(name, table_rows(told.curve, unit)) for unit, name in units]
    return filled(
        TEMPLATE,
        title=f"Adaptation to {plain(result['corpus'])}",
        headline=headline(told),
        chips=chips(told),
        findings=findings(told),
        notes=result["notes"],
        curve=curve_plot(told),
        people=people_plot(told),
        sizes=[counted(size, by) if size else "nothing" for size in columns_of(told.curve)],
        tables=tables,
        chance=percent(float(told.curve["chance"].iloc[0])),
        facts=facts(told),
    )


def chips(told: Told) -> list[tuple[str, str]]:
    """The question at a glance."""
    result = told.result
    settings = result["settings"]
    by = "each subject, by its own trials" if settings["by"] == "subject" else "the corpus, by labelled subjects"
    order = "first of the recording" if settings["order"] == "first" else f"drawn at random, {settings['draws']} times"
    return [
        ("calibrated to", by),
        ("calibration", order),
        ("encoder pre-trained on", ", ".join(plain(name, 20) for name in result["sources_of_model"]) or "nothing"),
        ("people", str(result["people"])),
        ("tested on", f"{result['test_trials']:g} trials a draw"),
        ("classes", ", ".join(plain(name, 20) for name in result["labels"])),
        ("stimuli on both sides", "allowed" if settings["same_stimuli"] else "none"),
    ]


def facts(told: Told) -> list[tuple[str, str]]:
    """By which this result can be told from every other."""
    result = told.result
    settings = result["settings"]
    return [
        ("mode", MODES[result["mode"]]),
        ("methods", ", ".join(NAMES[name] for name in result["methods"])),
        ("read-out", "logistic regression, C 1, standardised by the calibration windows"),
        ("fine-tuning", f"{settings['epochs']} epochs" if "fine_tuned" in result["methods"] else "not asked for"),
        ("windows", f"{result['windows']} of {result['seconds']:g} s in {result['trials']} trials"),
        ("subjects left out", f"{result['left_out']} with too few trials"),
        ("seed", str(settings["seed"])),
        ("model checksums", f"SHA-256 {result['model']}"),
        ("store", str(result["store"])),
        ("mdjpt", f"{result['version']}, sources {result['sources']}"),
        ("identity", str(result["identity"])),
    ]
