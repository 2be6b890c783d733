"""Checks of the signals: units, bad channels, mains, components, spectra. Each gives one or more verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdjpt_platform.report.quality.inputs import Heard, Look, Quality
from mdjpt_platform.report.quality.spectrum import Peak, alpha, alpha_floor, line_share, narrow_peaks
from mdjpt_platform.report.quality.verdict import Verdict, counted, fine, flagged, listed, look, span, unknown

MANY = 0.2
"""Share of a recording's channels that is much to replace: what is interpolated adds no information."""
OFTEN, WIDESPREAD = 0.5, 0.2
"""A channel is bad in a recording if it is in this share of its trials; in many, if in this share of recordings."""
LINE_DB, LINE_SHARE = 6.0, 0.005
"""A line is left if it stands this high and holds this share of the power."""
OUTLIER, FACTOR, ENOUGH = 3.5, 1.5, 5
"""Robust z (Iglewicz & Hoaglin 1993), ratio to the median, and recordings from which an outlier can be told."""
REMOVED = 1 / 3
"""Share of the components that is much to remove."""
SELDOM = 0.2
"""Share of people without a visible alpha rhythm that surprises nobody: about one in ten has none."""
LARGE, FLAT = 0.05, 0.01
"""Shares of samples beyond 100 uV and of flat channel-seconds after the recipe."""
NO_LOOKS = "The store holds no summary of the signals."


def units(quality: Quality) -> Iterator[Verdict]:
    """Recordings whose numbers were not microvolts."""
    about = "units"
    wrong = {quality.name(one.id): f"times {one.factor:g}" for one in quality.recordings if one.factor != 1}
    if wrong:
        factors = ", ".join(f"{factor:g}" for factor in sorted({one.factor for one in quality.recordings} - {1.0}))
        if len(wrong) == len(quality.recordings):
            yield look(about, f"Wrong in every recording, and corrected (times {factors}).")
        else:
            yield flagged(about, f"Corrected in {len(wrong)} of {len(quality.recordings)} recordings: {{}}.", wrong)
    else:
        yield fine(about, "The files' unit was right in every recording.")


def bad_by_recording(quality: Quality) -> Iterator[Verdict]:
    """Recordings in which many channels were replaced."""
    about, share = "recordings with many bad channels", bad_shares(quality).mean(axis=1)
    remarks = {
        quality.name(one.id): f"{100 * value:.0f} % of the channels in the mean trial"
        for one, value in zip(quality.recordings, share, strict=True)
        if value > MANY
    }
    if remarks:
        yield flagged(about, f"More than {100 * MANY:.0f} % of the channels were replaced in {{}}.", remarks)
    else:
        yield fine(
            about, f"None; {100 * share.mean():.1f} % of all channels were replaced, at most {100 * share.max():.0f} %."
        )


def bad_by_channel(quality: Quality) -> Iterator[Verdict]:
    """Channels that were replaced in many recordings: a loose electrode of the cap, a wrong name."""
    about = "channels bad in many recordings"
    often = (bad_shares(quality) > OFTEN).mean(axis=0)
    least = max(WIDESPREAD, 1.5 / len(quality.recordings))
    remarks = {
        name: f"bad in {100 * value:.0f} % of the recordings"
        for name, value in zip(quality.manifest.channels, often, strict=True)
        if value >= least
    }
    if remarks:
        yield flagged(about, "{}.", remarks)
    else:
        yield fine(about, "No channel is bad in many recordings.")


def bad_shares(quality: Quality) -> NDArray[np.float64]:
    """Share of trials in which a channel was bad, [recordings, channels]; trials left out count if they say which."""
    names, table = quality.manifest.channels, np.zeros((len(quality.recordings), len(quality.manifest.channels)))
    column = {name: place for place, name in enumerate(names)}
    groups = dict(list(quality.trials.groupby("recording")["bad"]))
    for row, one in enumerate(quality.recordings):
        for bad in groups.get(one.id, ()):
            for name in bad:
                if name in column:
                    table[row, column[name]] += 1 / len(groups[one.id])
    return table


def mains(quality: Quality) -> Iterator[Verdict]:
    """Line noise that the recipe left."""
    about, looks = "line noise left", _after(quality)
    if not looks:
        yield unknown(about, NO_LOOKS)
        return
    remarks: dict[str, list[str]] = {}
    for one, found in looks:
        for line, height in found["line"].items():
            if height is not None and height > LINE_DB and line_share(found, float(line)) > LINE_SHARE:
                told = f"{line} Hz, {height:.0f} dB above its surroundings"
                remarks.setdefault(quality.name(one.id), []).append(told)
        for entry in lines_found(one):
            after = entry.get("ratio_db_after")
            if after is not None and after > LINE_DB:
                words = f"{entry['frequency']:g} Hz, still {after:.0f} dB after its removal"
                remarks.setdefault(quality.name(one.id), []).append(words)
    if remarks:
        yield flagged(about, "Mains in {}.", {name: "; ".join(told) for name, told in remarks.items()})
    else:
        removed = sum(bool(lines_found(one)) for one, _ in looks)
        text = f" A line was found in {counted(removed, 'recording')} and removed." if removed else ""
        yield fine(about, f"None in {counted(len(looks), 'recording')}.{text}")


def amplitudes(quality: Quality) -> Iterator[Verdict]:
    """Recordings far louder or quieter than the others; the subject's scaling hides what this says."""
    about, looks = "amplitude outliers", _after(quality)
    if len(looks) < ENOUGH:
        yield unknown(about, f"{counted(len(looks), 'recording')} with a summary: too few to call one an outlier.")
        return
    spread = np.array([max(float(np.median(found["sd"])), 1e-6) for _, found in looks])
    logs = np.log(spread)
    away = logs - np.median(logs)
    z = 0.6745 * away / max(float(np.median(np.abs(away))), 1e-3)
    remarks = {
        quality.name(one.id): f"median SD {own:.3g} uV, {np.exp(far):.2g} times the middle one (robust z {score:+.1f})"
        for (one, _), own, far, score in zip(looks, spread, away, z, strict=True)
        if abs(score) > OUTLIER and abs(far) > np.log(FACTOR)
    }
    if remarks:
        yield flagged(about, f"{{}} beside a usual SD of {np.median(spread):.3g} uV.", remarks)
    else:
        yield fine(about, f"None; median SD {span(spread.min(), spread.max(), '.3g')} uV.")


def artefacts(quality: Quality) -> Iterator[Verdict]:
    """What no step removed: samples beyond 100 uV, flat seconds."""
    about, looks = "artefacts left", _after(quality)
    if not looks:
        yield unknown(about, NO_LOOKS)
        return
    remarks: dict[str, str] = {}
    for one, found in looks:
        words = []
        if found["beyond_100uv"] > LARGE:
            words.append(f"{100 * found['beyond_100uv']:.0f} % of the samples beyond 100 uV")
        if found["flat"] > FLAT:
            words.append(f"{100 * found['flat']:.0f} % of the channel-seconds flat")
        if words:
            remarks[quality.name(one.id)] = ", ".join(words)
    if remarks:
        yield flagged(about, "Large or flat stretches in {}.", remarks)
    else:
        most = max(found["beyond_100uv"] for _, found in looks)
        yield fine(about, f"At most {100 * most:.1f} % of a recording's samples lie beyond 100 uV.")


def components(quality: Quality) -> Iterator[Verdict]:
    """ICA that removed nothing, or much; no verdict where no recording has one."""
    about, counts = "components removed", []
    much: dict[str, str] = {}
    none: dict[str, str] = {}
    passed: dict[str, str] = {}
    for one in quality.recordings:
        parts = ica(one)
        passed |= {quality.name(one.id): str(note["passed"]) for note in one.told("ica") if "passed" in note}
        if not parts:
            continue
        removed = [part for part in parts if part.get("removed")]
        counts.append(len(removed))
        if not removed:
            none[quality.name(one.id)] = f"none of {len(parts)}"
        elif len(removed) > REMOVED * len(parts):
            much[quality.name(one.id)] = f"{len(removed)} of {len(parts)}"
    if much:
        yield flagged(about, "More than a third of the components went in {}.", much)
    if none:
        yield flagged(
            about, "Eyes leave components unless the publishers took them out, yet nothing was removed in {}.", none
        )
    if counts and not much and not none:
        yield fine(about, f"{span(min(counts), max(counts))} in every recording.")
    if passed:
        reasons = "; ".join(sorted(set(passed.values())))
        yield unknown(about, f"No ICA in {listed(passed)}: {reasons}.")


def ica(one: Heard) -> list[dict[str, Any]]:
    """Components of a recording: label, probability, variance, removed."""
    return [part for note in one.told("ica") for part in note.get("components", ())]


def lines_found(one: Heard) -> list[dict[str, Any]]:
    """Mains found in a recording: frequency, ratio_db_before, ratio_db_after."""
    return [part for note in one.told("line") for part in note.get("found", ())]


def alpha_rhythm(quality: Quality) -> Iterator[Verdict]:
    """Recordings without an alpha peak: the simplest sign that a file holds a brain and its channels their names."""
    about, looks = "alpha rhythm", _after(quality)
    if not looks:
        yield unknown(about, NO_LOOKS)
        return
    peaks = {quality.name(one.id): alpha_of(one) for one, _ in looks}
    flat = [name for name, peak in peaks.items() if peak is None]
    seen = [peak.frequency for peak in peaks.values() if peak is not None]
    if len(flat) > SELDOM * len(peaks):
        yield look(about, f"No peak between 7.5 and 13 Hz in {len(flat)} of {len(peaks)}: {listed(flat)}.", flat)
    else:
        rest = f"; none in {listed(flat)}, which is as usual" if flat else ""
        yield fine(
            about, f"A peak at {span(min(seen), max(seen), '.1f')} Hz in {len(seen)} of {len(peaks)}{rest}.", flat
        )


def alpha_of(one: Heard) -> Peak | None:
    """The higher of the peaks before and after the recipe that are more than chance, if any.

    Both, since an average reference over the back of the head takes alpha out and an artefact hides it.
    """
    peaks = [(alpha(found), alpha_floor(found)) for found in (one.before, one.after) if found]
    return max((peak for peak, floor in peaks if peak.height > floor), key=lambda peak: peak.height, default=None)


def other_peaks(quality: Quality) -> Iterator[Verdict]:
    """Narrow peaks above 14 Hz beside the mains, after the recipe."""
    about, looks = "narrow peaks", _after(quality)
    if not looks:
        yield unknown(about, NO_LOOKS)
        return
    remarks = {}
    for one, found in looks:
        peaks = narrow_peaks(found)
        if peaks:
            remarks[quality.name(one.id)] = ", ".join(f"{p.frequency:.1f} Hz (+{p.height:.0f} dB)" for p in peaks)
    if remarks:
        yield flagged(about, "Peaks that no rhythm makes in {}.", remarks)
    else:
        yield fine(about, "No narrow peak above 14 Hz beside the mains.")


def _after(quality: Quality) -> list[tuple[Heard, Look]]:
    return [(one, one.after) for one in quality.recordings if one.after is not None]
