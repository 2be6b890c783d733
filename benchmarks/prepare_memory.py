"""Memory and throughput of `mdjpt prepare` as a corpus grows: memory must not, and two workers should be twice as fast.

Writes recordings (BrainVision in BIDS, int16: 74 MB each for 10 minutes of 62 channels at 1000 Hz), prepares 4, 16 and
64 of them in one process and through Ray with one worker and two, and samples the memory of the whole process tree four
times a second. A JSON line a run, then the ratios: peak memory to that of the fewest recordings (target: within 15 %),
recordings a second of several workers to those of one.

`peak_mb` sums the proportional set sizes (memory that n processes share counts 1/n in each), so Ray's object store
counts once; `peak_own_mb` leaves out mapped files, which the system drops when memory is short. Ray's own processes are
part of the tree: `worker_mb`, the largest single worker, is what one recording costs. Needs Linux.

    python benchmarks/prepare_memory.py [--recordings 4 16 64] [--seconds 600] [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mdjpt_platform.corpora.seed import FILE_CHANNELS

RECIPE = ("channels", "unit", "resample", "band_pass", "bad_channels", "average_reference", "scale")
PARAMETERS = {"resample": {"rate": 125.0}, "band_pass": {"low": 0.5, "high": 47.0}}
TARGET = 0.15
RESOLUTION = 0.1
"""Microvolts in a unit of the files."""


def write_recordings(folder: Path, count: int, seconds: int, rate: int, channels: int) -> None:
    """Subjects 001, 002, ... of a data set in BIDS; two trials each, and no two recordings alike."""
    random, samples = np.random.default_rng(0), seconds * rate
    # a slow walk that returns: power falls with frequency, as in EEG, and numbers stay far inside int16
    noise = random.standard_normal((samples + 10 * rate, channels), dtype=np.float32)
    for position in range(1, len(noise)):
        noise[position] += 0.98 * noise[position - 1]
    noise *= 200 / noise.std()
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "bench", "BIDSVersion": "1.10.0"}))
    for number in range(1, count + 1):
        start = int(random.integers(10 * rate))
        own = random.permutation(channels)  # every subject has the noise at another place of the head
        values = np.rint(noise[start : start + samples, own] * random.uniform(0.8, 1.2)).astype("<i2")
        stem = folder / f"sub-{number:03d}" / "eeg" / f"sub-{number:03d}_task-film"
        stem.parent.mkdir(parents=True)
        values.tofile(f"{stem}_eeg.eeg")
        for ending, text in side_files(stem.name, seconds, rate, channels).items():
            Path(f"{stem}_{ending}").write_text(text)


def side_files(name: str, seconds: int, rate: int, channels: int) -> dict[str, str]:
    """Header, markers and BIDS tables of one recording."""
    listed = "\n".join(f"Ch{k}={n},,{RESOLUTION},µV" for k, n in enumerate(FILE_CHANNELS[:channels], 1))
    half = seconds / 2
    return {
        "eeg.vhdr": "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={name}_eeg.eeg\nMarkerFile={name}_eeg.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={channels}\nSamplingInterval={1e6 / rate:g}\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        f"[Channel Infos]\n{listed}\n",
        "eeg.vmrk": "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={name}_eeg.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0,20260101000000000000\n",
        "eeg.json": json.dumps({"TaskName": "film", "RecordingDuration": seconds, "SamplingFrequency": rate}),
        "events.tsv": f"onset\tduration\ttrial_type\tstimulus\n0\t{half}\tjoy\t1\n{half}\t{half}\tsadness\t2\n",
    }


def run_file(folder: Path, count: int, engine: str, workers: int, store: Path) -> Path:
    """A run over the first `count` subjects."""
    subjects = [f"{number:03d}" for number in range(1, count + 1)]
    tree = {
        "corpora": {"bench": {"layout": "bids", "subjects": subjects}},
        "sources": ["bench"],
        "recipe": [{"step": step, "params": PARAMETERS.get(step, {})} for step in RECIPE],
        "exec": {"raw": {"bench": str(folder / "raw")}, "store": str(store), "engine": engine, "cpus": workers,
                 "progress": False},
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@dataclass
class Tree:
    """The processes that come from one, and the largest sums seen. Once a member, always a member: Ray's processes
    may outlive the one that began them."""

    root: int
    members: set[tuple[int, str]] = field(default_factory=set)
    """(process id, start time): ids are used again."""
    peak: float = 0.0
    own: float = 0.0
    worker: float = 0.0
    samples: int = 0

    def sample(self) -> None:
        total = private = 0.0
        for pid in self._alive():
            try:
                sizes = memory(pid)
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
            except (OSError, ValueError):
                continue  # it ended
            total += sizes["Pss"]
            private += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
            if pid == self.root or title.startswith(b"ray::"):
                self.worker = max(self.worker, sizes["Pss"])
        self.peak, self.own, self.samples = max(self.peak, total), max(self.own, private), self.samples + 1

    def _alive(self) -> list[int]:
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                # the name in parentheses may hold spaces; then state, parent, ..., start time as the 22nd field
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(name)] = (int(fields[1]), fields[19])
        self.members = {(pid, start) for pid, start in self.members if found.get(pid, (0, ""))[1] == start}
        inside = {self.root} | {pid for pid, _ in self.members}
        grown = True
        while grown:
            more = {pid for pid, (parent, _) in found.items() if parent in inside} - inside
            inside, grown = inside | more, bool(more)
        self.members = {(pid, found[pid][1]) for pid in inside if pid in found}
        return [pid for pid, _ in self.members]


def memory(pid: int) -> dict[str, float]:
    """Megabytes by the names of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines)}


def prepare(run: Path, interval: float) -> tuple[Tree, float, float | None]:
    """Run `mdjpt prepare`: (memory, seconds of the command, seconds that it says the corpus took)."""
    command = [str(Path(sys.executable).with_name("mdjpt")), "prepare", str(run)]
    # one thread a process, as Ray gives its workers: engines are compared at equal cores
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        tree, stop = Tree(process.pid), threading.Event()

        def watch() -> None:
            while not stop.wait(interval):
                tree.sample()

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - begin
        stop.set()
        watcher.join()
        out.seek(0)
        text = out.read()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{text}")
    said = re.search(r", ([\d.]+) s -> ", text)
    return tree, seconds, float(said[1]) if said else None


def measured(folder: Path, count: int, engine: str, workers: int, interval: float) -> dict[str, Any]:
    """One line of the benchmark; the store is removed again."""
    store = folder / "store"
    tree, seconds, inside = prepare(run_file(folder, count, engine, workers, store), interval)
    shutil.rmtree(store)
    line = {
        "figure": "prepare_memory",
        "recordings": count,
        "engine": engine,
        "workers": workers,
        "peak_mb": round(tree.peak),
        "peak_own_mb": round(tree.own),
        "worker_mb": round(tree.worker),
        "seconds": round(seconds, 1),
        "preparing_s": inside,
        "recordings_per_s": round(count / (inside or seconds), 4),
        "samples": tree.samples,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(line), flush=True)
    return line


def ratios(lines: list[dict[str, Any]]) -> None:
    """Print what becomes of memory with the recordings, and of throughput with the workers."""
    kinds = dict.fromkeys((line["engine"], line["workers"]) for line in lines)
    for engine, workers in kinds:
        mine = [line for line in lines if (line["engine"], line["workers"]) == (engine, workers)]
        first = min(mine, key=lambda line: line["recordings"])
        for name in ("peak_mb", "peak_own_mb", "worker_mb"):
            grown = {line["recordings"]: round(line[name] / first[name], 3) for line in mine}
            line = {"figure": f"prepare_memory/{name}", "engine": engine, "workers": workers}
            line |= {f"ratio_to_{first['recordings']}": grown, "target": f"<= {1 + TARGET}"}
            print(json.dumps(line | {"held": max(grown.values()) <= 1 + TARGET}))
    speed = {
        (line["workers"], line["recordings"]): line["recordings_per_s"] for line in lines if line["engine"] == "ray"
    }
    for workers in sorted({workers for workers, _ in speed} - {1}):
        gain = {n: round(speed[w, n] / speed[1, n], 3) for w, n in speed if w == workers and (1, n) in speed}
        if gain:
            print(json.dumps({"figure": "prepare_memory/throughput", "workers": f"{workers} : 1", "ratio": gain}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--seconds", type=int, default=600, help="length of a recording")
    parser.add_argument("--rate", type=int, default=1000, help="samples a second")
    parser.add_argument("--channels", type=int, default=len(FILE_CHANNELS), help="at most 62")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="CPUs of Ray; none: no run with Ray")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between samples of the memory")
    parser.add_argument("--dir", type=Path, help="where a folder for raw data and stores is made, and removed again")
    arguments = parser.parse_args()
    if not 1 <= arguments.channels <= len(FILE_CHANNELS):
        parser.error(f"--channels: 1 to {len(FILE_CHANNELS)}")
    kinds = [("local", 1), *(("ray", workers) for workers in arguments.workers)]
    with tempfile.TemporaryDirectory(prefix="mdjpt-prepare-memory-", dir=arguments.dir) as name:
        folder = Path(name)
        size = (max(arguments.recordings), arguments.seconds, arguments.rate, arguments.channels)
        write_recordings(folder / "raw", *size)
        ratios([measured(folder, n, *kind, arguments.interval) for kind in kinds for n in arguments.recordings])


if __name__ == "__main__":
    main()
