"""One file -> its folder of results, or one line that says why not. A plain function: a task of any scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from mdjpt_model.pretrained import CHECKSUMS, Pretrained
from mdjpt_platform import __version__
from mdjpt_platform.code import sources
from mdjpt_platform.config import StepConfig, content_hash
from mdjpt_platform.corpora.rawfile import SUFFIXES, parts
from mdjpt_platform.errors import BadInput, MdjptError, is_full
from mdjpt_platform.export.folder import load
from mdjpt_platform.predict.answer import answer
from mdjpt_platform.predict.outside import judge, profile_of
from mdjpt_platform.predict.recipe import changed_steps, recipe_of
from mdjpt_platform.predict.recording import Heard, hear, sites
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.predict.write import is_whole, known, table_files, write_folder
from mdjpt_platform.preprocess.recording import BAD_FILE
from mdjpt_platform.report.prediction import page
from mdjpt_platform.report.prediction.annotations import annotations_csv
from mdjpt_platform.report.prediction.inputs import Told
from mdjpt_platform.store.read import file_sha256


@dataclass(frozen=True)
class Outcome:
    """How predicting a file ended. Flat but for the row, so that it travels between processes."""

    file: str
    folder: str
    state: Literal["done", "failed", "unchanged"]
    reason: str = ""
    """Why it failed, in one line."""
    row: dict[str, Any] = field(default_factory=dict)
    """Of summary.csv."""


def predict_file(path: str, model_folder: str, folder: str, settings: Settings) -> Outcome:
    """Predict one file into `folder`, its own; nothing is done again that is there and made of the same.

    A file that cannot be used is an Outcome. Raises BadInput: the model cannot be used. OSError: the disk is full.
    """
    model, recipe = model_of(model_folder)
    try:
        source = Path(path)
        if not source.exists():
            raise BadInput(source, "file", "nothing there", "a recording")
        if source.is_dir() and source.suffix.lower() not in SUFFIXES:
            raise BadInput(source, "recordings", "none", f"files with one of the suffixes {', '.join(SUFFIXES)}")
        files = {part.name: file_sha256(part) for part in parts(source)}
        print_ = fingerprint(files, model_folder, settings)
        before = known(Path(folder))
        if before is not None and before.get("fingerprint") == print_ and is_whole(Path(folder), before):
            return Outcome(path, folder, "unchanged", row=_row(source, before))
        heard = hear(source, model, recipe, settings)
        about = {"fingerprint": print_, "place": place_of(source), "file": {"name": source.name, "sha256": files}}
        tree = _predicted(source, Path(folder), model, model_folder, heard, settings, about)
    except BAD_FILE as error:
        if isinstance(error, OSError) and is_full(error):
            raise
        return Outcome(path, folder, "failed", _line(error, path))
    return Outcome(path, folder, "done", row=_row(source, tree))


def fingerprint(files: dict[str, str], model_folder: str, settings: Settings) -> str:
    """Hash of all that decides the results: files, model, settings and the sources of the two packages."""
    tree = settings.tree()
    if settings.rename is not None:
        tree["rename"] = file_sha256(settings.rename)
    return content_hash([files, file_sha256(Path(model_folder) / CHECKSUMS), tree, _sources()])


def place_of(path: Path) -> str:
    """Hash of where a file lies: two files of one name are told apart without a path being written down."""
    return content_hash([str(path.resolve())])


def _predicted(
    source: Path, folder: Path, model: Pretrained, model_folder: str, heard: Heard, settings: Settings,
    about: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    found = answer(model, heard, settings.mode)
    shape = profile_of(heard)
    findings = judge(model, heard, shape)
    single, opened = heard.single, heard.opened
    tree = {
        **about,
        "version": __version__,
        "sources": _sources(),
        "model": {
            "name": Path(model_folder).resolve().name,
            "family": model.family,
            "labels": list(model.labels),
            "sha256": file_sha256(Path(model_folder) / CHECKSUMS),
            "recipe": model.config["recipe"]["hash"],
            "identity": model.config["trained"].get("identity"),
            "simulated": model.config["trained"].get("simulated") or [],
            "readout": model.config["modes"].get(found.mode, {}),
        },
        "mode": found.mode,
        "settings": {**settings.tree(), "rename": None if settings.rename is None else Path(settings.rename).name},
        **found.summary,
        "outside": any(one.verdict == "outside" for one in findings),
        "findings": [one.tree() for one in findings],
        "recording": {
            "seconds": heard.seconds,
            "rate": heard.recorded,
            "channels": list(heard.channels),
            "coverage": heard.coverage,
            "sites": len(sites(model)),
            "left_out": list(opened.left_out),
            "placeless": list(heard.placeless),
            "placed": list(opened.placed),
            "marked": list(opened.marked),
            "artefacts": [list(one) for one in opened.artefacts],
            "factor": single.factor,
            "spread_uv": single.spread,
            "quality": {name: _short(one) for name, one in single.quality.items()},
        },
        "changed_steps": changed_steps(model),
        "spectrum": None if shape is None else {name: values.tolist() for name, values in shape._asdict().items()},
    }
    files = table_files(found.windows)
    if "label" in found.windows:
        files[f"{folder.name}-annotations.csv"] = annotations_csv(found.windows, model.seconds)
    told = Told(source.name, tree, found.windows, model.labels, model.seen.get("spectrum"))
    files["page.html"] = page.render(told).encode()
    write_folder(folder, files, tree)
    return tree


def _short(look: Any) -> Any:
    """Facts of quality without the spectra of single channels, which are most of their size."""
    return {k: v for k, v in look.items() if k not in ("power", "frequencies")} if isinstance(look, dict) else look


def _row(source: Path, tree: dict[str, Any]) -> dict[str, Any]:
    """Of summary.csv: what the recording comes to."""
    row: dict[str, Any] = {
        "file": source.name,
        "windows": tree["windows"]["count"],
        "mode": tree["mode"],
        "coverage": tree["recording"]["coverage"],
        "outside": tree["outside"],
    }
    for name, one in (tree.get("classes") or {}).items():
        row |= {f"p_{name}": one["mean_probability"], f"time_{name}": one["time_share"]}
    for name, one in (tree.get("affect") or {}).items():
        low, high = one["interval"] or (None, None)
        row |= {name: one["mean"], f"{name}_low": low, f"{name}_high": high}
    return row


def model_of(folder: str) -> tuple[Pretrained, tuple[StepConfig, ...]]:
    """Model and recipe of a folder. Raises BadInput: they cannot be used."""
    try:
        checksum = file_sha256(Path(folder) / CHECKSUMS)
    except OSError as error:
        raise BadInput(
            Path(folder) / CHECKSUMS, "model folder", error.strerror, "a file `mdjpt export` wrote"
        ) from None
    return _model(folder, checksum)


@lru_cache(maxsize=1)
def _model(folder: str, _checksum: str) -> tuple[Pretrained, tuple[StepConfig, ...]]:
    """Model and recipe; loaded once a process, unless the folder changes."""
    model = load(Path(folder))
    return model, recipe_of(model, Path(folder))


@cache
def _sources() -> str:
    return sources()[1]


def _line(error: BaseException, path: str) -> str:
    text = str(error) if isinstance(error, MdjptError) else f"{path}: {type(error).__name__}: {error}"
    return " ".join(text.split())
