"""Signals held on the training device: the same episodes as cut from the memory map, and refused where too large."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdjpt_platform.config import Config, Positives
from mdjpt_platform.data import resident
from mdjpt_platform.data.ahead import CPU
from mdjpt_platform.data.episode import Episode, assemble
from mdjpt_platform.data.local import prefetch
from mdjpt_platform.data.plan import Row
from mdjpt_platform.data.resident import free_bytes, gather, gathered, hold
from mdjpt_platform.errors import BadInput
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import Prepared, open_stores, prepare_plan


@pytest.fixture
def prepared(tiny: Config) -> Prepared:
    return prepare_plan(tiny.run, open_stores(tiny, tiny.run.sources, verify=False))


def changed(config: Config, **execution: Any) -> Config:
    return config.model_copy(update={"exec": config.exec.model_copy(update=execution)})


def assert_equal(found: Episode, expected: Episode) -> None:
    assert (found.row.step, found.row.slot) == (expected.row.step, expected.row.slot)
    assert found.windows.keys() == expected.windows.keys()
    for name, windows in expected.windows.items():
        assert torch.equal(found.windows[name].cpu(), windows.cpu())
        assert found.windows[name].stride() == windows.stride(), "or the same operation may round otherwise"
        assert torch.equal(found.labels[name].cpu(), expected.labels[name].cpu())
        both = found.affect[name].cpu().numpy(), expected.affect[name].cpu().numpy()
        assert np.array_equal(*both, equal_nan=True)


@pytest.mark.parametrize("positives", ["aligned", "same_stimulus", "shuffled"])
def test_gathered_episodes_are_those_cut(prepared: Prepared, positives: Positives) -> None:
    plan = replace(prepared.plan, positives=positives)
    held = hold(prepared.stores, CPU)
    found = list(gathered(plan.rows(0, 6), held, prepared.length))
    assert len(found) == 24
    for episode, row in zip(found, plan.rows(0, 6), strict=True):
        assert_equal(episode, assemble(row, prepared.stores, prepared.length))


def test_last_window_of_the_last_trial(prepared: Prepared) -> None:
    """Its end is that of the whole memory."""
    store, length = prepared.stores["one"], prepared.length["one"]
    draw, last = prepared.plan.row(0, 0).draws["one"], len(store) - 1
    end = len(store.signal(last)) - length
    draw = replace(draw, a=np.full_like(draw.a, last), start_a=np.full_like(draw.start_a, end))
    found = hold(prepared.stores, CPU)["one"].windows(draw, length)
    assert torch.equal(found[0], torch.from_numpy(store.signal(last)[end:].copy()))


@pytest.mark.parametrize("start", [-1, 700 - 320 + 1])
def test_window_outside_its_trial_is_named(prepared: Prepared, start: int) -> None:
    """The memory goes on with the next trial, so nothing else would notice."""
    row = prepared.plan.row(0, 0)
    outside = Row(0, 0, {n: replace(d, start_a=np.full_like(d.start_a, start)) for n, d in row.draws.items()})
    said = rf"window \[{start}, {start + 320}\) outside trial {row.draws['one'].a[0]} of 700 samples"
    with pytest.raises(ValueError, match=said):
        gather(outside, hold(prepared.stores, CPU), prepared.length)
    with pytest.raises(ValueError, match=said):
        assemble(outside, prepared.stores, prepared.length)


def test_signals_that_do_not_fit_are_refused(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 4 * 700 * (20 * 10 + 16 * 7)
    config = changed(tiny, resident=True)
    monkeypatch.setattr(resident, "free_bytes", lambda device: needed - 1)
    said = rf"exec\.resident: found {needed:,} bytes of signals, {needed - 1:,} free on cpu, expected signals that fit"
    with pytest.raises(BadInput, match=said):
        pretrain(config)
    monkeypatch.setattr(resident, "free_bytes", lambda device: needed)
    hold(open_stores(tiny, tiny.run.sources, verify=False), CPU)


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux tells what is available in /proc/meminfo")
def test_free_memory_is_that_of_the_machine() -> None:
    import psutil

    assert 0.5 < free_bytes(CPU) / psutil.virtual_memory().available < 2


def test_resident_run_has_the_same_weights(tiny: Config, tmp_path: Path) -> None:
    train = tiny.run.train.model_copy(update={"epochs": 1, "steps": 2, "episodes": 2})
    tiny = tiny.model_copy(update={"run": tiny.run.model_copy(update={"train": train})})
    found = pretrain(changed(tiny, resident=True, runs=str(tmp_path / "resident")))
    expected = pretrain(changed(tiny, runs=str(tmp_path / "local")))
    assert found.fresh and found.identity == expected.identity
    assert found.trained.weights_sha256 == expected.trained.weights_sha256


@pytest.mark.gpu
@pytest.mark.parametrize("way", ["resident", "ring"])
def test_episodes_on_a_gpu_are_those_cut(prepared: Prepared, way: str) -> None:
    """All are kept while the ring goes round many times, with work queued before them: none may be overwritten."""
    device = torch.device("cuda", torch.cuda.current_device())
    rows = list(prepared.plan.rows(0, 25))
    busy = torch.ones(4096, 4096, device=device)
    if way == "resident":
        episodes = gathered(rows, hold(prepared.stores, device), prepared.length)
    else:
        episodes = prefetch(rows, prepared.stores, prepared.length, prepared.plan.windows, device=device)
    found = []
    for episode in episodes:
        busy = (busy @ busy).clamp(0, 1)
        found.append((episode, {name: windows + 0 for name, windows in episode.windows.items()}))
    for (episode, used), row in zip(found, rows, strict=True):
        expected = assemble(row, prepared.stores, prepared.length)
        assert all(windows.device == device for windows in episode.windows.values())
        assert_equal(episode, expected)
        assert all(torch.equal(used[name].cpu(), windows) for name, windows in expected.windows.items())
