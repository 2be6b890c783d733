"""`make bench`: every benchmark in a process of its own; JSON lines to the terminal and to a file, and their table.

python benchmarks/run.py [--smoke] [--only step,memory] [--out runs/benchmarks.jsonl] [--docs docs/performance.md]
python benchmarks/run.py --table runs/benchmarks.jsonl [--docs docs/performance.md]
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import table
import torch

from mdjpt_platform.code import git_state
from mdjpt_platform.hardware import hardware

HERE = Path(__file__).resolve().parent
SMOKE: dict[str, tuple[str, ...]] = {
    "step": ("--smoke",),
    "memory": ("--smoke",),
    "loader": (),
    "collective": ("--rounds", "1", "--corpora", "2"),
    "scaling": ("--rounds", "1"),
    "communication": ("--rounds", "2"),
    "startup": ("--runs", "1", "--only", "help"),
    "study_overhead": ("--cells", "2", "--nested", "0"),
}
"""Benchmarks in the order in which they run, and what makes each as small as it can be."""


def environment() -> table.Line:
    """What the figures were measured with."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "code": git_state() or "no checkout"}
    return {"benchmark": "environment", **hardware(False), **versions, "threads": torch.get_num_threads()}


def run(name: str, arguments: Sequence[str]) -> tuple[list[table.Line], int]:
    """Lines of one benchmark, as they come, and its exit status; what else it prints goes to the terminal."""
    command = [sys.executable, "-u", str(HERE / f"{name}.py"), *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            if text.startswith('{"benchmark"'):
                lines.append(json.loads(text))
    if process.returncode:
        lines.append({"benchmark": name, "failed": f"exit status {process.returncode}"})
        print(json.dumps(lines[-1]), flush=True)
    return lines, process.returncode


def chosen(only: str | None) -> list[str]:
    """Names in the order in which they run. Raises SystemExit: one that there is not."""
    names = list(SMOKE) if only is None else only.split(",")
    for name in names:
        if name not in SMOKE:
            raise SystemExit(f"--only: no benchmark {name!r}; there are {', '.join(SMOKE)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="everything at its smallest: the times mean nothing")
    parser.add_argument("--only", help="some benchmarks, comma separated")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks.jsonl"))
    parser.add_argument("--table", type=Path, help="run nothing: the table of a file written before")
    parser.add_argument("--docs", type=Path, help="a page that takes the table between its marks")
    arguments = parser.parse_args()
    failed = []
    if arguments.table:
        lines = table.read(arguments.table)
    else:
        names = chosen(arguments.only)
        lines = [environment()]
        print(json.dumps(lines[0]), flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", encoding="utf-8") as file:
            file.write(json.dumps(lines[0]) + "\n")
            for name in names:
                found, status = run(name, SMOKE[name] if arguments.smoke else ())
                failed += [name] if status else []
                file.writelines(json.dumps(line) + "\n" for line in found)
                file.flush()
                lines += found
    if arguments.docs:
        table.insert(arguments.docs, table.markdown(lines))
    elif arguments.table:
        print(table.markdown(lines))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
