"""The picture of the first page: what `mdjpt demo` finds, without smoothing, from the table that it leaves.

python docs/figures/demo_result.py                               # from docs/figures/demo_scores.csv
python docs/figures/demo_result.py --run demo/runs/demo-<identity>   # from a run; renews the CSV too
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

HERE = Path(__file__).resolve().parent
SCORES, PICTURE = HERE / "demo_scores.csv", HERE.parent / "pictures" / "demo-result.png"
READOUTS = {
    "few_shot": "few-shot",
    "zero_shot": "zero-shot",
    "few_shot_stimuli": "few-shot,\nnew stimuli",
    "zero_shot_stimuli": "zero-shot,\nnew stimuli",
}
METHODS = {
    "trained": ("pre-trained", "#0072b2"),
    "random": ("untrained encoder", "#8a94a0"),
    "de": ("band entropy (DE)", "#e69f00"),
}


def scores(run: Path) -> pd.DataFrame:
    """Accuracies without smoothing of a finished demo."""
    (path,) = run.glob("evaluation-*/sim-c/scores.parquet")
    table = pd.read_parquet(path)
    return table[(table["lds"] == "off") & (table["metric"] == "accuracy")].round(4)


def draw(table: pd.DataFrame) -> None:
    """Points with 95 % intervals over subjects, and chance."""
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(figsize=(7.6, 3.7), dpi=160)
    for place, (method, (name, colour)) in enumerate(METHODS.items()):
        rows = table[table["method"] == method].set_index("readout").loc[list(READOUTS)]
        at = [position + 0.27 * (place - 1) for position in range(len(READOUTS))]
        value = 100 * rows["value"]
        reach = [value - 100 * rows["low"], 100 * rows["high"] - value]
        axes.errorbar(at, value, reach, fmt="o", color=colour, markersize=9, elinewidth=2.2, capsize=4, label=name)
        for x, y in zip(at, value, strict=True):
            axes.text(x + 0.06, y, f"{y:.0f}", va="center", fontsize=10, color="#1f2733")
    chance = 100 * float(table["chance"].iloc[0])
    axes.axhline(chance, color="#1f2733", linewidth=1, linestyle=(0, (4, 3)))
    axes.text(3.53, chance, "chance", va="center", fontsize=10, color="#1f2733")
    for edge in (0.5, 1.5, 2.5):
        axes.axvline(edge, color="#e1e6ec", linewidth=1)
    axes.set(ylabel="accuracy, %", ylim=(45, 92), xlim=(-0.5, 3.5))
    axes.set_xticks(range(len(READOUTS)), list(READOUTS.values()))
    axes.tick_params(axis="x", length=0)
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.14), fontsize=10)
    figure.tight_layout()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, facecolor="white", pil_kwargs={"optimize": True})


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a finished demo")
    run = parser.parse_args().run
    if run is not None:
        scores(run).to_csv(SCORES, index=False)
    draw(pd.read_csv(SCORES))


if __name__ == "__main__":
    main()
