"""The model folder on disk: put together beside its place and moved there whole, read through `mdjpt_model`."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from mdjpt_model.montage import UNIFIED
from mdjpt_model.pretrained import CHECKSUMS, CONFIG, READOUT, WEIGHTS, Pretrained, from_pretrained
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.store.write import new_draft

CARD, EXAMPLE = "README.md", "example.safetensors"
WINDOWS = 6


def write(folder: Path, model: Pretrained, card: str, more: Mapping[str, bytes] | None = None) -> None:
    """Write a new model folder, then load it and hold what it computes against `model`, to the last bit.

    Raises BadInput: the folder is there already; MdjptError: what was read back computes something else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(folder, "folder", "something there", "a new or empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = new_draft(folder.parent, folder.name)
    try:
        example = example_of(model)
        weights = {name: value.detach().cpu().contiguous() for name, value in model.encoder.state_dict().items()}
        tensors = {
            f"{mode}.{name}": value.contiguous().clone()
            for mode, readout in model.readouts.items()
            for name, value in readout.tensors().items()
        }
        files = {
            CONFIG: json.dumps(model.config, indent=1, allow_nan=False).encode(),
            WEIGHTS: save(weights), READOUT: save(tensors), EXAMPLE: save(example), CARD: card.encode(), **(more or {}),
        }  # fmt: skip
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        files[CHECKSUMS] = json.dumps(sums, indent=1).encode()
        for name, content in files.items():
            (draft / name).write_bytes(content)
        for name, value in example_of(load(draft), example["windows"]).items():
            if not torch.equal(value, example[name]):
                raise MdjptError(f"{folder}: {name}: what was read back computes something else; nothing was written")
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # moved away unless something failed


def load(folder: Path) -> Pretrained:
    """The model of a folder. Raises BadInput: absent, damaged, of another format or architecture."""
    try:
        return from_pretrained(folder)
    except ValueError as error:
        raise BadInput(folder, "model folder", error, "a whole one, as `mdjpt export` writes it") from None


def example_of(model: Pretrained, windows: Tensor | None = None) -> dict[str, Tensor]:
    """Made-up windows [6, 60, samples], no person's, and all that the model answers to them, by mode.

    By one thread: the same bits on the same kind of machine, whatever else it does.
    """
    if windows is None:
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(WINDOWS, len(UNIFIED), model.samples + 8, generator=random)
        windows = noise.unfold(2, 9, 1).mean(-1) * 3  # a moving mean: nearer to a spectrum of EEG than white noise
    found: dict[str, Any] = {"windows": windows.contiguous()}
    with _one_thread():
        for mode in model.modes or ("whole", "causal"):
            if mode not in model.readouts:
                found[f"{mode}.features"] = model.features(windows, UNIFIED, mode)
                continue
            answer = model.predict(windows, UNIFIED, mode)
            found |= {f"{mode}.{name}": value for name, value in vars(answer).items() if value is not None}
    return {name: value.contiguous().clone() for name, value in found.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
