"""What lies beside the page: the scores under pseudonyms, and the comparisons as a LaTeX table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mdjpt_platform.atomic import write_atomic
from mdjpt_platform.report.study.contrasts import Contrast
from mdjpt_platform.report.study.growth import Growth
from mdjpt_platform.report.study.headline import Headline
from mdjpt_platform.report.wording import (
    lds_name,
    metric_name,
    number,
    p_value,
    percent,
    plain,
    pseudonyms,
    readout_name,
)
from mdjpt_platform.spreadsheet import inert
from mdjpt_platform.study.interval import Estimate

CSV, PARQUET, LATEX = "scores.csv", "scores.parquet", "comparisons.tex"
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "−": r"$-$", "–": "--", "…": r"\ldots{}", "→": r"$\to$",
}  # fmt: skip


def anonymous(table: pd.DataFrame) -> pd.DataFrame:
    """The table with subjects as S01, S02, ... of each target, and columns of one type each."""
    found = table.copy()
    if "subject" in found:
        names = {str(target): pseudonyms(part["subject"]) for target, part in found.groupby("target")}
        found["subject"] = [
            names[str(t)][str(s)] for t, s in zip(found["target"], found["subject"], strict=True)
        ]  # fmt: skip
    for column in found:
        if found[column].dtype.kind == "O" and found[column].map(type).nunique() > 1:  # Parquet takes one type a column
            found[column] = found[column].astype(str)
    return found


def write_files(folder: Path, table: pd.DataFrame, latex: str) -> None:
    """Write all three. Raises OSError."""
    public = anonymous(table)
    buffer = io.BytesIO()
    public.to_parquet(buffer, index=False)
    write_atomic(folder / CSV, inert(public).to_csv(index=False).encode())
    write_atomic(folder / PARQUET, buffer.getvalue())
    write_atomic(folder / LATEX, latex.encode())


def escaped(text: object) -> str:
    """Text as LaTeX sets it: one line, nothing of it a command."""
    return "".join(ESCAPES.get(letter, letter) for letter in plain(text, 200))


def latex_of(title: str, head: Headline | None, contrasts: Sequence[Contrast], growths: Sequence[Growth]) -> str:
    """Tables with booktabs, one a contrast and setting; a comment where there are none."""
    parts = ["% \\usepackage{booktabs}, \\usepackage[T1]{fontenc}; differences in percentage points"]
    if head is not None:
        score = f"{metric_name(head.metric)}, {readout_name(head.readout)}, {lds_name(head.lds)}"
        tables = [_contrast(title, score, one) for one in contrasts if one.pairings]
        tables += [table for one in growths for table in _growth(title, score, one)]
        parts += tables or ["% no comparison could be made"]
    return "\n".join(parts) + "\n"


def _contrast(title: str, score: str, contrast: Contrast) -> str:
    rows = []
    for pairing in contrast.pairings:
        one = pairing.comparison
        rows.append([one.arm, *_estimate(one.difference), p_value(one.p), p_value(one.p_holm), number(one.dz)])
        rows[-1] += [number(one.rank_biserial)]
    caption = f"{title}: {contrast.factor} against {contrast.base} ({score}). p after Holm over the family."
    return _table(caption, ["", "difference", "95 % interval", "n", "p", "p, Holm", "dz", "rank-biserial"], rows)


def _growth(title: str, score: str, growth: Growth) -> list[str]:
    found = growth.scaling
    if found is None:
        return []
    name = f"{title}{', ' if growth.setting else ''}{growth.setting}"
    means = [[one.count, percent(one.mean.value), f"{percent(one.mean.low)} to {percent(one.mean.high)}", one.subsets]
             for one in found.means]  # fmt: skip
    out = [_table(f"{name}: score in % by number of corpora ({score}).",
                  ["corpora", "mean", "95 % interval", "combinations"], means)]  # fmt: skip
    gains = [[f"{one.before} → {(one.before or 0) + 1}", *_estimate(one.gain), p_value(one.p_holm)]
             for one in found.steps]  # fmt: skip
    if found.overall is not None:
        gains.append(["mean of one more", *_estimate(found.overall.gain), p_value(found.overall.p_holm)])
    if gains:
        header = ["step", "gain", "95 % interval", "n", "p, Holm"]
        out.append(_table(f"{name}: gain of one corpus more in points ({score}).", header, gains))
    if growth.values:
        rows = [[one.corpus, *_estimate(one.value), p_value(one.p_holm)] for one in growth.values]
        header = ["corpus", "value", "95 % interval", "n", "p, Holm"]
        out.append(_table(f"{name}: Shapley values of the corpora in points ({score}).", header, rows))
    return out


def _estimate(one: Estimate) -> list[str]:
    low, high = (number(100 * value, 1) for value in (one.low, one.high))
    return [number(100 * one.value, 1), f"{low} to {high}", str(one.subjects)]


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in (header, *rows)]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    columns = "l" + "r" * (len(header) - 1)
    start = [r"\begin{table}", r"\centering", rf"\caption{{{escaped(caption)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    return "\n".join([*start, *body, r"\end{tabular}", r"\end{table}"])
