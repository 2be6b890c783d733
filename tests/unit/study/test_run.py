"""A study without Ray: every cell once, failures kept with their reason, the ledger decides what is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from conftest import tiny_tree
from mdjpt_platform.errors import BadInput, MdjptError
from mdjpt_platform.study import verbs
from mdjpt_platform.study.ledger import Ledger
from mdjpt_platform.study.run import Study, open_study, run_study, summary

EVALUATE = {"controls": [], "folds": 2, "stimulus_folds": 0, "bootstrap": 100, "probe": {"epochs": 1, "hidden": [4]}}


def write(folder: Path, store: Path, **tree: Any) -> Path:
    base = {**tiny_tree(store, folder / "runs"), "evaluate": EVALUATE}
    base["train"] = {"epochs": 1, "steps": 2, "episodes": 2}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    study = {"name": "s", "base": "base.yaml", "pool": {"corpora": ["one", "two"], "design": "all_subsets"}, **tree}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def finished(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write(tmp_path_factory.mktemp("study"), tiny_store, splits=[1, 2])
    run_study(open_study(path))
    return path


def test_every_cell_is_done_and_pre_trainings_are_shared(finished: Path) -> None:
    study = open_study(finished)
    assert len(study.cells) == 6 and not study.waiting()
    assert {entry.state for entry in study.entries.values()} == {"done"}
    trained = list((finished.parent / "runs").glob("s-*/model.safetensors"))
    assert len(trained) == 3, "two splits of one pre-training"
    assert "6 done, 0 failed, 0 to run" in summary(study)[0]


def test_the_table_is_tidy(finished: Path) -> None:
    table = open_study(finished).table()
    assert {"cell", "target", "subject", "seed", "split", "sources", "n_sources", "arm", "method", "value"} <= set(
        table
    )
    assert table["cell"].nunique() == 6 and set(table["sources"]) == {"one", "two", "one two"}
    scores = table[(table["metric"] == "accuracy") & (table["lds"] == "off")]
    keys = ["cell", "method", "readout", "subject"]
    assert not scores.duplicated(keys).any() and scores["value"].between(0, 1).all()
    pd.testing.assert_frame_equal(table, open_study(finished).table())


def test_a_finished_cell_is_not_run_again(finished: Path) -> None:
    study = open_study(finished)
    before = {path: path.stat().st_mtime_ns for path in study.ledger.cells.iterdir()}
    run_study(study)
    assert {path: path.stat().st_mtime_ns for path in study.ledger.cells.iterdir()} == before


def test_a_damaged_table_is_run_again(finished: Path) -> None:
    study = open_study(finished)
    before = study.table()
    victim = study.cells[0].key
    (study.ledger.cells / f"{victim}.parquet").write_bytes(b"half")
    assert [cell.key for cell in study.waiting()] == [victim]
    run_study(study)
    pd.testing.assert_frame_equal(study.table(), before)


def test_other_sources_are_refused_by_name(finished: Path) -> None:
    study = open_study(finished)
    with pytest.raises(BadInput, match=r"6 cells of sources .* expected sources 0123; another"):
        study.ledger.refuse_other_code(study.cells, "0123")


def test_a_failed_cell_keeps_its_reason_and_is_tried_again(tmp_path: Path, tiny_store: Path) -> None:
    arms = {"base": {}, "wide": {"window.seconds": 9.0}}
    path = write(tmp_path, tiny_store, arms=arms, pool={"corpora": ["one"], "design": "whole"})
    study = run_study(open_study(path))
    states = {entry.place["arm"]: entry for entry in study.entries.values()}
    assert states["base"].state == "done" and states["wide"].state == "failed"
    assert "expected at least the window's 1125" in states["wide"].reason and states["wide"].attempts == 1
    run_study(study)
    assert {e.place["arm"]: e.attempts for e in study.entries.values()} == {"base": 1, "wide": 2}
    assert any("failed (2 attempts)" in line and "arm wide" in line for line in summary(study))
    assert verbs.status(path) == 1


def test_a_missing_store_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = write(tmp_path, tmp_path / "nothing")
    with pytest.raises(BadInput, match="run `mdjpt prepare` first"):
        run_study(open_study(path))
    assert not (tmp_path / "runs").exists()


def test_verbs(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.dry(finished) == 0
    said = capsys.readouterr().out
    assert "6 cells in 3 pre-trainings" in said and "n_sources: 1 (4), 2 (2)" in said and "FLOP" in said
    assert verbs.run(finished) == 0 and verbs.status(finished) == 0
    assert verbs.table(finished, tmp_path / "t.csv") == 0 and verbs.table(finished, tmp_path / "t.parquet") == 0
    one, other = pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet")
    assert len(one) == len(other) and set(one) == set(other)
    with pytest.raises(BadInput, match=r"\.csv or \.parquet"):
        verbs.table(finished, tmp_path / "t.xlsx")


def test_run_and_report_end_with_a_page(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.run(finished) == 0
    page = Path(capsys.readouterr().out.rpartition("report: ")[2].strip())
    assert page == open_study(finished).ledger.folder / "report.html" and "All 6 cells are done." in page.read_text()
    assert "FLOP for all cells, by formula" in page.read_text() and " cores" in page.read_text()
    page.unlink()
    assert verbs.report(finished) == 0 and page.exists()


def test_the_page_is_kept_in_the_studys_run(finished: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert verbs.report(finished, [f"exec.mlflow={uri}"]) == 0
    from mdjpt_platform.tracking.mlflow import _client

    client = _client(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'mdjpt'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "s" and run.info.status == "FINISHED"
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["report.html"]


def test_entries_say_what_they_ran_on_and_what_guessing_gives(finished: Path) -> None:
    for entry in open_study(finished).entries.values():
        assert entry.hardware["cpu"] and int(entry.hardware["cores"]) >= 1 and "gpu" not in entry.hardware
        assert set(entry.chance) == {"few_shot", "zero_shot"}
        assert entry.chance["few_shot"]["balanced_accuracy"] == 0.5


def test_dry_run_writes_nothing(tmp_path: Path, tiny_store: Path) -> None:
    path = write(tmp_path, tiny_store)
    assert verbs.dry(path, flops_per_second=1e9, price=3.0) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.yaml", "study.yaml"]


def test_ledger_table_of_nothing(tmp_path: Path, finished: Path) -> None:
    study: Study = open_study(finished)
    assert Ledger(tmp_path).table(study.cells).empty


def test_two_processes_do_not_run_one_study(tmp_path: Path, tiny_store: Path) -> None:
    study = open_study(write(tmp_path, tiny_store))
    with study.ledger.alone(), pytest.raises(MdjptError, match="another process is running this study"):
        run_study(open_study(tmp_path / "study.yaml"))
    assert not study.entries


def test_a_page_made_while_the_study_runs_leaves_its_mlflow_run_alone(finished: Path, tmp_path: Path) -> None:
    """Closing the run would tell MLflow that the study is over."""
    database = tmp_path / "mlflow.db"
    with open_study(finished).ledger.alone():
        assert verbs.report(finished, [f"exec.mlflow=sqlite:///{database}"]) == 0
    assert not database.exists()
