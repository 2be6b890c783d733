"""Checkpoints: whole or absent, never executed, and recognised when damaged.

A file `step-00000120-<digest>.pt` holds model, optimiser, next step and random state; the digest in its name is that
of its bytes, so a torn or rotten file shows itself and the one before it is taken.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import re
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
from mdjpt_platform.errors import BadInput
from mdjpt_platform.families import FAMILIES, bare
from mdjpt_platform.plain import json_of, read

_NAME = re.compile(r"step-(\d{8})-([0-9a-f]{16})\.pt")
LARGEST = 2**36
"""Bytes of a checkpoint; one of ours has 15 MB."""
FOREIGN = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError, OverflowError, MemoryError)
"""What torch raises on states that are not of this model."""
log = logging.getLogger(__name__)


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, spec: Model, keep: int
) -> Path:
    """State before `step`; older files than the newest `keep` are removed."""
    buffer = io.BytesIO()
    state = {
        "format": 1,
        "spec": json.dumps(asdict(spec), sort_keys=True),
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
    }
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    write_atomic(path, content)
    for old in _candidates(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, spec: Model) -> int:
    """Restore the newest undamaged checkpoint and return the step to go on with; 0 if there is none.

    Raises BadInput: the checkpoint is of another architecture, or holds more than numbers (nothing of it runs).
    """
    for path in _candidates(folder):
        try:
            content = read(path, LARGEST)
        except OSError as error:
            log.warning("%s cannot be read (%s); going back to the checkpoint before it", path, error.strerror)
            continue
        match = _NAME.fullmatch(path.name)
        assert match is not None
        if hashlib.sha256(content).hexdigest()[:16] != match[2]:
            log.warning("%s is damaged; going back to the checkpoint before it", path)
            continue
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise BadInput(path, "content", "objects that a checkpoint never holds", "tensors and numbers") from None
        except FOREIGN as error:
            raise BadInput(path, "content", _line(error), "a checkpoint") from None
        try:
            expect_spec(path, json_of(state["spec"]), spec)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["random"])
            return int(state["step"])
        except FOREIGN as error:
            raise BadInput(path, "content", _line(error), "the state of this model and optimiser") from None
    return 0


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
    write_atomic(folder / "model.safetensors", weights)
    text = json.dumps({"spec": asdict(spec), "weights_sha256": digest}, indent=1)
    write_atomic(folder / "model.json", text.encode())
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
