"""Numbers of the benchmarks: the textbook model's against ours, floors' products, saved bytes, table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import floors
import memory
import naive
import published
import pytest
import run
import step
import table
import torch
from measure import compare, summary
from torch import Tensor

from exactness import largest_difference
from mdjpt_model import MdJPT, ModelSpec, forward_flops
from mdjpt_model.encoders import ENCODERS
from mdjpt_model.flops import STORED, activation_bytes
from mdjpt_model.montage import UNIFIED
from mdjpt_model.spec import VARIANTS

PUBLISHED = ModelSpec()
SMALL = ModelSpec(
    hidden=16, features=4, heads=2, spatial=6, kernels=2, stride=8, patch=16, dilations=(1, 3), attention_kernel=5
)
DEAD = ("gate", "leave", "attention", "position_out", "norm_out", "feed")


def gradients(model: torch.nn.Module, value: Any, corpora: list[Tensor]) -> tuple[float, dict[str, Tensor]]:
    found: Tensor = value(model, corpora)
    found.backward()
    return found.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def both(spec: ModelSpec, corpora: list[Tensor]) -> tuple[Any, Any, set[str]]:
    ours = step.build(spec)
    textbook, dead = naive.load(ours)
    expected, theirs = gradients(textbook, naive.loss, corpora)
    total, found = gradients(ours, step.loss, corpora)
    shaped = {name: theirs[name].reshape(gradient.shape) for name, gradient in found.items()}
    assert theirs.keys() == found.keys(), "everything alive has a gradient, in both, and nothing dead has one"
    return (total, found), (expected, shaped), dead


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("prenorm", [True, False])
def test_textbook_model_has_our_loss_and_gradients(double: None, variant: Any, prenorm: bool) -> None:
    spec = replace(SMALL, variant=variant, switches={"ffn_prenorm": prenorm})
    corpora = [torch.randn(windows, 60, 320) for windows in (4, 6, 4)]
    (total, found), (expected, theirs), dead = both(spec, corpora)
    assert total == pytest.approx(expected, rel=1e-10)
    assert largest_difference(found, theirs) < 1e-8
    alive = variant == "corrected"
    assert {name.split(".")[3] for name in dead} == (set() if alive and prenorm else {"norm_out"} if alive else {*DEAD})


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_textbook_model_has_our_loss_and_gradients_at_published_sizes(variant: Any) -> None:
    (total, found), (expected, theirs), _ = both(ModelSpec(variant=variant), [torch.randn(4, 60, 625)])
    assert total == pytest.approx(expected, rel=1e-5)
    whole = torch.cat([gradient.flatten() for gradient in theirs.values()])
    apart = torch.cat([found[name].flatten() for name in theirs]) - whole
    assert float(apart.norm() / whole.norm()) < 1e-4


def test_weight_without_a_place_is_named() -> None:
    model = MdJPT(SMALL)
    model.extra = torch.nn.Linear(1, 1)
    with pytest.raises(RuntimeError, match=r"no place for extra\.weight, extra\.bias"):
        naive.load(model)


@pytest.mark.parametrize("spec", [PUBLISHED, SMALL])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_floors_multiply_what_the_model_multiplies(spec: ModelSpec, variant: Any) -> None:
    spec = replace(spec, variant=variant)
    patches, tokens, listed = spec.patches(625), 60 * spec.patches(625), floors.products(spec)
    forward = sum(2 * p.batch * p.rows * p.inner * p.columns for p in listed)
    along = spec.depth * (3 if variant == "corrected" else 2) * tokens * 2 * 3 * spec.hidden
    pools = patches // spec.attention_kernel
    maps = 2 * spec.map_features * (patches * spec.attention_kernel + 3 * (2 * pools - 6))
    unified = 2 * 60 * 60 * 625
    assert forward + along + maps + unified == forward_flops(spec, 625), "all else are depthwise and fixed maps"
    assert sum(p.flops for p in listed) == 3 * forward - 2 * tokens * spec.patch * spec.hidden, "no slope of the data"


def test_floors_at_published_sizes() -> None:
    block = [*[(128, 128)] * 7, (128, 256), (256, 128)]
    linear = [(p.inner, p.columns) for p in floors.products(PUBLISHED) if p.shared and p.rows == 5_940]
    assert linear == [(32, 128), *block, *block, (128, 32)]


def test_floors_run_and_another_encoder_is_refused() -> None:
    floors.whole(SMALL, 2)()
    floors.pieces(SMALL, 2, torch.bfloat16)()
    with pytest.raises(ValueError, match="'transformer'"):
        floors.products(replace(SMALL, encoder="transformer"))


def test_saved_bytes_counts_storages_once_and_no_weights() -> None:
    weight = torch.nn.Linear(8, 8, bias=False)
    x = torch.randn(10, 8, requires_grad=True)

    def forward() -> Tensor:
        y = weight(x)  # keeps x and the weight
        z = y.view(80).sigmoid()  # keeps its result
        return (z * z.view(10, 8).flatten()).sum()  # keeps views of the same result

    assert memory.saved_bytes(weight, forward) == 4 * (80 + 80)


SPECS = [
    PUBLISHED,
    ModelSpec(hidden=24, features=6, depth=3, heads=3, spatial=10, kernels=2, dilations=(1, 2), attention_kernel=7),
    ModelSpec(patch=20, stride=10, attention_kernel=5, switches={"ffn_prenorm": False}),
    *(ModelSpec(encoder=name, hidden=24, features=6, depth=3, heads=3) for name in STORED if name != "mlla"),
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_bytes_by_formula_are_those_kept(spec: ModelSpec, variant: Any) -> None:
    spec = replace(spec, variant=variant)
    model, windows = MdJPT(spec), torch.randn(2, 60, 625)
    kept = memory.saved_bytes(model, lambda: model(windows, UNIFIED, torch.zeros(2, dtype=torch.long)).embedding)
    assert activation_bytes(spec, 625) == pytest.approx(kept / 2, rel=0.01)


def test_every_encoder_has_a_formula_of_bytes_and_another_is_named() -> None:
    assert STORED.keys() == ENCODERS.keys()
    assert activation_bytes(PUBLISHED, 625, itemsize=8) == 2 * activation_bytes(PUBLISHED, 625)
    with pytest.raises(ValueError, match="no formula for encoder 'mamba'; known: mlla, transformer"):
        activation_bytes(ModelSpec(encoder="mamba"), 625)


def test_recomputing_keeps_less_and_computes_the_same() -> None:
    corpora = [torch.randn(4, 60, 320)]
    stored, again = step.build(SMALL), step.build(SMALL, stored=0.0)
    kept = [memory.saved_bytes(model, lambda model=model: step.loss(model, corpora)) for model in (stored, again)]
    assert kept[1] < kept[0] / 2
    expected, found = (gradients(model, step.loss, corpora)[1] for model in (stored, again))
    assert largest_difference(found, expected) < 1e-5


def test_peak_sees_what_was_held() -> None:
    if not memory.STATUS.exists():
        pytest.skip("the peak is not split from what was before without /proc")
    size = 64 << 20
    above = memory.peak_above(lambda: torch.ones(size // 4))
    assert 0.95 * size < above < 1.5 * size
    assert memory.peak_above(lambda: None) < size / 8


def test_published_step_is_254_windows_and_gives_gradients() -> None:
    assert 2 * sum(published.TRIALS["published"].values()) == 254
    run_config = published.run_of("corrected", published.TRIALS["published"])
    assert run_config.model == ModelSpec() and run_config.sources == tuple(published.TRIALS["published"])
    for gigabytes, expected in ((float("inf"), 1.0), (0.0, 0.0)):
        share, work = published.step_of("released", gigabytes, {"seed": 2, "deap": 2})
        losses = work()
        assert share == expected and set(losses.contrast) == {"seed", "deap"} and losses.total > 0


def test_ratios_are_taken_round_by_round(capsys: pytest.CaptureFixture[str]) -> None:
    found = summary([1.0, 4.0, 9.0], {"floor": [1.0, 2.0, 3.0]})
    assert found == {"median_s": 4.0, "min_s": 1.0, "max_s": 9.0, "ratio_to_floor": 2.0}
    calls: list[str] = []
    line = compare("x", {n: lambda n=n: calls.append(n) for n in "abc"}, rounds=2, against=("b",), gflop=3.0, windows=6)
    assert calls == list("abc") * 3, "each once to warm up, then in turn"
    assert json.loads(capsys.readouterr().out) == line
    assert line["windows"] == 6 and line["gflop"] == 3.0 and line["rounds"] == 2
    for figure in line["figures"].values():
        assert figure["gflop_per_s"] == pytest.approx(3 / figure["median_s"])
    assert line["figures"]["a"]["ratio_to_a"] == line["figures"]["b"]["ratio_to_b"] == 1


LINES: list[table.Line] = [
    {"benchmark": "environment", "cores": "2"},
    {"benchmark": "step", "windows": 30, "figures": {
        "floor": {"median_s": 0.5, "min_s": 0.4, "max_s": 0.75, "ratio_to_floor": 1.0},
        "ours": {"median_s": 1.0, "min_s": 0.9, "max_s": 1.1, "ratio_to_floor": 2.04, "gflop_per_s": 12.345},
    }},
    {"benchmark": "memory", "saved": {"ours": 1.23456}, "why": "a|b"},
]  # fmt: skip


def test_table_of_known_lines() -> None:
    assert table.markdown(LINES) == "\n".join([
        "| benchmark | what | median | min - max | ratios, round by round |",
        "| --- | --- | --- | --- | --- |",
        "| step (windows 30) | floor | 500 ms | 400 ms - 750 ms |  |",
        "|  | ours | 1 s | 900 ms - 1.1 s | 2.04 x floor, gflop_per_s 12.35 |",
        "",
        "| benchmark | figures |",
        "| --- | --- |",
        "| environment | cores 2 |",
        "| memory | saved.ours 1.235, why a/b |",
    ])  # fmt: skip


def test_table_goes_between_the_marks_or_nowhere(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{table.BEGIN}\nold\n{table.END}\nbelow\n", encoding="utf-8")
    table.insert(page, "new")
    assert page.read_text(encoding="utf-8") == f"above\n{table.BEGIN}\nnew\n{table.END}\nbelow\n"
    page.write_text(f"{table.END} {table.BEGIN}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md: expected"):
        table.insert(page, "new")
    assert page.read_text(encoding="utf-8") == f"{table.END} {table.BEGIN}"


def test_every_benchmark_is_there_and_another_is_refused() -> None:
    assert [name for name in run.SMOKE if not (run.HERE / f"{name}.py").is_file()] == []
    assert run.chosen(None) == [*run.SMOKE] and run.chosen("memory,step") == ["memory", "step"]
    with pytest.raises(SystemExit, match="no benchmark 'stpe'; there are step"):
        run.chosen("stpe")


def test_failed_benchmark_is_a_line_and_a_status(capfd: pytest.CaptureFixture[str]) -> None:
    lines, status = run.run("step", ["--no-such-argument"])
    assert status == 2 and lines == [{"benchmark": "step", "failed": "exit status 2"}]
    assert "--no-such-argument" in capfd.readouterr().err
