"""What `mdjpt live` and `mdjpt predict --causal` do."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING, Any

from mdjpt_platform.errors import BadInput, printable

if TYPE_CHECKING:
    from mdjpt_platform.predict.online import Chunk, Line, Source
    from mdjpt_platform.predict.settings import Settings


def live(
    model_folder: Path,
    lsl: str | None,
    replay: Path | None,
    seconds: float | None,
    speed: float,
    out: Path | None,
    settings: Settings,
    patience: float,
) -> int:
    """Answers of a live stream, or of a file in its place, a JSON line each: to `out`, else to standard output.

    Ends with the stream, after `seconds` of signal, or when told to (Ctrl-C, SIGTERM); the last line says which.
    Raises BadInput: neither or both of the sources, no such stream, an unusable model, `out` is there already.
    """
    from rich.console import Console

    from mdjpt_platform.predict.verbs import check

    check(settings)
    if (lsl is None) == (replay is None):
        raise BadInput("command line", "source", "neither or both", "one of --lsl NAME and --replay FILE")
    for name, value in (("--speed", speed), ("--patience", patience), ("--seconds", seconds)):
        if value is not None and not value > 0:
            raise BadInput("command line", name, value, "more than zero")
    if out is not None and out.exists():
        raise BadInput(out, "--out", "a file", "a new one, since lines are added as they come")
    with told_to_end() as stop, _written(out) as write:
        with Console(stderr=True).status("loading"):
            from mdjpt_platform.export.folder import load
            from mdjpt_platform.predict.online import Online
            from mdjpt_platform.predict.recipe import recipe_of
            from mdjpt_platform.predict.replay import replayed

            model = load(model_folder)
            recipe = recipe_of(model, model_folder)
            rename = None if settings.rename is None else Path(settings.rename)
            if replay is not None:
                source = replayed(replay, rename, speed, stop, settings.tmin, settings.tmax)
            else:
                source = _listened(str(lsl), rename, patience, stop)
            online = Online(model, recipe, source, settings.step, settings.least_channels)
        write({**online.start(), "model": model_folder.resolve().name})
        why = ""
        for chunk in source.chunks:
            for line in online.feed(chunk):
                write(line)
            if seconds is not None and online.heard >= seconds:
                why = f"{seconds:g} s were asked for"
                break
        write(online.end("told to end" if stop.is_set() else why or source.ended()))
    return 0


def causal(model_folder: Path, files: Sequence[Path], out: Path, settings: Settings) -> int:
    """Files as a live stream of them would have been answered, as fast as it goes; 2 if one could not be used."""
    from rich.console import Console

    from mdjpt_platform.predict.verbs import check

    check(settings)
    with told_to_end() as stop, Console(stderr=True).status("loading") as status:
        from mdjpt_platform.predict.causal import predict_causally

        def tell(done: int, of: int, name: str) -> None:
            status.update(printable(f"{done + 1} of {of}: {name}").replace("[", "\\["))

        outcomes = predict_causally(model_folder, files, out, settings, tell, stop)
    for path, folder, why, end in outcomes:
        if why:
            print(printable(f"failed: {why}"))
            continue
        delay, took = end["delay"]["total_s"], end["compute_ms"]
        late = f"{delay:.3f} s behind by the filters, {took['p50']:.1f} ms to compute (95 %: {took['p95']:.1f} ms)"
        print(printable(f"{path}: {end['answers']} windows, {late}: {folder}"))
    failed = sum(bool(why) for _, _, why, _ in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} predicted")
    return 2 if failed else 0


@contextmanager
def told_to_end() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set; a second one ends the process as it always did."""
    stop, before = Event(), {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def heard(*_: Any) -> None:
        put_back()
        stop.set()

    for number in before:
        signal.signal(number, heard)
    try:
        yield stop
    finally:
        put_back()


def _listened(name: str, rename: Path | None, patience: float, stop: Event) -> Source:
    """A stream of the Lab Streaming Layer."""
    from mdjpt_platform.corpora.lsl import connect
    from mdjpt_platform.predict.online import Chunk, Source

    inlet = connect(name, rename)
    chunks: Iterator[Chunk] = (Chunk(*part) for part in inlet.chunks(stop, patience))
    return Source(
        f"stream {name}", name, inlet.sites, inlet.rate, chunks, inlet.now, inlet.left_out, lambda: inlet.ended
    )


@contextmanager
def _written(out: Path | None) -> Iterator[Callable[[Line], None]]:
    """Whole lines, each on its way before the next is begun; a reader that goes away ends it without a word."""
    file: IO[str] | None = None

    def write(line: Line) -> None:
        nonlocal file
        text = json.dumps(line, allow_nan=False)
        if out is None:
            print(text, flush=True)
            return
        if file is None:
            out.parent.mkdir(parents=True, exist_ok=True)
            file = out.open("x", buffering=1, encoding="utf-8")
        file.write(text + "\n")
        print(printable(_shown(line)), flush=True)

    try:
        yield write
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if file is not None:
            file.close()


def _shown(line: Line) -> str:
    """A line for people."""
    if line["line"] == "start":
        return f"{line['source']}: {line['coverage']} sites, {line['delay']['total_s']:.3f} s behind by the filters"
    if line["line"] == "answer":
        said = f"{line['label']} {line['probabilities'][line['label']]:.2f}  " if "label" in line else ""
        said += "  ".join(f"{name} {line[name]:+.2f}" for name in ("valence", "arousal") if name in line)
        return f"{line['stop']:10.2f} s  {said}  ({line['latency']['compute_ms']:.0f} ms)"
    if line["line"] == "end":
        return f"{line['answers']} answers in {line['seconds']:g} s; ended: {line['why']}"
    return f"{line['time']:10.2f} s  {line['line']}: {line.get('text') or line.get('why')}"
