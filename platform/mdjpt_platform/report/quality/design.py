"""Checks of what was shown to whom: recordings, trials, stimuli. Each gives one or more verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from mdjpt_platform.report.quality.inputs import Quality, parts_of
from mdjpt_platform.report.quality.verdict import Verdict, counted, fine, flagged, listed, look, span, unknown
from mdjpt_platform.report.wording import natural

TOLERANCE = 0.02, 0.5
"""Share, and seconds, by which a trial's length may differ from the published one."""
FEW = 0.5
"""A stimulus seen by less than this share of the subjects that the most seen one has."""


def recordings_left_out(quality: Quality) -> Iterator[Verdict]:
    """Recordings that could not be prepared."""
    failed, about = quality.manifest.failed, "recordings left out"
    if failed:
        total = len(failed) + len(quality.recordings)
        text = f"{len(failed)} of {counted(total, 'recording')} left out: {{}}."
        yield flagged(about, text, {quality.name(r): quality.reason(reason) for r, reason in failed.items()})
    else:
        yield fine(about, f"None: every one of {counted(len(quality.recordings), 'recording')} is in the store.")


def trials_left_out(quality: Quality) -> Iterator[Verdict]:
    """Single trials left out of recordings that are in the store."""
    lost, about = quality.trials[quality.trials["dropped"] != ""], "trials left out"
    if lost.empty:
        yield fine(about, f"None of {counted(len(quality.trials), 'trial')}.")
        return
    remarks = {
        quality.name(recording): "; ".join(
            f"trial {t}, {why}" for t, why in zip(own["trial"], own["dropped"], strict=True)
        )
        for recording, own in lost.groupby("recording", sort=True)
    }
    yield flagged(about, f"{len(lost)} of {counted(len(quality.trials), 'trial')} left out, in {{}}.", remarks)


def subjects_present(quality: Quality) -> Iterator[Verdict]:
    """Subjects and sessions against the published numbers; recordings left out count, they were there."""
    facts, config, about = quality.facts, quality.manifest.config, "subjects and sessions"
    every = [parts_of(name) for name in (*(one.id for one in quality.recordings), *quality.manifest.failed)]
    found = Counter(subject for subject, _ in every)
    if facts is None or not facts.subjects:
        yield unknown(about, f"{counted(len(found), 'subject')}; the layout does not say how many to expect.")
        return
    wanted = len(config.subjects) if config.subjects is not None else facts.subjects
    sessions = config.facts.sessions or facts.sessions
    short = {s: counted(n, "session") for s, n in sorted(found.items()) if n != sessions}
    if len(found) != wanted:
        yield look(about, f"{counted(len(found), 'subject')} where {wanted} are expected.")
    if short:
        text = f"{counted(len(short), 'subject')} without the expected {counted(sessions, 'session')}: {{}}."
        yield flagged(about, text, short)
    if len(found) == wanted and not short:
        yield fine(about, f"{counted(len(found), 'subject')}, {counted(sessions, 'session')} each, as expected.")


def trials_present(quality: Quality) -> Iterator[Verdict]:
    """Stimuli of every recording against the declared ones; what was left out counts as present."""
    about, remarks = "missing or extra trials", {}
    declared = False
    for recording, own in quality.trials.groupby("recording", sort=True):
        expected = {one.id for one in quality.expected(int(own["session"].iloc[0]))}
        declared = declared or bool(expected)
        seen = Counter(own["stimulus"][own["stimulus"] != ""])
        nameless = int((own["stimulus"] == "").sum())
        words = []
        if expected and len(expected - set(seen)) > nameless:
            missing = sorted(expected - set(seen), key=natural)
            words.append(f"{len(missing) - nameless} missing: {listed(missing)}")
        if expected and set(seen) - expected:
            words.append(f"not among the published: {listed(sorted(set(seen) - expected))}")
        if twice := sorted(s for s, count in seen.items() if count > 1):
            words.append(f"more than once: {listed(twice)}")
        if words:
            remarks[quality.name(str(recording))] = "; ".join(words)
    if remarks:
        yield flagged(about, "Stimuli missing, unknown or repeated in {}.", remarks)
    elif declared:
        yield fine(about, "Every recording holds each declared stimulus once.")
    else:
        yield unknown(about, "No stimulus twice in a recording; the layout does not say which to expect.")


def trial_lengths(quality: Quality) -> Iterator[Verdict]:
    """Lengths against the published ones; without them, the same stimulus against its median over subjects."""
    about, kept = "lengths of trials", quality.kept
    expected = kept.groupby(["session", "stimulus"])["seconds"].transform("median")
    declared = quality.manifest.config.facts.seconds
    for session in kept["session"].unique():
        known = {one.id: declared or one.seconds for one in quality.expected(int(session))}
        published = kept["stimulus"].map(known).astype(float)
        expected = published.where((kept["session"] == session) & published.notna(), expected)
    wrong = kept[(kept["seconds"] - expected).abs() > np.maximum(TOLERANCE[0] * expected, TOLERANCE[1])]
    remarks: dict[str, list[str]] = {}
    for place, row in wrong.iterrows():
        told = f"trial {row['trial']} {row['seconds']:.1f} s instead of {expected[place]:.1f} s"
        remarks.setdefault(quality.name(row["recording"]), []).append(told)
    if remarks:
        count = sum(map(len, remarks.values()))
        text = f"{counted(count, 'trial')} shorter or longer than the stimulus, in {{}}."
        yield flagged(about, text, {name: "; ".join(told) for name, told in remarks.items()})
    else:
        yield fine(about, "Every trial lasts as long as its stimulus.")


def duplicates(quality: Quality) -> Iterator[Verdict]:
    """The same signal under two names: a file copied over another, a subject exported twice."""
    about, marked = "duplicates", quality.trials[quality.trials["fingerprint"] != ""]
    if marked.empty:
        yield unknown(about, "The store holds no fingerprints of its trials.")
        return
    remarks = []
    pairs: Counter[tuple[str, ...]] = Counter()
    for _, own in marked[marked["fingerprint"].duplicated(keep=False)].groupby("fingerprint", sort=False):
        who = [f"{quality.name(r)} trial {t}" for r, t in zip(own["recording"], own["trial"], strict=True)]
        remarks.append(" = ".join(who))
        pairs[tuple(dict.fromkeys(quality.names(own["recording"])))] += 1
    if remarks:
        text = listed(" = ".join(names) if len(names) > 1 else f"within {names[0]}" for names in pairs)
        yield look(about, f"{counted(len(remarks), 'signal')} found under more than one name: {text}.", remarks)
    else:
        yield fine(about, f"No two of {counted(len(marked), 'trial')} hold the same signal.")


def stimuli_shared(quality: Quality) -> Iterator[Verdict]:
    """Stimuli that too few subjects saw in a session: no pair of subjects, or few, can be made of them."""
    about = "stimuli seen by few"
    seen = quality.kept.groupby(["session", "stimulus"])["subject"].nunique()
    remarks = {}
    for (session, stimulus), count in seen.items():
        if count < 2 or count < FEW * seen[session].max():
            remarks[f"{stimulus} (session {session})"] = f"{counted(int(count), 'subject')}"
    if remarks:
        text = f"{len(remarks)} of {len(seen)} stimuli have one subject, or less than half of what others have: {{}}."
        yield flagged(about, text, remarks)
    else:
        yield fine(about, f"Every stimulus was seen by {span(seen.min(), seen.max())} subjects.")
