"""MAHNOB-HCI, emotion elicitation: `Sessions/<id>/Part_<p>_S_Trial<n>_emotion.bdf` with `session.xml` beside it.

One folder a film clip, so a recording is a subject with all its folders, in the order of the trial numbers. Folders
whose session.xml has no `feltArsl` belong to the other experiment (tagging) and are left aside. Every subject saw the
clips in another order: the stimulus is the attribute `mediaFile`. The first two triggers in the Status word (signal 46,
0-based) mark the beginning and the end of the clip; half a minute is recorded on either side.

27 of 30 subjects are usable, with 20 clips each (three of them fewer), but sources differ on the sessions (527 or 547,
DATASETS 12): the files are trusted, a subject counts with the folders it has.

Label schemes: `default` by the emotion that the clip was chosen for, a table that comes from a repository rather than
the publishers (a clip that is not in it stays unlabelled); `own_emotion` the emotion that the subject named
(`feltEmo`); the other `own_` schemes cut the subject's ratings at 5 (5 is high).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from mdjpt_platform.corpora import deap, edf, reading
from mdjpt_platform.corpora.affect import plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.ratings import OWN, own_label
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

RATE = 256.0
STATUS = 46
TARGETS = {
    "69.avi": "disgust", "earworm_f.avi": "disgust",
    "55.avi": "sadness", "146.avi": "sadness", "138.avi": "sadness", "111.avi": "sadness",
    "58.avi": "amusement", "53.avi": "amusement", "52.avi": "amusement",
    "80.avi": "joy", "79.avi": "joy", "90.avi": "joy", "cats_f.avi": "joy", "funny_f.avi": "joy",
    "73.avi": "fear", "107.avi": "fear", "30.avi": "fear",
    "newyork_f.avi": "neutral", "detroit_f.avi": "neutral", "dallas_f.avi": "neutral",
}  # fmt: skip
"""Clip -> emotion that it was chosen for (DATASETS 12)."""
FELT: dict[int, str | None] = {
    0: "neutral", 1: "anger", 2: "disgust", 3: "fear", 4: "joy", 5: "sadness", 6: "surprise", 7: "scream", 8: "bored",
    9: "sleepy", 10: None, 11: "amusement", 12: "anxiety",
}  # fmt: skip
"""Code of `feltEmo` -> emotion; 10 is `unknown`, no class."""
MAX_XML = 2**20

FACTS = Facts(
    title="MAHNOB-HCI",
    channels=deap.EEG,
    rate=RATE,
    recorded=256.0,
    subjects=27,
    sessions=1,
    shown=tuple(Stimulus(clip, emotion, None) for clip, emotion in TARGETS.items()),
    unit="uV",
    labels={
        "default": ("disgust", "fear", "sadness", "neutral", "amusement", "joy"),
        "own_emotion": tuple(emotion for emotion in FELT.values() if emotion is not None),
    }
    | OWN,
    licence="signed end-user licence, academic research",
    obtain="apply at https://mahnob-db.eu/hci-tagging, unpack so that Sessions/ lies in the folder",
    citation="Soleymani et al. 2012, IEEE Trans. Affect. Comput. 3(1):42-55, doi 10.1109/T-AFFC.2011.25",
    tested="layout",
    affect={"unified": plane(("disgust", "fear", "sadness", "neutral", "amusement", "joy"))},
)


@dataclass(frozen=True)
class _Session:
    """What session.xml says of a clip."""

    clip: str
    felt: str | None
    valence: float
    """In [-1, 1], as `arousal`; rated 1-9."""
    arousal: float


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject, with the BDF and the xml of every folder in play order.

    Raises BadInput: folder absent, no folder of the experiment in it. A folder whose xml is absent or cannot be used, a
    trial number or a clip that comes twice, is a problem of the subject's.
    """
    reading.check_options(config, FACTS, seconds=False)
    if config.facts.stimuli is not None:
        found = list(config.facts.stimuli)
        raise BadInput(FACTS.title, "facts.stimuli", found, "none: the folders of a subject tell its clips")
    folder = reading.existing_folder(root, "Sessions")
    trials: defaultdict[str, list[tuple[int, str, Path]]] = defaultdict(list)
    problems: defaultdict[str, list[str]] = defaultdict(list)
    for _, session in reading.matching(folder, r"\d+"):
        for path in sorted(session.glob("*_emotion.bdf")):
            if not (match := re.fullmatch(r"Part_(\d+)_\w+_Trial(\d+)_emotion\.bdf", path.name)):
                continue
            try:
                about = _session(session / "session.xml")
            except BadInput as error:
                problems[match[1]].append(str(error))
            else:
                if about is not None:
                    trials[match[1]].append((int(match[2]), about.clip, path))
    subjects = sorted({*trials, *problems}, key=int)
    if not subjects:
        expected = "Part_<p>_S_Trial<n>_emotion.bdf beside a session.xml with feltArsl"
        raise BadInput(folder, "recordings", "none", expected)
    listed = []
    for subject, shown in reading.wanted(((s, sorted(trials[s])) for s in subjects), config, folder):
        names = [f"trial {trial}" for trial, _, _ in shown] + [f"clip {clip}" for _, clip, _ in shown]
        twice = ", ".join(name for name, count in Counter(names).items() if count > 1)
        if twice:
            problems[subject].append(str(BadInput(folder, f"folders of subject {subject}", f"{twice} twice", "once")))
        files = tuple(str(file) for _, _, path in shown for file in (path, path.with_name("session.xml")))
        listed.append(Recording(name, "mahnob", subject, 1, files, config, "; ".join(problems[subject])))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a clip, EEG alone. Raises BadInput: truncated or foreign BDF, no triggers, damaged session.xml."""
    segments = []
    for position, path in enumerate(recording.files[::2], 1):
        about = _session(Path(path).with_name("session.xml"))
        if about is None:
            raise BadInput(path, "session.xml", "no feltArsl", "one, as when the recordings were listed")
        raw = edf.open_sites(path, FACTS.channels, RATE)
        marks = edf.onsets(edf.low_bytes(path, STATUS))
        if len(marks) < 2:
            raise BadInput(path, f"triggers in signal {STATUS}", len(marks), "two: beginning and end of the clip")
        start, stop = marks[0] / RATE, marks[1] / RATE
        label = _label(recording.options.labels, about)
        trial = Trial(position, about.clip, position, label, about.valence, about.arousal, start, stop)
        segments.append(Segment(raw, (trial,)))
    return segments


def _label(scheme: str, about: _Session) -> str | None:
    if scheme == "default":
        return TARGETS.get(about.clip)
    if scheme == "own_emotion":
        return about.felt
    return own_label(scheme, about.valence, about.arousal, middle_is_high=True)


def _session(path: Path) -> _Session | None:
    """What session.xml says; None for one of the other experiment. Raises BadInput."""
    attributes = _attributes(path)
    if "feltArsl" not in attributes:
        return None
    clip = PurePosixPath(attributes.get("mediaFile", "").strip().replace("\\", "/")).name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", clip):
        raise BadInput(path, "mediaFile", repr(attributes.get("mediaFile", "")[:80]), "the plain name of a film clip")
    valence, arousal = (deap.unit(_code(path, attributes, name, 1, 9)) for name in ("feltVlnc", "feltArsl"))
    return _Session(clip, FELT[_code(path, attributes, "feltEmo", 0, max(FELT))], valence, arousal)


def _code(path: Path, attributes: dict[str, str], name: str, low: int, high: int) -> int:
    text = attributes.get(name, "")
    if not re.fullmatch(r"\d{1,2}", text) or not low <= int(text) <= high:
        raise BadInput(path, name, repr(text[:20]), f"a whole number, {low}..{high}")
    return int(text)


def _attributes(path: Path) -> dict[str, str]:
    """Attributes of the root. A document type, by which a small file can grow without end, is refused unread."""
    if not path.is_file():
        raise BadInput(path, "file", "nothing there", "session.xml")
    size = path.stat().st_size
    if size > MAX_XML:
        raise BadInput(path, "size", f"{size} bytes", f"at most {MAX_XML}")
    content = path.read_bytes()
    # Any ASCII-compatible encoding spells it like this; the others (UTF-16) hold NUL bytes and are refused with it.
    if b"<!" in content.replace(b"<!--", b"") or b"\0" in content:
        raise BadInput(path, "XML", "a document type or bytes that are no text", "plain elements and attributes")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadInput(path, "XML", f"{type(error).__name__}: {str(error)[:80]}", "a well-formed document") from None
    if root.tag != "session":
        raise BadInput(path, "XML", f"a {root.tag[:40]!r}", "a session")
    return dict(root.attrib)


CORPUS = Corpus("mahnob", FACTS, recordings, read)
