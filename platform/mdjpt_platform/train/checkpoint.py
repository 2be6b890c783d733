"""Checkpoints: whole or absent, never executed, and recognised when damaged.

A file `step-00000120-<digest>.pt` holds model, optimiser, next step and random state; the digest in its name is that
of its bytes, so a torn or rotten file shows itself and the one before it is taken. Inside stands whose it is: a file of
another run is passed over as a damaged one is.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import Model
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.families import FAMILIES, bare
from mdjpt_platform.plain import json_of, read

_NAME = re.compile(r"step-(\d{8})-([0-9a-f]{16})\.pt")
LARGEST = 2**36
"""Bytes of a checkpoint; one of ours has 15 MB."""
FOREIGN = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError, OverflowError, MemoryError)
"""What torch raises on states that are not of this model."""
log = logging.getLogger(__name__)


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    spec: Model,
    keep: int,
    *,
    run: str = "",
    values: Sequence[dict[str, float]] = (),
) -> Path:
    """State before `step`; of all files the newest `keep` sound ones stay.

    `run`: identity of the run it belongs to. `values`: what the steps of an epoch that is not over have measured.
    Raises MdjptError: the disk is full or the folder cannot be written; the files before it are as they were.
    """
    buffer = io.BytesIO()
    state = {
        "format": 1,
        "spec": json.dumps(asdict(spec), sort_keys=True),
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
        "run": run,
        "values": list(values),
    }
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    _put(path, content, "the checkpoint")
    _prune(folder, keep)
    return path


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    spec: Model,
    *,
    run: str = "",
    values: list[dict[str, float]] | None = None,
) -> int:
    """Restore the newest sound checkpoint of `run` and return the step to go on with; 0 if there is none.

    What is passed over is logged with its reason. `values` receives those of `save_checkpoint`.
    Raises BadInput: the checkpoint is of another architecture, or holds more than numbers (nothing of it runs).
    """
    passed = False
    for path in _candidates(folder):
        try:
            content = read(path, LARGEST)
        except OSError as error:
            passed = _pass_over(path, f"cannot be read ({error.strerror})")
            continue
        if not _sound(path, content):
            passed = _pass_over(path, "is damaged", f": {len(content)} bytes that are not those it is named after")
            continue
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise BadInput(path, "content", "objects that a checkpoint never holds", "tensors and numbers") from None
        except FOREIGN as error:
            raise BadInput(path, "content", _line(error), "a checkpoint") from None
        try:
            owner = str(state.get("run") or "")  # older ones do not say
            if owner and run and owner != run:
                passed = _pass_over(path, f"is of run {owner}, this is {run}")
                continue
            expect_spec(path, json_of(state["spec"]), spec)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["random"])
            step, measured = int(state["step"]), [dict(one) for one in state.get("values", ())]
        except FOREIGN as error:
            raise BadInput(path, "content", _line(error), "the state of this model and optimiser") from None
        if values is not None:
            values[:] = measured
        if passed:
            log.warning("going on from %s, step %d", path, step)
        return step
    if passed:
        log.warning("%s: no sound checkpoint of this run is left; it starts at step 0", folder)
    return 0


def newest_checkpoint(folder: Path) -> str:
    """Name of the newest file, for messages; `none` without one."""
    return next((path.name for path in _candidates(folder)), "none")


def _pass_over(path: Path, why: str, seen: str = "") -> bool:
    log.warning("%s %s; going back to the checkpoint before it%s", path, why, seen)
    return True


def _sound(path: Path, content: bytes) -> bool:
    match = _NAME.fullmatch(path.name)
    return match is not None and hashlib.sha256(content).hexdigest()[:16] == match[2]


def _prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` sound checkpoints: a damaged one must not take a sound one's place."""
    for path in _candidates(folder):
        try:
            sound = keep > 0 and _sound(path, read(path, LARGEST))
        except OSError:
            sound = False
        if sound:
            keep -= 1
        else:
            path.unlink(missing_ok=True)


def _put(path: Path, content: bytes, what: str) -> None:
    """Write a file of a run. Raises MdjptError: it cannot be; nothing is left of it."""
    try:
        write_atomic(path, content)
    except OSError as error:
        why = error.strerror or str(error)
        raise MdjptError(
            f"{path}: {what} cannot be written: {why}; make room there and start the same command again: "
            "it goes on from the newest checkpoint"
        ) from None


def _candidates(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("step-*.pt") if _NAME.fullmatch(p.name)), reverse=True)


def expect_spec(where: Path, found: dict[str, Any], spec: Model) -> None:
    """Raises BadInput naming the first difference between two architectures."""
    expected = json.loads(json.dumps(asdict(spec)))
    for key in sorted({*found, *expected}):
        if found.get(key) != expected.get(key):
            raise BadInput(where, f"architecture: {key}", found.get(key), expected.get(key))


def save_model(folder: Path, model: nn.Module, spec: Model) -> str:
    """Weights and architecture for use elsewhere: model.safetensors, model.json. Returns the weights' SHA-256."""
    weights = save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()})
    digest = hashlib.sha256(weights).hexdigest()
    _put(folder / "model.safetensors", weights, "the trained model")
    text = json.dumps({"spec": asdict(spec), "weights_sha256": digest}, indent=1)
    _put(folder / "model.json", text.encode(), "the trained model")
    return digest


def load_model(folder: Path, spec: Model | None = None) -> nn.Module:
    """The model that `save_model` wrote. Raises BadInput: absent, damaged, of another architecture than `spec`."""
    path = folder / "model.json"
    try:
        described = json_of(read(path))
        weights = read(folder / "model.safetensors", LARGEST)
        digest, sizes = described["weights_sha256"], dict(described["spec"])
        found = TypeAdapter(Model).validate_python(sizes)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(folder, "trained model", error, "model.json and model.safetensors of a finished run") from None
    if hashlib.sha256(weights).hexdigest() != digest:
        raise BadInput(folder / "model.safetensors", "checksum", "other bytes", digest)
    if spec is not None:
        expect_spec(path, sizes, spec)
    model = FAMILIES[found.family].build(bare(found))  # its weights come from beside it
    try:
        model.load_state_dict(load(weights))
    except (SafetensorError, *FOREIGN) as error:
        raise BadInput(
            folder / "model.safetensors", "content", _line(error), "the weights of this architecture"
        ) from None
    return model.eval()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
