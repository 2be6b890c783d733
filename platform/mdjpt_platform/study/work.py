"""The cells of one pre-training, run here: train once, read out for every cell, enter each into the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import nn

from mdjpt_platform.code import sources
from mdjpt_platform.config import Config
from mdjpt_platform.errors import MdjptError, Preempted
from mdjpt_platform.evaluate.result import TargetResult
from mdjpt_platform.evaluate.run import evaluate_target
from mdjpt_platform.evaluate.windows import WindowStore
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.families import untrained
from mdjpt_platform.hardware import hardware
from mdjpt_platform.study.grid import Cell
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.track import track_cell
from mdjpt_platform.train.checkpoint import load_model
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import open_stores

EXPECTED = (MdjptError, OSError, RuntimeError, ValueError, ArithmeticError, LookupError)
"""What a cell may fail of without the study ending: bad numbers, a full disk, memory. Defects of ours end it."""


@dataclass(frozen=True)
class Group:
    """Cells that share a pre-training."""

    cells: tuple[Cell, ...]
    execution: ExecConfig
    study: str
    parent: str | None = None
    """MLflow run of the study."""


def run_group(group: Group, ledger: Ledger) -> int:
    """Run the cells that are not done; returns how many failed. A failure is entered with its reason."""
    code = sources()[1]
    entries = ledger.entries(group.cells)
    waiting = [cell for cell in group.cells if cell.key not in entries or entries[cell.key].state != "done"]
    if not waiting:
        return 0
    began = time.perf_counter()
    try:
        done = pretrain(_config(group, waiting[0]), parent_run_id=group.parent)
        share = (time.perf_counter() - began) / len(waiting)
    except Preempted:  # no failure of the cell: the same command goes on in the midst of it
        raise
    except EXPECTED as error:
        for cell in waiting:
            ledger.failed(cell, f"pre-training: {said(error)}", code=code)
        return len(waiting)
    failures = 0
    for cell in waiting:
        began = time.perf_counter()
        try:
            config = _config(group, cell)
            stores = open_stores(config, tuple(dict.fromkeys((*cell.run.targets, *cell.run.sources))), verify=False)
            result = _evaluated(cell, config, dict(stores.items()), done.folder)
        except EXPECTED as error:
            ledger.failed(cell, f"read-out: {said(error)}", code=code)
            failures += 1
            continue
        prints = {name: store.fingerprint for name, store in stores.items()}
        ledger.done(
            cell, result.subjects, code=code, seconds=share + time.perf_counter() - began, encoder=done.folder.name,
            stores=prints, chance=_chance(result.scores), hardware=hardware(config.exec.gpu),
        )  # fmt: skip
        track_cell(group.study, cell, config, ledger, result.subjects, done.identity, prints, group.parent)
    return failures


def _config(group: Group, cell: Cell) -> Config:
    return Config(run=cell.run.model_copy(update={"name": group.study}), exec=group.execution)


def _evaluated(cell: Cell, config: Config, stores: dict[str, WindowStore], folder: Path) -> TargetResult:
    """The encoder and its controls, read out on the cell's target."""
    device = "cuda" if config.exec.gpu else "cpu"
    models: dict[str, nn.Module | None] = {"trained": load_model(folder, cell.run.model).to(device)}
    for control in cell.run.evaluate.controls:
        models[control] = untrained(cell.run).to(device) if control == "random" else None
    (target,) = cell.run.targets
    sources = {name: stores[name] for name in cell.run.sources}
    return evaluate_target(models, stores[target], cell.run, target, sources, progress=False)


def _chance(scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What guessing gives, by read-out and metric; it is the same for every method and smoothing."""
    levels = scores.groupby(["readout", "metric"])["chance"].first().dropna()
    return {str(name): part.droplevel(0).to_dict() for name, part in levels.groupby(level=0)}


def said(error: Exception) -> str:
    """One line for the ledger."""
    return str(error) if isinstance(error, MdjptError) else f"{type(error).__name__}: {error}"
