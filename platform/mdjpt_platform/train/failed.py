"""A step that must not be: its loss is not finite, or above `exec.stop_above`. It is written down, and can be repeated.

    python -m mdjpt_platform.train.failed <folder of the run> [--store data/store]

`failed-step.json` says what was seen, `failed-step.safetensors` holds the weights before the step. Buffers that a
forward pass changes (batch normalisation of foreign networks) are those after it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.families import new_model
from mdjpt_platform.operations.logs import event
from mdjpt_platform.plain import YAML, object_of, read, read_text, yaml_of
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.checkpoint import FOREIGN, LARGEST, newest_checkpoint
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.step import EpisodeTerms, Losses, Stepper

REPORT, WEIGHTS = "failed-step.json", "failed-step.safetensors"


def refuse(
    losses: Losses, step: int, episodes: Sequence[Episode], learned: nn.Module, folder: Path, run: str, context: Context
) -> None:
    """Raises MdjptError, with both files written by rank 0: a loss that is not finite or above `context.stop_above`.

    `folder`: of the run; `run`: its identity; `learned`: what the checkpoints hold.
    """
    if math.isfinite(losses.total) and (context.stop_above is None or losses.total <= context.stop_above):
        return
    finite = math.isfinite(losses.total)
    what = f"{losses.total:.6g}, above exec.stop_above {context.stop_above:g}" if finite else "not finite"
    event("diverged" if finite else "non_finite", logging.ERROR, step=step, losses=asdict(losses))
    rows = "; ".join(
        f"slot {e.row.slot}: " + ", ".join(f"{n} rows {d.rows.tolist()}" for n, d in e.row.draws.items())
        for e in episodes
    )
    kept = ""
    if context.rank == 0:
        try:
            _write(losses, step, episodes, learned, folder, run)
            kept = f"; repeat it: python -m mdjpt_platform.train.failed {folder}"
        except OSError as error:
            kept = f"; {folder / REPORT} cannot be written: {error.strerror}"
    seen = {"total": losses.total, "joint": losses.joint, "contrast": losses.contrast}
    raise MdjptError(f"step {step}: the loss is {what}: {seen}{kept}; episodes: {rows}")


def refuse_weights(learned: nn.Module, step: int, folder: Path) -> None:
    """Raises MdjptError: an update has left weights that are not finite, which no checkpoint must hold."""
    ill = [name for name, value in learned.state_dict().items() if not bool(torch.isfinite(value).all())]
    if ill:
        raise MdjptError(
            f"step {step}: after the update {len(ill)} weights are not finite, {ill[0]} first; nothing of it is kept. "
            f"Lower optim.lr or set optim.clip, or look at what follows {newest_checkpoint(folder)} in {folder}"
        )


def _write(losses: Losses, step: int, episodes: Sequence[Episode], learned: nn.Module, folder: Path, run: str) -> None:
    weights = save({name: value.detach().cpu().contiguous() for name, value in learned.state_dict().items()})
    report = {
        "step": step,
        "run": run,
        "checkpoint": newest_checkpoint(folder / "checkpoints"),
        "losses": _plain(asdict(losses)),
        "episodes": [
            {
                "slot": episode.row.slot,
                "corpora": {
                    name: {
                        "rows": draw.rows.tolist(),
                        "starts": draw.starts.tolist(),
                        "signal_finite": bool(torch.isfinite(episode.windows[name]).all()),
                    }
                    for name, draw in episode.row.draws.items()
                },
            }
            for episode in episodes
        ],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    write_atomic(folder / WEIGHTS, weights)
    write_atomic(folder / REPORT, json.dumps(report, indent=1, allow_nan=False).encode())


def _plain(value: Any) -> Any:
    """Numbers as strict JSON has them: what is not finite becomes its name."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def repeat(folder: Path, store: str) -> tuple[Losses, dict[str, float]]:
    """The failed step once more, in this process: its losses, and the norm of each weight's gradient.

    Raises BadInput: no failed step there, other stores or rows than then, damaged weights.
    """
    report = object_of(folder / REPORT, ["step", "run", "losses", "episodes", "weights_sha256"])
    config = _config(folder, store)
    run = config.run
    prepared = prepare_plan(run, open_stores(config, run.sources, verify=True))
    step = int(report["step"])
    episodes = [assemble(row, prepared.stores, prepared.length) for row in prepared.plan.rows(step, step + 1)]
    for told in report["episodes"]:
        draws = episodes[told["slot"]].row.draws
        found = {name: [draw.rows.tolist(), draw.starts.tolist()] for name, draw in draws.items()}
        if found != {name: [one["rows"], one["starts"]] for name, one in told["corpora"].items()}:
            raise BadInput(folder / REPORT, "episodes", "other rows", "those of the plan: other stores than then?")
    terms = EpisodeTerms(new_model(run), run, prepared.channels, prepared.plan.windows)
    _restore(folder / WEIGHTS, str(report["weights_sha256"]), terms.learned)
    losses = Stepper(terms, run, Context()).backward(episodes)
    norms = {name: float(p.grad.norm()) for name, p in terms.learned.named_parameters() if p.grad is not None}
    return losses, norms


def _config(folder: Path, store: str) -> Config:
    try:
        tree = yaml_of(read_text(folder / "run.yaml", YAML))
    except (OSError, ValueError) as error:
        raise BadInput(folder / "run.yaml", "run", error, "the run file that a training leaves") from None
    if not isinstance(tree, dict):
        raise BadInput(folder / "run.yaml", "run", type(tree).__name__, "a mapping")
    return parse({**tree, "exec": {"store": store, "engine": "local", "mlflow": "off"}}, folder / "run.yaml")


def _restore(path: Path, digest: str, learned: nn.Module) -> None:
    try:
        content = read(path, LARGEST)
        if hashlib.sha256(content).hexdigest() != digest:
            raise BadInput(path, "checksum", "other bytes", digest)
        learned.load_state_dict(load(content))
    except (OSError, SafetensorError, *FOREIGN) as error:
        raise BadInput(path, "content", " ".join(str(error).split())[:300], "the weights of this step") from None


def main() -> int:
    """Print what the step gives now; 0 if it is as it was told, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m mdjpt_platform.train.failed", description="Repeat a failed step.")
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--store", default=ExecConfig().store, help="folder of prepared data (exec.store)")
    chosen = parser.parse_args()
    try:
        told = object_of(chosen.folder / REPORT, ["losses"])["losses"]
        losses, norms = repeat(chosen.folder, chosen.store)
    except MdjptError as error:
        print("mdjpt:", " ".join(str(error).split()), file=sys.stderr)
        return error.code
    found = _plain(asdict(losses))
    ill = [name for name, norm in norms.items() if not math.isfinite(norm)]
    print(json.dumps({"now": found, "then": told, "weights_without_finite_gradient": len(ill), "first": ill[:1]}))
    return 0 if found["total"] == told["total"] else 1


if __name__ == "__main__":
    sys.exit(main())
