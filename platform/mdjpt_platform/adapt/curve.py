"""The learning curve: answers of every method for every draw and size, scores by subject, means with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from mdjpt_platform.adapt.given import View
from mdjpt_platform.adapt.settings import BASES, CONTROLS
from mdjpt_platform.adapt.split import Draw
from mdjpt_platform.config import EvaluateConfig
from mdjpt_platform.evaluate.metrics import bootstrap_interval, holm, paired_tests
from mdjpt_platform.evaluate.smoothing import Float
from mdjpt_platform.evaluate.task import Task
from mdjpt_platform.evaluate.windows import Rows
from mdjpt_platform.export.fit import Layers, fit_layers

Reader = Callable[[Draw, int, Rows, Rows], Float]
"""(draw, size, calibration windows, test windows [m]) -> probabilities [m, K]."""
UNITS = ("window", "trial")


def windows_of(task: Task, trials: pd.DataFrame, rows: Rows) -> Rows:
    """Windows of the given rows of the table of trials, ascending."""
    return np.flatnonzero(np.isin(task.table["row"].to_numpy(), trials["row"].to_numpy()[rows]))


def class_scores(layers: Layers, x: np.ndarray) -> Float:
    """[n, K] of one linear map."""
    ((weight, bias),) = layers
    return np.asarray(np.asarray(x, np.float64) @ weight.double().numpy().T + bias.double().numpy())


def linear_reader(view: View, task: Task, config: EvaluateConfig) -> Reader:
    """A logistic regression on the calibration windows, which it is standardised by."""

    def read(draw: Draw, size: int, known: Rows, test: Rows) -> Float:
        x, _ = view.given(sorted({str(name) for name in task.table["subject"].iloc[known]}))
        layers = fit_layers(x[known], task.codes[known], len(task.labels), config)
        return np.asarray(softmax(class_scores(layers, x[test]), axis=1))

    return read


def measured(
    reader: Reader, task: Task, trials: pd.DataFrame, draws: Sequence[Draw], sizes: Sequence[int] | None = None
) -> Iterator[dict[str, object]]:
    """Rows n, subject, draw, unit, value: balanced accuracy; one draw and size after the other.

    `sizes`: those of the draw, unless given; 0 is no calibration.
    """
    subjects, owner = task.table["subject"].to_numpy(), task.table["row"].to_numpy()
    nothing = np.empty(0, np.int64)
    for draw in draws:
        test = windows_of(task, trials, draw.test)
        for size in sizes or draw.calibration:
            known = windows_of(task, trials, draw.calibration[size]) if size else nothing
            answers = reader(draw, size, known, test)
            for subject in dict.fromkeys(subjects[test]):
                own = subjects[test] == subject
                values = _both(answers[own], task.codes[test[own]], owner[test[own]])
                for unit, value in zip(UNITS, values, strict=True):
                    yield {"n": size, "subject": str(subject), "draw": draw.number, "unit": unit, "value": value}


def balanced_accuracy(codes: Rows, answers: Rows) -> float:
    """Mean recall of the classes that occur."""
    return float(np.mean([(answers[codes == code] == code).mean() for code in np.unique(codes)]))


def _both(probabilities: Float, codes: Rows, owner: Rows) -> tuple[float, float]:
    """By window, and by trial: the mean of its windows' probabilities answers."""
    _, first, number, count = np.unique(owner, return_index=True, return_inverse=True, return_counts=True)
    total = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(total, number, probabilities)
    by_trial = (total / count[:, None]).argmax(1)
    return balanced_accuracy(codes, probabilities.argmax(1)), balanced_accuracy(codes[first], by_trial)


def by_subject(values: pd.DataFrame) -> pd.DataFrame:
    """method, n, unit, subject, draws, value: the mean over the draws in which the subject was tested."""
    grouped = values.groupby(["method", "n", "unit", "subject"], sort=False)["value"]
    return grouped.agg(draws="count", value="mean").reset_index()


def summary(subjects: pd.DataFrame, chance: float, config: EvaluateConfig) -> pd.DataFrame:
    """method, n, unit, value, low, high, subjects, chance: means with 95 % bootstrap intervals over subjects.

    One subject has no interval.
    """
    rows = []
    for (method, n, unit), part in subjects.groupby(["method", "n", "unit"], sort=False):
        each = part["value"].to_numpy(np.float64)
        low, high = bootstrap_interval(each, config.bootstrap, config.seed) if len(each) > 1 else (np.nan, np.nan)
        rows.append({"method": method, "n": int(n), "unit": unit, "value": float(each.mean()), "low": low, "high": high,
                     "subjects": len(each), "chance": chance})  # fmt: skip
    return pd.DataFrame(rows)


def compared(subjects: pd.DataFrame, config: EvaluateConfig) -> pd.DataFrame:
    """Paired tests over subjects of the adapted encoder against the controls, and against no adaptation.

    Columns method, control, n, unit, n_subjects, difference, effect, p_wilcoxon, p_permutation and both after Holm's
    correction over all comparisons of a unit.
    """
    sizes = sorted({int(n) for n in subjects["n"] if n})
    given = subjects[subjects["method"] == "given"]
    every = pd.concat([subjects[subjects["n"] > 0], *(given.assign(n=size) for size in sizes)], ignore_index=True)
    table = every.rename(columns={"unit": "metric", "n": "readout"}).assign(lds="off")
    found = []
    for method in BASES:
        controls = [name for name in ("given", *CONTROLS, "frozen") if name != method]
        controls = controls if method != "frozen" else [name for name in controls if name != "fine_tuned"]
        part = paired_tests(table, method, controls, config.seed)
        if len(part):
            found.append(part)
    if not found:
        return pd.DataFrame(columns=["method", "control", "n", "unit"])
    out = pd.concat(found, ignore_index=True).rename(columns={"readout": "n", "metric": "unit"}).drop(columns="lds")
    for kind in ("wilcoxon", "permutation"):
        out[f"{kind}_holm"] = out.groupby("unit")[f"p_{kind}"].transform(holm)
    return out


def curve_of(values: Mapping[str, list[dict[str, object]]]) -> pd.DataFrame:
    """One table of what every method measured."""
    return pd.concat([pd.DataFrame(rows).assign(method=method) for method, rows in values.items()], ignore_index=True)
