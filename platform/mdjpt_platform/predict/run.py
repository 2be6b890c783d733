"""Files and folders -> a folder of results each, one after the other; a bad file among many is a line, not an end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.corpora.rawfile import SUFFIXES
from mdjpt_platform.corpora.reading import natural
from mdjpt_platform.errors import BadInput
from mdjpt_platform.predict.one import Outcome, place_of, predict_file
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.predict.write import DIGITS, known
from mdjpt_platform.spreadsheet import inert

OVERALL = "summary.csv"
NOT_RAW = re.compile(r"[-_](eve|annot|ave|cov|epo|ica|fwd|inv|src|bem|trans|proj|sol|stc|tfr)(-\d+)?\.fif$")
"""MNE's names for FIF files that hold no recording."""
PIECE = re.compile(r"(.+)-\d+\.fif")
LONGEST = 120
"""Characters of a folder's name."""


def recordings_in(given: Iterable[Path]) -> list[Path]:
    """Files as given, and in natural order the recordings below every folder given, each once; a folder without any as
    it is, to be refused by name like any other file that is none.
    """
    found: dict[Path, Path] = {}
    for path in given:
        if path.is_dir() and path.suffix.lower() not in SUFFIXES:
            every = sorted(path.rglob("*"), key=lambda one: natural(str(one)))
            below = [one for one in every if _is_recording(one, path)] or [path]
        else:
            below = [path]
        for one in below:
            found.setdefault(one.resolve(), one)
    return list(found.values())


def folders_of(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the results of each file go: by its stem, with a number where the name is another file's already."""
    places: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", path.stem).strip("._")[:LONGEST] or "recording"
        number = 1
        while True:
            folder = out / (stem if number == 1 else f"{stem}-{number}")
            before = known(folder)
            mine = before is None or before.get("place") == place_of(path)
            if mine and folder.name.lower() not in taken:  # some file systems know no case
                break
            number += 1
        taken.add(folder.name.lower())
        places[path] = folder
    return places


def predict_all(
    model: Path, given: Iterable[Path], out: Path, settings: Settings, tell: Callable[[int, int, str], None]
) -> list[Outcome]:
    """Predict every file and write OUT/summary.csv; `tell(done, of, file)` hears of each before it begins.

    Raises BadInput: the model cannot be used, nothing to predict, OUT is a file.
    """
    paths = recordings_in(given)
    if not paths:
        raise BadInput("command line", "files", "none", "one or more recordings, or folders of them")
    if out.exists() and not out.is_dir():
        raise BadInput(out, "--out", "a file", "a folder")
    outcomes = []
    for number, (path, folder) in enumerate(folders_of(paths, out).items()):
        tell(number, len(paths), path.name)
        outcomes.append(predict_file(str(path), str(model), str(folder), settings))
    write_overall(out, outcomes)
    return outcomes


def write_overall(out: Path, outcomes: Sequence[Outcome]) -> None:
    """OUT/summary.csv: a row a file, those that failed with their reason; without folders, since it is passed on."""
    rows = []
    for one in outcomes:
        name = Path(one.file).name
        row = {"file": name, "folder": Path(one.folder).name, "state": _state(one), **one.row}
        rows.append({**row, "reason": one.reason.replace(one.file, name)})
    table = pd.DataFrame(rows)
    table = table[[name for name in table.columns if name != "reason"] + ["reason"]]
    write_atomic(out / OVERALL, inert(table).to_csv(index=False, float_format=DIGITS).encode())


def _state(outcome: Outcome) -> str:
    return "failed" if outcome.state == "failed" else "done"


def _is_recording(path: Path, top: Path) -> bool:
    """Whether an entry below a folder may be a recording of its own."""
    inside = path.relative_to(top)
    hidden = any(part.startswith(".") for part in inside.parts)
    in_one = any(parent.suffix.lower() == ".mff" for parent in list(inside.parents)[:-1])
    if hidden or in_one or path.suffix.lower() not in SUFFIXES or NOT_RAW.search(path.name):
        return False
    piece = PIECE.fullmatch(path.name)
    if piece and path.with_name(f"{piece[1]}.fif").exists():  # of a split file, read with its first
        return False
    return path.is_file() or path.suffix.lower() == ".mff"
