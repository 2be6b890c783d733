"""`mdjpt <verb>`: every verb calls the function that its jobs/<verb>.py calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mdjpt_platform.errors import MdjptError

app = typer.Typer(
    name="mdjpt",
    help="Multi-dataset pre-training of emotional EEG.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
RunFile = Annotated[Path, typer.Argument(help="run file (YAML)", show_default=False)]
Override = Annotated[list[str] | None, typer.Option("--set", help="override a.b=c; repeatable", show_default=False)]


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="folder to write raw recordings into", show_default=False)],
    layout: Annotated[str, typer.Option(help="seed | faced | deap | bids")] = "faced",
    name: Annotated[str, typer.Option(help="name of the corpus")] = "sim-a",
    subjects: Annotated[int, typer.Option(min=1)] = 6,
    stimuli: Annotated[int, typer.Option(min=2, help="stimuli per session")] = 9,
    seconds: Annotated[float, typer.Option(min=1, help="seconds of a trial")] = 20.0,
    seed: Annotated[int, typer.Option()] = 0,
    permute: Annotated[bool, typer.Option(help="negative control: equal ids show different stimuli")] = False,
) -> None:
    """Write simulated raw recordings in a public corpus' layout, with the truth beside them."""
    from mdjpt_platform.verbs import simulate_corpus

    simulate_corpus(folder, layout, name, subjects, stimuli, seconds, seed, permute)


@app.command()
def corpora(
    layout: Annotated[str | None, typer.Argument(help="one layout in full", show_default=False)] = None,
    folder: Annotated[Path | None, typer.Argument(help="hold your copy against the facts", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--every", help="open every recording, not only the first")] = False,
) -> None:
    """The public corpora this platform reads: facts, targets, what the readers were tested on."""
    from mdjpt_platform import verbs

    raise typer.Exit(verbs.corpora(layout, folder, every))


@app.command()
def prepare(run_file: RunFile, override: Override = None) -> None:
    """Raw recordings -> store; finished work is never repeated."""
    from mdjpt_platform import verbs
    from mdjpt_platform.config import load

    raise typer.Exit(verbs.prepare(load(run_file, override or ())))


@app.command()
def pretrain(run_file: RunFile, override: Override = None) -> None:
    """Pre-train, or resume, or return the finished result."""
    from mdjpt_platform import verbs
    from mdjpt_platform.config import load

    raise typer.Exit(verbs.pretrain(load(run_file, override or ())))


@app.command()
def evaluate(run_file: RunFile, override: Override = None) -> None:
    """Scores on the target corpora beside the controls."""
    from mdjpt_platform import verbs
    from mdjpt_platform.config import load

    raise typer.Exit(verbs.evaluate(load(run_file, override or ())))


@app.command()
def report(run_file: RunFile, override: Override = None) -> None:
    """One self-contained HTML page of a run."""
    from mdjpt_platform import verbs
    from mdjpt_platform.config import load

    raise typer.Exit(verbs.report(load(run_file, override or ())))


@app.command()
def demo(
    run_file: Annotated[Path, typer.Argument(help="run file (YAML)")] = Path("jobs/runs/demo.yaml"),
    override: Override = None,
) -> None:
    """The whole path - simulate, prepare, pre-train, evaluate, report - in minutes."""
    from mdjpt_platform import verbs
    from mdjpt_platform.config import load

    raise typer.Exit(verbs.everything(load(run_file, override or ())))


@app.command()
def parity(
    prefix: Annotated[Path, typer.Argument(help="PREFIX of .ckpt, .vectors.safetensors, .json", show_default=False)],
    neighbours: Annotated[Path | None, typer.Option(help=".npy ranking [60, 60]", show_default=False)] = None,
) -> None:
    """Compare a checkpoint with reference vectors; exit 1 above 1e-4."""
    from mdjpt_platform.parity import parity as compare

    outcome = compare(prefix, neighbours)
    print(json.dumps(outcome))
    raise typer.Exit(0 if outcome["passed"] else 1)


@app.command()
def doctor() -> None:
    """Check this machine and say what to do."""
    from mdjpt_platform.doctor import examine

    raise typer.Exit(examine())


def main() -> None:
    """Entry point: an error a user can mend is one line and exit code 2."""
    try:
        app()
    except MdjptError as error:
        print("mdjpt:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
