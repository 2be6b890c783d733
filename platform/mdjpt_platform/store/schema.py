"""What a store holds: index columns, manifest, key. No signal is read or written here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from mdjpt_platform.config import CorpusConfig, StepConfig, content_hash
from mdjpt_platform.errors import BadInput
from mdjpt_platform.frozen import Frozen

FORMAT = 2
"""Raised when a reader of the older format would misread the newer one; part of every key."""

MANIFEST = "manifest.json"
INDEX = "index.parquet"
QUALITY = "quality.json"
SIGNALS = "signals"
SAFE_NAME = re.compile(r"[A-Za-z0-9_+=-][A-Za-z0-9._+=-]{0,199}")
"""Names that are allowed to become files or folders: no separator, no leading dot."""


class TrialRow(Frozen):
    """One row of the index: one trial and where its samples lie."""

    corpus: str
    subject: str
    session: int
    trial: int = Field(description="1-based position in the file")
    stimulus: str = Field(description="equal for two trials iff the subjects saw the same thing")
    play_order: int = Field(description="1-based position in which it was shown")
    label: str | None = Field(description="class name in the corpus' label scheme; null: none")
    valence: float | None = Field(default=None, ge=-1, le=1)
    arousal: float | None = Field(default=None, ge=-1, le=1)
    file: str = Field(default="", description="signal file, relative to the store")
    offset: int = Field(default=0, ge=0, description="first row of the trial in its signal file")
    samples: int = Field(ge=1, description="rows of the trial")
    bad_channels: int = Field(default=0, ge=0, description="channels replaced by interpolation in this trial")
    bad_names: str = Field(default="", description="their names, separated by spaces")


INDEX_SCHEMA = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("session", pa.int64(), nullable=False),
        pa.field("trial", pa.int64(), nullable=False),
        pa.field("stimulus", pa.string(), nullable=False),
        pa.field("play_order", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("valence", pa.float64()),
        pa.field("arousal", pa.float64()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("bad_channels", pa.int64(), nullable=False),
        pa.field("bad_names", pa.string(), nullable=False),
    ]
)


class SignalFile(Frozen):
    """A signal file as it was written: float32, [samples, channels], C order, uncompressed .npy."""

    sha256: str
    bytes: int
    shape: tuple[int, int]


class Source(Frozen):
    """Where the signals of one recording come from."""

    work: str = Field(description="hash of everything that decided its numbers before the subject's scaling")
    inputs: dict[str, str] = Field(description="SHA-256 of every raw file by its name")
    factor: float = Field(default=1.0, description="by which the recording was multiplied to be in microvolts")
    dropped: dict[str, str] = Field(default_factory=dict, description="trial number -> why the trial was left out")


class Manifest(Frozen):
    """Facts of a store. Says nothing about where or when it was written, so equal stores are equal bytes."""

    format: int = FORMAT
    corpus: str
    layout: str
    key: str
    config: CorpusConfig
    recipe: tuple[StepConfig, ...]
    channels: tuple[str, ...] = Field(description="canonical names, in the order of the signal columns")
    rate: float = Field(gt=0, description="samples per second")
    unit: str = Field(description="'uV', or how the numbers were scaled")
    labels: tuple[str, ...] = Field(description="class names of the scheme, in order of their code")
    version: str = Field(description="of mdjpt_platform")
    code: str = Field(description="hash of the reader and of the preparation steps")
    index: str = Field(description="SHA-256 of the index")
    quality: str = Field(description="SHA-256 of what is known of the recordings' quality")
    files: dict[str, SignalFile]
    recordings: dict[str, Source]
    failed: dict[str, str] = Field(default_factory=dict, description="recordings left out, with the reason")
    refused: dict[str, str] = Field(
        default_factory=dict, description="those of `failed` that were prepared and did not fit the others: work hash"
    )
    provenance: dict[str, str] = Field(default_factory=dict, description="title, licence, citation, library versions")

    @property
    def fingerprint(self) -> str:
        """Hash of what a reader gets: signals, index, channels, rate, labels. Independent of place and time."""
        return content_hash(
            {
                "channels": self.channels,
                "rate": self.rate,
                "unit": self.unit,
                "labels": self.labels,
                "index": self.index,
                "files": {name: entry.sha256 for name, entry in self.files.items()},
            }
        )


def store_key(name: str, corpus: CorpusConfig, recipe: Sequence[StepConfig]) -> str:
    """Key of a store: 16 hex digits over corpus name, its configuration, the resolved recipe and the format."""
    return content_hash(
        {
            "corpus": name,
            "config": corpus.model_dump(mode="json"),
            "recipe": [step.model_dump(mode="json") for step in recipe],
            "format": FORMAT,
        }
    )


def check_name(name: str) -> None:
    """Raise BadInput: the corpus' name cannot name a folder."""
    if not SAFE_NAME.fullmatch(name):
        raise BadInput("run file", f"corpora.{name}", repr(name), "a name of letters, digits, '-', '_', '.'")


def store_folder(root: str | Path, name: str, corpus: CorpusConfig, recipe: Sequence[StepConfig]) -> Path:
    """`<root>/<corpus>/<key>`; `recipe` is a resolved one (`preprocess.recipe.resolve`).

    Raises BadInput: the corpus' name cannot name a folder.
    """
    check_name(name)
    return Path(root) / name / store_key(name, corpus, recipe)
