"""How far a training is, on a terminal."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Watching:
    """A progress bar fed by the metrics log, so that it works wherever the training process is."""

    def __init__(self, path: Path, total: int, shown: bool) -> None:
        self.path, self.total, self.shown = path, total, shown
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> None:
        if self.shown:
            self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        if self.shown:
            self.thread.join()

    def _follow(self) -> None:
        columns = (TextColumn("pre-training"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"),
                   TextColumn("loss {task.fields[loss]}"), TimeRemainingColumn())  # fmt: skip
        with Progress(*columns) as progress:
            task = progress.add_task("steps", total=self.total, loss="-")
            while True:
                ended = self.done.wait(1.0)
                step, loss = _newest(self.path)
                progress.update(task, completed=step, loss=loss)
                if ended:
                    return


def _newest(path: Path) -> tuple[int, str]:
    """Steps done and loss by the log's last whole line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = [line for line in file.read().split(b"\n")[:-1] if line.startswith(b'{"step"')]
        last = json.loads(lines[-1])
        return last["step"] + 1, f"{last['values']['loss/total']:.3f}"
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 0, "-"
