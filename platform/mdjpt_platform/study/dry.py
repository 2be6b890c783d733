"""What a study would do: cells, FLOPs by formula, time and cost by what is known."""

from __future__ import annotations

from collections import Counter

from mdjpt_platform.errors import BadInput
from mdjpt_platform.study.budget import training_flops
from mdjpt_platform.study.grid import groups
from mdjpt_platform.study.run import Study, sizes_of


def dry_run(study: Study, *, flops_per_second: float | None = None, price_per_hour: float | None = None) -> list[str]:
    """Lines for people. Reads manifests and indices of the stores, no signals; writes nothing.

    Time comes from finished cells of the study, else from `flops_per_second`, else it is unknown.
    """
    cells = study.cells
    shared = groups(cells)
    lines = [
        f"{study.config.name}: {len(cells)} cells in {len(shared)} pre-trainings, budget: equal {study.config.budget}"
    ]
    for axis in ("arm", "n_sources", "target", "seed", "split", *study.config.axes):
        counts = Counter(str(cell.place[axis]) for cell in cells)
        lines.append(f"  {axis}: " + ", ".join(f"{value} ({count})" for value, count in sorted(counts.items())))
    entries = study.entries
    done = [entry for entry in entries.values() if entry.state == "done"]
    lines.append(f"  {len(done)} done, {len(entries) - len(done)} failed, {len(cells) - len(entries)} not begun")
    try:
        sizes = sizes_of(study.base)
        work = {key: training_flops(some[0].run, sizes) for key, some in shared.items()}
    except BadInput as error:
        return [*lines, f"  FLOPs and time unknown, since a store is missing: {error}"]
    waiting = groups(study.waiting())
    left = sum(work[key] for key in waiting)
    lines.append(
        f"  pre-training: {sum(work.values()):.3g} FLOP in all, {left:.3g} to do (products and convolutions, formula)"
    )
    spent = sum(entry.seconds for entry in done)
    paid = sum(work[cell.encoder] for cell in cells if cell.key in {entry.key for entry in done})
    speed = paid / spent if spent else flops_per_second
    if speed:
        hours = left / speed / 3600
        cost = f", {hours * price_per_hour:.2f} at {price_per_hour:g} an hour" if price_per_hour is not None else ""
        source = f"{len(done)} finished cells" if spent else "the speed given"
        lines.append(
            f"  about {hours:.2f} process hours to do{cost} (from {source}; read-outs of unlike size shift it)"
        )
    elif waiting:
        lines.append("  time unknown: no cell has finished yet; run one, or state --flops-per-second")
    return lines
