"""Sentences of the page of a prediction: what it comes to, and how far it may be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mdjpt_platform.report.quality.verdict import Verdict, counted, fine, listed, look, unknown
from mdjpt_platform.report.wording import NONE, interval, number, percent

LARGE, FLAT, MANY = 0.05, 0.01, 0.2
"""Shares of samples beyond 100 uV, of flat channel-seconds, of replaced channels that somebody should look at."""
MODES = {
    "whole": "offline: the layers are normalised by the statistics of the whole recording",
    "causal": "causal: no window knows of a later one",
    "frozen": "frozen: every window by itself, by the statistics of the people the model was trained on",
}


def seen_verdicts(findings: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """How the recording compares with what the model was shown."""
    kinds = {"inside": fine, "outside": look}
    return [kinds.get(one["verdict"], unknown)(one["about"], one["text"]) for one in findings]


def worth_verdicts(model: Mapping[str, Any]) -> list[Verdict]:
    """What the model was worth on people left out of its training, as its folder says."""
    scores = model["readout"].get("scores") or {}
    found = []
    if model["simulated"]:
        text = f"Trained on simulated recordings ({listed(model['simulated'])}): its answers mean nothing for people."
        found.append(look("simulated data", text))
    classes, affect = scores.get("classes"), scores.get("affect")
    if classes:
        text = (
            f"{percent(classes['balanced_accuracy'])} % balanced accuracy by window on people left out of its training "
            f"{interval(classes['low'], classes['high'])}, where guessing gives {percent(classes['chance'])} %"
        )  # fmt: skip
        if classes["low"] > classes["chance"]:
            found.append(fine("accuracy", f"{text}."))
        else:
            found.append(look("accuracy", f"{text}: not told apart from guessing."))
        gap = percent(classes["calibration_error"])
        found.append(fine(
            "confidence", "The calibrated probability of the likeliest class: of windows with a confidence of 70 %, "
            f"about 70 % should be right; on people left out the two were {gap} points apart in the mean.",
        ))  # fmt: skip
    if affect:
        for place, name in enumerate(("valence", "arousal")):
            error, blind = affect["error"][place], affect["error_of_the_mean"][place]
            text = (
                f"Off by {error:.2f} in the mean on people left out, where always answering the mean is off by "
                f"{blind:.2f}; the intervals held {percent(affect['coverage'][place])} % of the ratings "
                f"({percent(affect['level'])} % stated)."
            )  # fmt: skip
            found.append((fine if error < blind else look)(name, text))
    if not (classes or affect):
        found.append(
            unknown("accuracy", "The model does not say what it was worth on people left out of its training.")
        )
    return found


def quality_verdicts(recording: Mapping[str, Any]) -> list[Verdict]:
    """What the recording itself is like."""
    quality, count = recording["quality"], len(recording["channels"])
    after = quality["after"]
    replaced = sorted({name for trial in quality["trials"] for name in trial["bad"]})
    text = f"{counted(len(replaced), 'channel')} of {count} replaced from neighbours"
    found = [
        (look if len(replaced) > MANY * count else fine)(
            "bad channels", f"{text}: {listed(replaced)}." if replaced else "None replaced."
        )
    ]
    large, flat = after["beyond_100uv"], after["flat"]
    text = f"{percent(large)} % of the samples beyond 100 µV after the recipe, {percent(flat)} % flat."
    found.append((look if large > LARGE or flat > FLAT else fine)("artefacts", text))
    if recording["factor"] != 1:
        text = f"The file's numbers were no microvolts; multiplied by {recording['factor']:g} by their size alone."
        found.append(look("unit", text))
    if recording["marked"]:
        found.append(fine("marked bad in the file", f"Replaced from neighbours: {listed(recording['marked'])}."))
    return found


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What else a reader has to know."""
    recording, windows = summary["recording"], summary["windows"]
    found = []
    if summary["mode"] == "frozen":
        found.append(
            "A single window: its layers were normalised by the statistics of the people the model was trained on, "
            "which is less exact than by a recording's own."
        )
    if windows["left_out"]:
        found.append(f"{counted(windows['left_out'], 'window')} left out: they touch stretches the file marks as bad.")
    if recording["left_out"]:
        found.append(f"Not read as scalp EEG: {listed(recording['left_out'])}.")
    if recording["placeless"]:
        found.append(f"No place for them in the model: {listed(recording['placeless'])}.")
    if recording["placed"]:
        found.append(f"Named by their position in the file: {listed(recording['placed'])}.")
    if summary["changed_steps"]:
        found.append(
            f"Other code or libraries than when the model was trained, in: {listed(summary['changed_steps'])}. "
            "Numbers may differ slightly."
        )
    return found


def class_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Mean probability and share of the time by class."""
    return [
        {
            "name": name,
            "probability": percent(one["mean_probability"]),
            "interval": NONE if one["interval"] is None else interval(*one["interval"]),
            "share": percent(one["time_share"]),
            "width": f"{9 * one['time_share']:.2f}",
        }
        for name, one in (summary.get("classes") or {}).items()
    ]


def affect_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Mean valence and arousal with the interval of the mean."""
    return [
        (
            name,
            number(one["mean"]),
            NONE if one["interval"] is None else "[{}, {}]".format(*map(number, one["interval"])),
        )
        for name, one in (summary.get("affect") or {}).items()
    ]
