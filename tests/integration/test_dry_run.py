"""A dry run says what the preparation then does, and leaves no trace."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console
from toy import config, toy, write_raw
from typer.testing import CliRunner

from mdjpt_platform.cli import app
from mdjpt_platform.config import CorpusConfig
from mdjpt_platform.corpora.base import Corpus, Recording
from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.dry import FINISHED, PREPARED, READ, TOUCHED, Outlook, dry_run
from mdjpt_platform.preprocess.outlook import lines, show
from mdjpt_platform.preprocess.run import prepare

LAYOUTS = {"toy": toy()}
SHORT = [{"step": name} for name in ("channels", "unit", "resample", "band_pass", "average_reference")]
LONGER = [*SHORT[:4], {"step": "notch", "params": {"frequency": 40.0}}, *SHORT[4:]]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


def trace(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def look(raw: Path, store: Path, corpora: dict[str, Corpus] = LAYOUTS, **options: object) -> Outlook:
    before = trace(store.parent)
    (found,) = dry_run(config(raw, store, **options), corpora=corpora)  # type: ignore[arg-type]
    assert trace(store.parent) == before
    return found


def test_before_during_and_after(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    first = look(raw, store, recipe=SHORT)
    assert first.ok and (first.recordings, first.subjects, first.missing, first.store) == (6, 3, (), "nothing")
    assert first.ahead == {READ: 6} and first.raw == sum(path.stat().st_size for path in raw.iterdir())
    assert first.seconds is None and "time: unknown" in lines([first])[0]
    report = prepare(config(raw, store, recipe=SHORT), corpora=LAYOUTS).corpora["toy"]
    held = sum(path.stat().st_size for path in Path(report.folder, "signals").iterdir())
    assert first.size == pytest.approx(held, rel=0.01)
    after = look(raw, store, recipe=SHORT)
    assert (after.ahead, after.seconds, after.size) == ({FINISHED: 6}, 0.0, held)
    assert after.store == f"6 recordings, {report.hours:.2f} h"
    changed = look(raw, store, recipe=LONGER)
    assert (changed.ahead, changed.store, changed.untimed) == ({"band_pass": 6}, "nothing", ("notch",))
    assert changed.seconds is not None and 0 < changed.seconds < sum(report.timings.values())
    (text,) = lines([changed])
    assert "6 resume after band_pass" in text and text.endswith("s and notch")
    scaled = look(raw, store, recipe=[*SHORT, {"step": "scale"}])
    assert scaled.ahead == {"band_pass": 6}  # the store being whole, results are no more; the kept states are


def test_touched_new_and_interrupted(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    (raw / "03-2.npy").rename(tmp_path / "later.npy")
    prepare(config(raw, store), corpora=LAYOUTS)
    os.utime(raw / "01-1.npy", ns=(1, 1))
    (tmp_path / "later.npy").rename(raw / "03-2.npy")
    found = look(raw, store)
    assert found.ahead == {FINISHED: 4, TOUCHED: 1, READ: 1} and found.seconds and not found.untimed
    text = lines([found])[0]
    assert "to do: 1 to read, 1 touched, to compare, 4 there already" in text and "5 recordings, 0.02 h" in text

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mdjpt_platform.preprocess.stages.assemble", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(config(raw, store, recipe=SHORT), corpora=LAYOUTS)
    assert look(raw, store, recipe=SHORT).ahead == {PREPARED: 6}


def test_what_is_missing_or_wrong(raw: Path, tmp_path: Path) -> None:
    for name in ("03-1", "03-2", "02-2"):
        (raw / f"{name}.npy").unlink()
    genuine = toy()

    def listed(name: str, options: CorpusConfig, place: Path) -> list[Recording]:
        found = genuine.recordings(name, options, place)
        return [replace(r, problem="no marks in it") if r.subject == "02" else r for r in found]

    found = look(raw, tmp_path / "store", {"toy": replace(genuine, recordings=listed)})
    assert not found.ok and found.problems == (("sub-02_ses-1", "no marks in it"),)
    assert found.missing == ("1 of 3 subjects", "subject 02: 1 of 2 sessions") and found.ahead == {READ: 2}
    assert lines([found])[1:] == [
        "toy: missing: 1 of 3 subjects; subject 02: 1 of 2 sessions",
        "toy: would leave out sub-02_ses-1: no marks in it",
    ]
    some = look(raw, tmp_path / "store", subjects=["01"])
    assert (some.recordings, some.missing) == (2, ())


def test_a_corpus_that_cannot_be_listed_does_not_hide_the_others(raw: Path, tmp_path: Path) -> None:
    found = look(tmp_path / "nowhere", tmp_path / "store")
    assert not found.ok and found.recordings == 0
    assert lines([found]) == [f"toy: cannot be prepared: {found.error}"] and "recordings: found none" in found.error
    with pytest.raises(BadInput, match="one of: toy"):
        dry_run(config(raw, tmp_path / "store"), only=["other"], corpora=LAYOUTS)


def test_a_damaged_store_and_unknown_lengths(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    report = prepare(config(raw, store, keep="none"), corpora=LAYOUTS).corpora["toy"]
    Path(report.folder, "signals", "sub-01_ses-1.npy").unlink()
    corpus = LAYOUTS["toy"]
    untold = replace(corpus.facts, shown=tuple(replace(one, seconds=None) for one in corpus.facts.shown))
    found = look(raw, store, {"toy": replace(corpus, facts=untold)})
    assert (found.store, found.ahead, found.size) == ("damaged", {READ: 6}, None)


def test_a_table_on_a_terminal(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = look(raw, tmp_path / "store")
    console = Console(force_terminal=True, width=160, color_system=None)
    with console.capture() as captured:
        show([found, replace(found, name="[b]ad", problems=(("sub-1", "[red]"),))], console)
    text = captured.get()
    assert "store will be" in text and "[b]ad" in text and "would leave out sub-1: [red]" in text
    show([found], Console(force_terminal=False))
    assert capsys.readouterr().out.startswith("toy: recordings: 6 of 3 subjects; raw: ")


def test_the_verb(tmp_path: Path) -> None:
    simulate = {"subjects": 2}
    facts = {"stimuli": [1, 2], "seconds": 5.0}
    tree = {
        "corpora": {
            "sim": {"layout": "deap", "facts": facts, "simulate": simulate},
            "real": {"layout": "seed"},
        },
        "sources": ["sim"],
        "exec": {"simulated": str(tmp_path / "sim"), "store": str(tmp_path / "store"), "engine": "local"},
    }
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(tree))
    done = CliRunner().invoke(app, ["prepare", str(run_file), "--dry-run"])
    assert done.exit_code == 2
    real, sim = done.output.splitlines()
    assert real.startswith("real: cannot be prepared: run file: exec.raw.real: found nothing")
    assert sim.startswith(f"sim: would be simulated first, into {tmp_path / 'sim'}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_states_are_judged_without_reading_them(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare(config(raw, store, recipe=SHORT), corpora=LAYOUTS)
    states = sorted((store / "toy" / ".work" / "steps").glob("*/pieces.npy"))
    for path in states:
        path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))  # only reading would tell
    assert look(raw, store, recipe=LONGER).ahead == {"band_pass": 6}
    for path in states:
        path.write_bytes(b"short")
    assert look(raw, store, recipe=LONGER).ahead == {READ: 6}
    assert json.loads((store / "toy" / ".work" / "inputs.json").read_bytes())
