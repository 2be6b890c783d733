"""MDME, a multimodal data set of mixed emotions (EMOD's "MME"): 73 subjects x 32 film clips, 18 channels.

`raw_data/<id>/datas.mat` holds `eeg_datas` (18 or more, N) at 300 Hz, taken for microvolts (unverified); the first 18
rows are EEG, the trials follow one another without gaps in lengths that are the same for every subject. Beside it
`raw_data/<id>/<id>/Arousal_Valence.csv`, three columns without a header: trial (counted from 0, in EMOD's reader), then
AROUSAL, then valence on 1-9. Source: DATASETS section 16, which is EMOD's preprocessing; there is no other witness.

Label schemes: `default` calls clips 1-8 positive, 9-16 negative, 17-32 mixed. EMOD numbers these blocks 0, 1, 2 and the
paper lists its classes in that order; that the first block is the pleasant one follows from nothing else. `own_*` cut
the subject's own ratings at 5 (5 counts as high).
"""

from __future__ import annotations

import csv
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mdjpt_platform.corpora import matfile, reading
from mdjpt_platform.corpora.affect import plane
from mdjpt_platform.corpora.base import Corpus, Facts, Recording, Segment, Stimulus, Trial
from mdjpt_platform.corpora.ratings import OWN, own_label
from mdjpt_platform.errors import BadInput

if TYPE_CHECKING:
    from mdjpt_platform.config import CorpusConfig

EEG = reading.words("Fp1 Fp2 Fz F3 F4 F7 F8 Cz C3 C4 T3 T4 P3 P4 T5 T6 O1 O2")
RATE = 300.0
SAMPLES = (
    6000, 8700, 8700, 9000, 8700, 9000, 9000, 8400, 6600, 6900, 9000, 9300, 7200, 8400, 8700, 8100,
    8700, 8400, 8100, 9000, 9300, 7800, 9600, 7200, 7800, 6600, 9000, 6900, 7200, 6900, 6000, 8700,
)  # fmt: skip
"""Length of trials 1..32."""
CLASSES = ("positive", "negative", "mixed")
CLIP_CLASS = ("positive",) * 8 + ("negative",) * 8 + ("mixed",) * 16

FACTS = Facts(
    title="MDME",
    channels=EEG,
    rate=RATE,
    recorded=300.0,
    subjects=73,
    sessions=1,
    shown=tuple(
        Stimulus(str(k), word, length / RATE)
        for k, (word, length) in enumerate(zip(CLIP_CLASS, SAMPLES, strict=True), 1)
    ),
    unit="uV (unverified)",
    labels={"default": CLASSES, **OWN},
    licence="as the repository named in the paper says",
    obtain="through the data citation of the paper; unpack so that raw_data/ lies in the folder",
    citation="Yang et al. 2024, Sci. Data 11:847, doi 10.1038/s41597-024-03676-4",
    tested="layout",
    affect={"unified": plane(("positive", "negative"))},
)


def recordings(name: str, config: CorpusConfig, root: Path) -> list[Recording]:
    """One recording a subject folder; an absent file is its problem. Raises BadInput: raw_data absent or empty."""
    reading.check_options(config, FACTS)
    reading.declared_stimuli(config, FACTS)
    folder = reading.existing_folder(root, "raw_data")
    found = [(match[1], path) for match, path in reading.matching(folder, r"(\d+)")]
    listed = []
    for subject, path in reading.wanted(found, config, folder):
        files = (path / "datas.mat", path / subject / "Arousal_Valence.csv")
        absent = [file for file in files if not file.is_file()]
        problem = str(BadInput(absent[0], "file", "nothing there", "a file")) if absent else ""
        listed.append(Recording(name, "mdme", subject, 1, tuple(map(str, files)), config, problem))
    return listed


def read(recording: Recording) -> list[Segment]:
    """One segment a trial: what follows it was recorded after a pause. Raises BadInput."""
    path, table = recording.files
    config = recording.options
    stimuli = reading.declared_stimuli(config, FACTS)
    seconds = config.facts.seconds
    lengths = [SAMPLES[s - 1] if seconds is None else reading.samples(seconds, RATE) for s in stimuli]
    ratings = _ratings(table, len(stimuli))
    total = sum(lengths)
    shape = matfile.variables(path).get("eeg_datas", ())
    # A sample too many is nobody's trial; more would mean that the trials lie elsewhere.
    if len(shape) != 2 or shape[0] < len(EEG) or not total <= shape[1] <= total + 1:
        raise BadInput(path, "shape of eeg_datas", shape or "no such variable", f"({len(EEG)} or more, {total})")
    values = matfile.numbers(path, "eeg_datas")[: len(EEG)]
    segments = []
    for position, (stimulus, (start, stop)) in enumerate(
        zip(stimuli, pairwise(accumulate(lengths, initial=0)), strict=True), 1
    ):
        arousal, valence = ratings[position - 1]
        if config.labels == "default":
            label: str | None = CLIP_CLASS[stimulus - 1]
        else:
            label = own_label(config.labels, valence, arousal, middle_is_high=True)
        raw = reading.raw_from_microvolts(values[:, start:stop], EEG, ["eeg"] * len(EEG), RATE)
        segments.append(Segment(raw, (Trial(position, str(stimulus), position, label, valence, arousal),)))
    return segments


def _ratings(path: str, trials: int) -> list[tuple[float, float]]:
    """(arousal, valence) of every trial in [-1, 1]; the rows may lie in any order."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [[float(cell) for cell in row] for row in csv.reader(file) if row]
    except (OSError, ValueError) as error:
        raise BadInput(path, "table", " ".join(str(error).split())[:80], "numbers: trial, arousal, valence") from None
    wrong = [row for row in rows if len(row) < 3 or not all(1 <= rating <= 9 for rating in row[1:3])]
    if wrong:
        raise BadInput(path, "row", wrong[0], "trial, arousal 1..9, valence 1..9")
    rows.sort()
    numbers = [row[0] for row in rows]
    if numbers != list(range(trials)):
        raise BadInput(path, "trials", [f"{number:g}" for number in numbers], f"each of 0..{trials - 1} once")
    return [((arousal - 5) / 4, (valence - 5) / 4) for _, arousal, valence, *_ in rows]


CORPUS = Corpus("mdme", FACTS, recordings, read)
