"""A search: what it refuses, that its draws repeat, that it never reads a target, that measuring changes nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import tiny_tree
from mdjpt_platform.config import Config
from mdjpt_platform.errors import BadInput
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import load, parse
from mdjpt_platform.study import verbs
from mdjpt_platform.study.retrieval import EPISODES, NAME, retrieval
from mdjpt_platform.study.run import open_study
from mdjpt_platform.study.search import Tried, best, held_out, suggest, tidy
from mdjpt_platform.study.space import SearchConfig
from mdjpt_platform.study.trials import Search, history, open_search
from mdjpt_platform.tracking import read_jsonl
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.launch import pretrain
from mdjpt_platform.train.prepared import open_stores
from mdjpt_platform.train.process import METRICS

FIELDS = {"optim.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "contrast.temperature": {"values": [0.05, 0.1]}}


def write(folder: Path, store: Path, search: dict[str, Any] | None = None, engine: str = "ray", **tree: Any) -> Path:
    base = tiny_tree(store, folder / "runs")
    base["train"] = {"epochs": 4, "steps": 2, "episodes": 2}
    base["exec"] = {**base["exec"], "engine": engine}  # type: ignore[dict-item]
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    found = {"name": "h", "base": "base.yaml", "search": {"fields": FIELDS, "samples": 6, **(search or {})}, **tree}
    (folder / "study.yaml").write_text(yaml.safe_dump(found))
    return folder / "study.yaml"


def opened(*arguments: Any, **tree: Any) -> Search:
    return open_search(open_study(write(*arguments, **tree)))


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"pool": {"corpora": ["one", "two"], "design": "all_subsets"}}, "inside one design only, without pool"),
        ({"targets": ["three"]}, "without targets"),
        ({"arms": {"a": {}}, "seeds": [0, 1]}, "without arms, seeds"),
        ({"axes": {"optim.lr": [1, 2]}}, "without axes"),
        ({"search": {"fields": FIELDS, "metric": "accuracy"}}, "never looks at a target"),
        ({"search": {"fields": FIELDS, "metric": "score/three/mdjpt/zero_shot"}}, "never looks at a target"),
        ({"search": {"fields": FIELDS, "metric": "loss"}}, "'loss' itself changes with contrast.temperature"),
        (
            {"search": {"fields": {"sources": {"values": ["one"]}}}},
            "changes fields of affect, alignment, contrast, model, optim",
        ),
        ({"search": {"fields": {"train.steps": {"low": 1, "high": 9}}}}, "'train.steps': a search changes fields of"),
        ({"search": {"fields": {"optim.lr": {"low": 1, "high": 0.1}}}}, "low below high"),
        ({"search": {"fields": {"optim.lr": {"low": 0.0, "high": 0.1, "log": True}}}}, "above 0"),
        ({"search": {"fields": {"optim.lr": {"low": 1e-3, "high": 0.1, "values": [1]}}}}, "either low, high"),
        ({"search": {"fields": {"model.dilations": {"values": [[1, 3]]}}}}, "plain ones"),
        ({"search": {"fields": {"optim.rate": {"low": 1e-3, "high": 0.1}}}}, "one of: kind, lr, weight_decay"),
        ({"search": {"fields": {"optim.lr": {"low": -1.0, "high": 0.1}}}}, "greater than 0"),
        ({"search": {"fields": FIELDS, "grace": 4}}, "more than search.grace, 4"),
        ({"engine": "local"}, "engine ray and 1 worker"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, tiny_store: Path, tree: dict[str, Any], said: str) -> None:
    search = tree.pop("search", None)
    path = write(tmp_path, tiny_store, search, **tree)
    if search is not None:
        whole = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**whole, "search": search}))
    with pytest.raises(BadInput, match=said) as caught:
        open_search(open_study(path))
    assert "\n" not in str(caught.value)


def test_draws_repeat_and_follow_what_is_known() -> None:
    search = SearchConfig.model_validate({"fields": {"optim.lr": FIELDS["optim.lr"]}, "startup": 4})

    def walk(good: float) -> list[float]:
        known: list[Tried] = []
        for number in range(30):
            params = suggest(search, number, reversed(known), [one.params for one in known])
            value = -abs(math.log10(params["optim.lr"]) - good)
            known.append(Tried(number, "stopped" if number % 3 else "done", params, (value,)))
        return [one.params["optim.lr"] for one in known]

    low, high = walk(-3.5), walk(-1.5)
    assert low == walk(-3.5) and low[:4] == high[:4] and low[4:] != high[4:]
    assert all(1e-4 <= value <= 1e-1 for value in low) and len(set(low)) == 30
    middle = [sorted(math.log10(v) for v in values[15:])[7] for values in (low, high)]
    assert middle[0] < -2.8 and middle[1] > -2.2, "TPE goes where values are good"


def test_an_exhausted_space_ends() -> None:
    search = SearchConfig.model_validate({"fields": {"model.depth": {"low": 1, "high": 3}}})
    taken: list[dict[str, Any]] = []
    while (params := suggest(search, len(taken), (), taken)) is not None:
        taken.append(params)
    assert sorted(one["model.depth"] for one in taken) == [1, 2, 3]


def test_held_out_subjects_are_of_the_sources_and_never_trained_on(tmp_path: Path, tiny_store: Path) -> None:
    search = opened(tmp_path, tiny_store)
    kept, out = search.divided()
    assert set(kept) == set(out) == {"one", "two"}
    for name, count in (("one", 5), ("two", 4)):
        assert len(out[name]) == 2 and len(kept[name]) == count - 2 and not set(kept[name]) & set(out[name])
    assert search.divided() == (kept, out)
    run = search.trial(0, {"optim.lr": 0.01}, kept).run
    assert run.only == kept and run.targets == () and run.optim.lr == 0.01
    config = SearchConfig.model_validate({"fields": FIELDS})
    with pytest.raises(BadInput, match="subjects of one: found 3 with 2 held out"):
        held_out(config, run.model_copy(update={"sources": ("one",), "only": {}}), {"one": ["a", "b", "c"]})


def test_measuring_changes_no_weight_and_is_logged(tmp_path: Path, tiny_store: Path) -> None:
    tree = tiny_tree(tiny_store, tmp_path / "plain")
    config: Config = parse({**tree, "train": {"epochs": 2, "steps": 2, "episodes": 1}})
    stores = open_stores(config, config.run.sources, verify=False)
    measure = retrieval(config.run, {"one": ("00", "01"), "two": ("00", "03")}, stores, 0)
    reports: list[int] = []
    hooks = Context(report=lambda epoch, _: reports.append(epoch), measure=measure)
    plain = pretrain(config)
    other = config.model_copy(update={"exec": config.exec.model_copy(update={"runs": str(tmp_path / "measured")})})
    measured = pretrain(other, hooks=hooks)
    assert measured.trained.weights_sha256 == plain.trained.weights_sha256 and reports == [0, 1]
    records = read_jsonl(measured.folder / METRICS)
    assert [NAME in record for record in records] == [False, True, False, True]
    values = history(measured.folder / METRICS, "retrieval", NAME)
    assert values == [records[1][NAME], records[3][NAME]] and all(0 <= value <= 1 for value in values)
    losses = history(measured.folder / METRICS, "loss", NAME)
    assert losses[0] == pytest.approx((records[0]["loss/total"] + records[1]["loss/total"]) / 2)


def test_retrieval_looks_at_pairs_whatever_the_run_draws_by(tmp_path: Path, tiny_store: Path) -> None:
    tree = {**tiny_tree(tiny_store, tmp_path), "contrast": {"weight": 0}, "alignment": {"weight": 0}}
    small = {"family": "emod", "width": 8, "heads": 2, "depth": 1, "feedforward": 8, "hidden": 8, "embedding": 8}
    run = parse({**tree, "model": small, "affect": {"weight": 1}, "plan": {"kind": "regions"}}).run
    stores = open_stores(parse(tree), run.sources, verify=False)
    found = retrieval(run, {"one": ("00", "01"), "two": ("00", "03")}, stores, 0)(new_model(run))
    assert set(found) == {NAME, f"{NAME}.one", f"{NAME}.two"} and all(0 <= value <= 1 for value in found.values())


def test_retrieval_is_one_where_partners_are_equal_and_chance_where_they_are_noise(
    tmp_path: Path, tiny_store: Path
) -> None:
    config: Config = parse(tiny_tree(tiny_store, tmp_path))
    stores = open_stores(config, ("one",), verify=False)
    run = config.run.model_copy(update={"sources": ("one",)})
    measure = retrieval(run, {"one": ("00", "01")}, stores, 0)
    model = new_model(run)

    class Oracle(torch.nn.Module):
        def __init__(self, noise: float) -> None:
            super().__init__()
            self.weight, self.noise = torch.nn.Parameter(torch.zeros(1)), noise

        def forward(self, windows: torch.Tensor, channels: object, side: torch.Tensor) -> Any:
            half = len(windows) // 2
            unit = torch.eye(half, 64).repeat(2, 1) + self.noise * torch.randn(2 * half, 64)
            return type("Output", (), {"embedding": torch.nn.functional.normalize(unit, dim=1)})

    assert measure(Oracle(0.0)) == {NAME: 1.0, f"{NAME}.one": 1.0}
    torch.manual_seed(0)
    values = [measure(Oracle(1e6))[NAME] for _ in range(10)]
    assert sum(values) / 10 == pytest.approx(1 / 4, abs=0.06), f"four stimuli, {EPISODES} episodes"
    model.train()
    measure(model)
    assert model.training


def test_a_stopped_trial_is_never_the_best_and_the_table_says_why() -> None:
    search = SearchConfig.model_validate({"fields": FIELDS})
    tried = [
        Tried(1, "stopped", {"optim.lr": 0.1}, (0.9,)),
        Tried(0, "done", {"optim.lr": 0.2}, (0.1, 0.5)),
        Tried(2, "done", {"optim.lr": 0.3}, (0.6, 0.4)),
        Tried(3, "failed", {"optim.lr": 0.4}, (), "the loss is not finite"),
    ]
    found = best(search, tried)
    assert found is not None and found.number == 0
    table = tidy(search, tried)
    assert table["number"].tolist() == [0, 1, 2, 3] and table["epochs"].tolist() == [2, 1, 2, 0]
    assert "not comparable" in table["note"][1] and table["note"][0] == "" and "not finite" in table["note"][3]
    assert best(search, tried[:1]) is None


def test_dry_run_and_status_say_what_a_search_is(
    tmp_path: Path, tiny_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, tiny_store)
    assert verbs.dry(path) == 0 and verbs.status(path) == 0
    said = capsys.readouterr().out
    assert "6 trials by retrieval; 0 finished" in said and "rungs after epochs 1, 3 of 4" in said
    assert "no target is read" in said and "optim.lr: 0.0001 to 0.1, log" in said
    with pytest.raises(BadInput, match="a study of cells"):
        verbs.report(path)
    with pytest.raises(BadInput, match="none done"):
        verbs.table(path, tmp_path / "t.csv")
    assert not (tmp_path / "runs").exists()


def test_the_shipped_searches_open() -> None:
    for name in ("hpo", "hpo_smoke"):
        search = open_search(open_study(Path(__file__).parents[3] / "jobs" / "runs" / f"{name}.yaml"))
        assert load(Path(__file__).parents[3] / "jobs" / "runs" / search.study.config.base).run.targets
