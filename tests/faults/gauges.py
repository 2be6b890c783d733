"""What a long-lived driver and its Ray hold: memory by role, files, actors, placement groups, objects."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from faults.processes import below, content

MEGABYTE = 1e6
AGENTS = ("ashboard", "RuntimeEnvAgent", "log_monitor", "monitor.py", "client.server")
ROLES = ("driver", "raylet", "gcs", "dashboard", "actors", "idle", "launcher")


def role(process: psutil.Process) -> str:
    """What a process below the head is for, by its name and title (Ray 2.60 sets them)."""
    name, title = process.name(), " ".join(process.cmdline())
    if name.startswith("raylet"):
        return "raylet"
    if name.startswith("gcs_server"):
        return "gcs"
    if any(word in title for word in AGENTS):
        return "dashboard"
    if title.startswith("ray::") and "IDLE" not in title:
        return "actors"
    return "idle" if "ray::IDLE" in title or "default_worker.py" in title else "launcher"


def memory(head: int | None) -> dict[str, tuple[float, int]]:
    """MB that no other process shares (USS), and processes, by role: the driver and all below the head."""
    found = dict.fromkeys(ROLES, (0.0, 0))
    here = psutil.Process()
    for process in [here] if head is None else [here, psutil.Process(head), *below(head)]:
        with suppress(psutil.Error):  # it has just ended
            name = "driver" if process.pid == here.pid else role(process)
            size, count = found[name]
            found[name] = size + process.memory_full_info().uss / MEGABYTE, count + 1
    return found


def at_rest(patience: float = 20.0) -> dict[str, int]:
    """Actors that live, placement groups that are not removed and bytes in Ray's object store, once trainings have
    let go: what is still there after `patience` seconds is what they keep.
    """
    deadline = time.monotonic() + patience
    while True:
        found = _held()
        if time.monotonic() > deadline or (found["placement_groups"] == 0 and _training() == 0):
            return found
        time.sleep(0.25)


def _held() -> dict[str, int]:
    import ray
    from ray._private.internal_api import node_stats
    from ray.util.state import list_actors

    node = ray.nodes()[0]
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    groups = ray.util.placement_group_table()
    alive = list_actors(filters=[("state", "!=", "DEAD")], limit=10_000, raise_on_missing_output=False)
    return {
        "actors": len(alive),
        "placement_groups": sum(one["state"] != "REMOVED" for one in groups.values()),
        "object_store_bytes": int(stats.store_stats.object_store_bytes_used),
    }


def _training() -> int:
    """Actors of a training that has ended: Ray ends them a little after its result is there."""
    from ray.util.state import list_actors

    alive = list_actors(filters=[("state", "!=", "DEAD")], limit=10_000, raise_on_missing_output=False)
    names = ("TrainController", "RayTrainWorker", "SplitCoordinator", "PlacementGroupCleaner")
    return sum(any(word in one["class_name"] for word in names) for one in alive)


def handles() -> dict[str, int]:
    """Open files and threads of this process."""
    here = psutil.Process()
    return {"descriptors": here.num_fds(), "threads": here.num_threads()}


def files(work: Path, session: Path | None) -> dict[str, int]:
    """Files and bytes in the work folder, in what MLflow keeps of runs, in TMPDIR, and in Ray's session; Ray's and
    MLflow's records grow by nature and are counted apart.
    """
    tracked = [content(path) for path in (work / "runs").glob("ml*") if path.is_dir()]
    record = [path.stat().st_size for path in (work / "runs").glob("mlflow.db*")]
    count, size = content(work)
    found = {"work_files": count - sum(one[0] for one in tracked) - len(record),
             "mlflow_bytes": sum(one[1] for one in tracked) + sum(record),
             "temporary_files": content(Path(os.environ["TMPDIR"]))[0] if "TMPDIR" in os.environ else 0}  # fmt: skip
    if session is not None:
        (logs, logged), (count, size) = content(session / "logs"), content(session)
        found |= {"ray_files": count - logs, "ray_bytes": size - logged, "ray_log_bytes": logged}
    return found


class Sampler:
    """Memory by role every few seconds, for the figure and the peaks: what happens within a turn."""

    def __init__(self, head: int | None, pause: float = 5.0) -> None:
        self.head, self.pause, self.began = head, pause, time.monotonic()
        self.samples: list[tuple[float, dict[str, float]]] = []
        self._over = threading.Event()

    def _follow(self) -> None:
        while not self._over.is_set():
            with suppress(psutil.Error):
                sizes = {name: size for name, (size, _) in memory(self.head).items()}
                self.samples.append((time.monotonic() - self.began, sizes))
            self._over.wait(self.pause)

    @contextmanager
    def running(self) -> Iterator[Sampler]:
        thread = threading.Thread(target=self._follow, name="sampler", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()
