"""(R) Files -> a folder of results each, through Ray Data: one file a task, on whatever nodes there are.

A task is `predict_file`, so what is finished is not done again and the results are those of one process. A task whose
node or process dies is done again: a file that ends its process every time is a failed file, no more.
Model, recordings and results lie on storage that all nodes see.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mdjpt_platform.errors import BadInput, MdjptError, full_disk, is_full
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.export.folder import load
from mdjpt_platform.predict.one import Outcome, predict_file
from mdjpt_platform.predict.recipe import recipe_of
from mdjpt_platform.predict.run import folders_of, recordings_in, write_overall
from mdjpt_platform.predict.settings import Settings
from mdjpt_platform.predict.write import jsonable

TIMES = 3
"""That a task is begun whose process dies; Ray Data begins it without end."""


def predict_on_ray(
    model: Path,
    given: Iterable[Path],
    out: Path,
    settings: Settings,
    tell: Callable[[int, int, str], None],
    execution: ExecConfig,
) -> list[Outcome]:
    """What `predict_all` does, on the Ray cluster of `execution`, or on a private Ray.

    `tell(done, of, file)` hears of each when it is through.
    Raises BadInput: the model cannot be used, nothing to predict, OUT is a file; MdjptError: no cluster, a full disk.
    """
    paths = recordings_in(given)
    if not paths:
        raise BadInput("command line", "files", "none", "one or more recordings, or folders of them")
    if out.exists() and not out.is_dir():
        raise BadInput(out, "--out", "a file", "a folder")
    recipe_of(load(model), model)  # an unusable model is said before Ray starts
    from mdjpt_platform.runtime import connect

    connect(execution)
    places = list(folders_of(paths, out).items())
    # tasks have working folders of their own
    if settings.rename is not None:
        settings = replace(settings, rename=str(Path(settings.rename).resolve()))
    where = str(model.resolve())

    def work(position: int) -> dict[str, Any]:
        path, folder = places[position]
        try:
            outcome = predict_file(str(path.absolute()), where, str(folder.absolute()), settings)
        except Exception as error:  # whatever one file does, the others are done
            if isinstance(error, OSError) and is_full(error):
                return {"full": full_disk(error)}
            reason = " ".join(f"{path}: {type(error).__name__}: {error}".split())
            outcome = Outcome(str(path), str(folder), "failed", reason)
        return dict(jsonable(asdict(outcome)))

    found: dict[int, Outcome] = {}
    for position, answer in each(work, len(places)):
        if "full" in answer:
            raise MdjptError(answer["full"])
        path, folder = places[position]
        if "died" in answer:
            reason = f"{path}: its process ended {TIMES} times without a result, most likely for want of memory"
            answer = {"state": "failed", "reason": reason}
        found[position] = Outcome(**{**answer, "file": str(path), "folder": str(folder)})
        tell(len(found) - 1, len(places), path.name)
    outcomes = [found[number] for number in range(len(places))]
    write_overall(out, outcomes)
    return outcomes


class Begun:
    """How often each task was begun, kept outside the processes that may die of it."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()

    def again(self, position: int) -> int:
        """Count one more."""
        self.times[position] += 1
        return self.times[position]


def each(work: Callable[[int], dict[str, Any]], count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """`work` of 0 .. count - 1, one a task, in any order; `{"died": True}` for one whose process ended every time."""
    import ray
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        begun: Any = ray.remote(num_cpus=0)(Begun).remote()
        rows = ray.data.from_items([{"position": number} for number in range(count)], override_num_blocks=count)

        def one(row: dict[str, Any]) -> dict[str, Any]:
            position = row["position"]
            died = ray.get(begun.again.remote(position)) > TIMES
            return {"position": position, "answer": json.dumps({"died": True} if died else work(position))}

        for row in rows.map(one, num_cpus=1).iter_rows():
            yield int(row["position"]), json.loads(row["answer"])
    finally:
        context.enable_progress_bars = bars
