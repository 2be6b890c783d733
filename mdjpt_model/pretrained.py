"""A model folder, loaded by torch, NumPy and safetensors alone.

    from mdjpt_model import from_pretrained
    model = from_pretrained("my-model")
    answers = model.predict(windows, channels)        # windows [n, C, samples] of one recording, in order of time

The folder is data: JSON and safetensors, held against its checksums, never executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from mdjpt_model.emod.channels import electrode_rows
from mdjpt_model.emod.model import Emod
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.layers import CACHE_BYTES, Mode, Running, Tokens, pool, read_features, still
from mdjpt_model.model import MdJPT
from mdjpt_model.montage import UNIFIED, canonical, projection
from mdjpt_model.readout import Prediction, Readout, finite
from mdjpt_model.spec import ModelSpec

FORMAT = 1
CONFIG, WEIGHTS, READOUT, CHECKSUMS = "config.json", "model.safetensors", "readout.safetensors", "checksums.json"
LARGEST = {CONFIG: 2**24, CHECKSUMS: 2**20, WEIGHTS: 2**34, READOUT: 2**32}
"""Bytes of a file that is read; a published model has 3 MB of weights."""
Windows = Tensor | NDArray[np.float32]
MODES: tuple[Mode, ...] = get_args(Mode)
_NEEDED = {
    "format": int, "family": str, "spec": dict, "rate": float, "window": dict, "feature": str, "decay": float,
    "labels": list, "recipe": dict, "modes": dict, "seen": dict, "trained": dict,
}  # fmt: skip
_KINDS: dict[str, tuple[Any, Any]] = {"mdjpt": (ModelSpec, MdJPT), "emod": (EmodSpec, Emod)}


class Pretrained:
    """An encoder with its read-outs. Everything is computed without gradients; `encoder` is there to train on."""

    def __init__(self, config: dict[str, Any], encoder: MdJPT | Emod, readouts: dict[str, Readout]) -> None:
        self.config, self.encoder, self.readouts = config, encoder.eval(), readouts
        self.family: str = config["family"]
        self.labels: tuple[str, ...] = tuple(config["labels"])
        self.rate: float = float(config["rate"])
        self.seconds, self.step = float(config["window"]["seconds"]), float(config["window"]["step"])
        self.samples = round(self.seconds * self.rate)
        self.recipe: list[dict[str, Any]] = config["recipe"]["steps"]
        self.seen: dict[str, Any] = config["seen"]
        self.feature, self.decay = str(config["feature"]), float(config["decay"])

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Ways of reading features that there is a read-out for."""
        return tuple(mode for mode in MODES if mode in self.readouts)

    def coverage(self, channels: Sequence[str]) -> int:
        """How many of the model's electrodes the cap has under their own name (of 60; of EMOD's table, 72).

        Raises ValueError: a channel that the model has no place for, one named twice.
        """
        if self.family == "emod":
            return len(electrode_rows(channels))
        projection(tuple(channels))
        return len({canonical(name) for name in channels} & set(UNIFIED))

    def features(self, windows: Windows, channels: Sequence[str], mode: Mode = "whole", batch: int = 64) -> Tensor:
        """Windows [n, C, samples] of one recording, in order of time, -> features [n, M].

        `whole`: normalised by the statistics of all windows given; `causal`: by those of a window and the ones before
        it; `frozen`: by those of the people that the read-out was fitted on, every window by itself.
        Raises ValueError: another shape, values that are not finite, channels without a place, one window in `whole`.
        """
        self._check(windows, channels, mode)
        with still(self.encoder):
            if isinstance(self.encoder, Emod):
                found = [self.encoder.features(_part(windows, at), channels) for at in _parts(len(windows), batch)]
                return torch.cat(found).float()
            if mode == "whole" and len(windows) < 2:
                raise ValueError("windows: found one, expected two or more: in mode whole their statistics count")
            encoder, budget = self.encoder, CACHE_BYTES if mode == "whole" else 0
            tokens = Tokens(lambda at: encoder.tokens_first(_part(windows, at), channels), len(windows), batch, budget)
            frozen = self.readouts[mode].frozen if mode == "frozen" else None
            return torch.cat([part.float() for part in read_features(encoder, tokens, mode, self.feature, frozen)])

    def predict(self, windows: Windows, channels: Sequence[str], mode: Mode = "whole", batch: int = 64) -> Prediction:
        """Features and answers of windows [n, C, samples] of one recording. Raises ValueError: as `features`."""
        self._require(mode)
        features = self.features(windows, channels, mode, batch)
        readout = self.readouts[mode]
        return readout.answer(features, readout.normalise(features, mode, self.decay))

    def stream(self, channels: Sequence[str]) -> Stream:
        """One window after the other, as they are recorded; the answers are those of mode `causal`."""
        self._require("causal")
        self.coverage(channels)
        return Stream(self, channels)

    def _check(self, windows: Windows, channels: Sequence[str], mode: str) -> None:
        if mode not in MODES or (mode == "frozen" and self.family == "mdjpt" and mode not in self.readouts):
            raise ValueError(f"mode: found {mode!r}, expected one of: {', '.join(self.modes or ('whole', 'causal'))}")
        if windows.ndim != 3 or not len(windows) or tuple(windows.shape[1:]) != (len(channels), self.samples):
            expected = f"[n, {len(channels)}, {self.samples}]: {self.seconds:g} s at {self.rate:g} Hz of each channel"
            raise ValueError(f"windows: found shape {list(windows.shape)}, expected {expected}")
        self.coverage(channels)
        if not all(finite(windows[part]) for part in _parts(len(windows), 256)):  # of a view, not all at once
            raise ValueError("windows: found NaN or infinity, expected finite values")

    def _require(self, mode: str) -> None:
        if mode not in self.readouts:
            found = ", ".join(self.modes) or "none: this model was exported as an encoder alone"
            raise ValueError(f"mode: found {mode!r}, expected one with a read-out ({found})")


class Stream:
    """Mode `causal`, a window at a time. It holds the running sums of one recording: use a new one for the next."""

    def __init__(self, model: Pretrained, channels: Sequence[str]) -> None:
        self.model, self.channels = model, tuple(channels)
        self._readout = model.readouts["causal"]
        self._first, self._second = Running(), Running()
        self._along = self._readout.running(model.decay)

    def __call__(self, window: Windows) -> Prediction:
        """The next window [C, samples]; n is 1. Raises ValueError: another shape, values that are not finite."""
        model, windows = self.model, window[None]
        model._check(windows, self.channels, "causal")
        with still(model.encoder):
            if isinstance(model.encoder, Emod):
                features = model.encoder.features(_part(windows, slice(None)), self.channels).float()
            else:
                tokens = self._first(model.encoder.tokens_first(_part(windows, slice(None)), self.channels))
                maps = model.encoder.maps(self._second(model.encoder.latent(tokens)))
                features = pool(maps, model.feature).float()
        x = torch.from_numpy(self._along(features[0].numpy()))[None].float()
        return self._readout.answer(features, x)


def from_pretrained(folder: str | Path) -> Pretrained:
    """The model in a folder that `mdjpt export` wrote, on the CPU, in evaluation mode.

    Raises ValueError, one line that names the file: absent, damaged (checksum), of another format, weights of another
    architecture. Nothing in the folder is executed.
    """
    folder = Path(folder)
    sums = _json(folder / CHECKSUMS, _bytes(folder / CHECKSUMS))
    config = _json(folder / CONFIG, _checked(folder, CONFIG, sums))
    for name, kind in _NEEDED.items():
        value = config.get(name)
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise ValueError(f"{folder / CONFIG}: {name}: found {value!r}, expected a {kind.__name__}")
    if config["format"] != FORMAT:
        raise ValueError(f"{folder / CONFIG}: format: found {config['format']}, expected {FORMAT}: another version")
    if config["family"] not in _KINDS:
        raise ValueError(f"{folder / CONFIG}: family: found {config['family']!r}, expected {', '.join(_KINDS)}")
    make_spec, build = _KINDS[config["family"]]
    try:
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in config["spec"].items()}
        spec, weights = make_spec(**given), load(_checked(folder, WEIGHTS, sums))
        _require_shapes(spec, build, weights)
        encoder = build(spec)
        encoder.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: {CONFIG} and {WEIGHTS} do not belong together: {_line(error)}") from None
    modes: dict[str, Any] = config["modes"]
    try:
        tensors = load(_checked(folder, READOUT, sums)) if modes else {}
        heads = {mode: Readout.of(_below(tensors, mode), float(about["temperature"])) for mode, about in modes.items()}
        return Pretrained(config, encoder, heads)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: {CONFIG} and {READOUT} do not belong together: {_line(error)}") from None


def _require_shapes(spec: Any, build: Any, weights: dict[str, Tensor]) -> None:
    """Raises ValueError: other weights than the architecture has. Nothing is allocated: sizes in a file may be any."""
    if max(spec.depth, len(getattr(spec, "dilations", ()))) > len(weights):
        raise ValueError(f"more layers than the {len(weights)} weights there are")
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in build(spec).state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            raise ValueError(f"{name}: found {found.get(name)}, expected {wanted.get(name)}")


def _checked(folder: Path, name: str, sums: dict[str, Any]) -> bytes:
    content = _bytes(folder / name)
    found = hashlib.sha256(content).hexdigest()
    if found != sums.get(name):
        raise ValueError(f"{folder / name}: SHA-256: found {found}, expected {sums.get(name)}: damaged or changed")
    return content


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        raise ValueError(f"{path}: found no regular file, expected a file of a model folder")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST[path.name] + 1)
    except OSError as error:
        raise ValueError(f"{path}: found {error.strerror}, expected a file of a model folder") from None
    if len(content) > LARGEST[path.name]:
        raise ValueError(f"{path}: found more than {LARGEST[path.name]} bytes")
    return content


def _json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: JSON: {_line(error)}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: JSON: found a {type(tree).__name__}, expected an object")
    return tree


def _below(tensors: dict[str, Tensor], mode: str) -> dict[str, Tensor]:
    """Tensors of one mode, each in memory of its own: in the file's they lie as it happens, and sums depend on that."""
    head = f"{mode}."
    return {name.removeprefix(head): value.clone() for name, value in tensors.items() if name.startswith(head)}


def _parts(count: int, batch: int) -> list[slice]:
    return [slice(begin, begin + batch) for begin in range(0, count, batch)]


def _part(windows: Windows, at: slice) -> Tensor:
    part = windows[at]  # a view: of overlapping windows too, so only one batch of them is ever written out
    return part.float().contiguous() if isinstance(part, Tensor) else torch.from_numpy(np.array(part, np.float32))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
