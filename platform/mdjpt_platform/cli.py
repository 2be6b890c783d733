"""`mdjpt <verb>`: every verb calls the function that its jobs/<verb>.py calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from mdjpt_platform.errors import BadInput, MdjptError, full_disk, is_full

try:
    import typer
except ModuleNotFoundError:  # the plain package loads model folders and has no commands
    sys.exit("mdjpt: the commands need the platform: pip install 'mdjpt[platform]'")

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
def prepare(
    run_file: RunFile,
    override: Override = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="what would be done, size and time; do nothing")] = False,
) -> None:
    """Raw recordings -> store; finished work is never repeated."""
    from mdjpt_platform import verbs
    from mdjpt_platform.runfile import load

    verb = verbs.prepare_dry if dry_run else verbs.prepare
    raise typer.Exit(verb(load(run_file, override or ())))


@app.command()
def quality(
    run_file: RunFile,
    override: Override = None,
    names: Annotated[bool, typer.Option("--names", help="subjects by name instead of S01, S02, ...")] = False,
) -> None:
    """One self-contained HTML page a prepared corpus: what a careful person would look at before training on it."""
    from mdjpt_platform import verbs
    from mdjpt_platform.runfile import load

    raise typer.Exit(verbs.quality(load(run_file, override or ()), names))


@app.command()
def pretrain(run_file: RunFile, override: Override = None) -> None:
    """Pre-train, or resume, or return the finished result."""
    from mdjpt_platform import verbs
    from mdjpt_platform.runfile import load

    raise typer.Exit(verbs.pretrain(load(run_file, override or ())))


@app.command()
def evaluate(run_file: RunFile, override: Override = None) -> None:
    """Scores on the target corpora beside the controls."""
    from mdjpt_platform import verbs
    from mdjpt_platform.runfile import load

    raise typer.Exit(verbs.evaluate(load(run_file, override or ())))


@app.command()
def report(run_file: RunFile, override: Override = None) -> None:
    """One self-contained HTML page of a run."""
    from mdjpt_platform import verbs
    from mdjpt_platform.runfile import load

    raise typer.Exit(verbs.report(load(run_file, override or ())))


@app.command()
def demo(
    run_file: Annotated[Path, typer.Argument(help="run file (YAML)")] = Path("jobs/runs/demo.yaml"),
    override: Override = None,
) -> None:
    """The whole path - simulate, prepare, pre-train, evaluate, report - in minutes."""
    from mdjpt_platform import verbs
    from mdjpt_platform.runfile import load

    raise typer.Exit(verbs.everything(load(run_file, override or ())))


study_app = typer.Typer(help="Studies: grids of runs.", no_args_is_help=True)
app.add_typer(study_app, name="study")
StudyFile = Annotated[Path, typer.Argument(help="study file (YAML)", show_default=False)]


@study_app.command("run")
def study_run(
    study_file: StudyFile,
    override: Override = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="cells, FLOPs, time and cost; run nothing")] = False,
    flops_per_second: Annotated[float | None, typer.Option(help="speed for the dry run", show_default=False)] = None,
    price: Annotated[float | None, typer.Option(help="cost of a process hour", show_default=False)] = None,
    mixed_code: Annotated[bool, typer.Option("--mixed-code", help="go on where other sources began")] = False,
) -> None:
    """Run every cell that is not done; the same command resumes."""
    from mdjpt_platform.study import verbs

    if dry_run:
        raise typer.Exit(verbs.dry(study_file, override or (), flops_per_second, price))
    raise typer.Exit(verbs.run(study_file, override or (), mixed_code))


@study_app.command("resume")
def study_resume(study_file: StudyFile, override: Override = None) -> None:
    """The same as run."""
    from mdjpt_platform.study import verbs

    raise typer.Exit(verbs.run(study_file, override or ()))


@study_app.command("status")
def study_status(study_file: StudyFile, override: Override = None) -> None:
    """How far it has come and what failed."""
    from mdjpt_platform.study import verbs

    raise typer.Exit(verbs.status(study_file, override or ()))


@study_app.command("report")
def study_report(study_file: StudyFile, override: Override = None) -> None:
    """The page of what is finished so far, with tables beside it; `run` ends with the same."""
    from mdjpt_platform.study import verbs

    raise typer.Exit(verbs.report(study_file, override or ()))


@study_app.command("replay")
def study_replay(study_file: StudyFile, override: Override = None) -> None:
    """Send MLflow what it missed while it was away; numbers are always in the logs on disk."""
    from mdjpt_platform.study import verbs

    raise typer.Exit(verbs.replay(study_file, override or ()))


@study_app.command("table")
def study_table(
    study_file: StudyFile,
    out: Annotated[Path, typer.Argument(help="CSV or Parquet to write", show_default=False)],
    override: Override = None,
) -> None:
    """Scores of the finished cells by subject, one tidy table."""
    from mdjpt_platform.study import verbs

    raise typer.Exit(verbs.table(study_file, out, override or ()))


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="folder of results (exec.runs)")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of tables")] = False,
) -> None:
    """How far the runs and studies in a folder are. Reads only, and quickly."""
    from mdjpt_platform.operations import verbs

    raise typer.Exit(verbs.status(folder, as_json))


@app.command()
def reproduce(
    run: Annotated[Path, typer.Argument(help="folder of a finished run", show_default=False)],
    into: Annotated[Path, typer.Option(help="new folder to train into", show_default=False)],
    override: Annotated[
        list[str] | None, typer.Option("--set", help="exec.a=b alone; repeatable", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of a table")] = False,
) -> None:
    """Do a finished run again from its own folder and compare; exit 0 if every number is equal, else 1."""
    from mdjpt_platform.operations import verbs

    raise typer.Exit(verbs.reproduce(run, into, override or (), as_json))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="folder of a finished run", show_default=False)],
    out: Annotated[Path, typer.Argument(help="new folder for the model", show_default=False)],
    on: Annotated[
        list[str] | None, typer.Option(help="corpus that the read-outs are fitted to; repeatable", show_default=False)
    ] = None,
    bare: Annotated[bool, typer.Option("--bare", help="the encoder alone, without read-outs")] = False,
    program: Annotated[bool, typer.Option("--program", help="a torch.export program too: program.pt2")] = False,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="exec.a=b alone; repeatable", show_default=False)
    ] = None,
) -> None:
    """A finished run as a folder that `mdjpt_model.from_pretrained` loads without this platform."""
    from mdjpt_platform.export import verbs

    raise typer.Exit(verbs.export(run, out, () if bare else on, override or (), program))


@app.command()
def register(
    model: Annotated[Path, typer.Argument(help="model folder, as `export` writes it", show_default=False)],
    name: Annotated[str | None, typer.Option(help="in the registry; the folder's", show_default=False)] = None,
    uri: Annotated[str | None, typer.Option(help="MLflow's address; SQLite inside runs/", show_default=False)] = None,
) -> None:
    """A model folder into MLflow's registry, for `mlflow models serve`; what is there already is not added again."""
    from mdjpt_platform.tracking import verbs

    raise typer.Exit(verbs.register(model, name, uri))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="model folder, as `export` writes it", show_default=False)],
    files: Annotated[list[Path], typer.Argument(help="recordings, or folders of them", show_default=False)],
    out: Annotated[Path, typer.Option(help="folder for the results, one below it a file")] = Path("predictions"),
    step: Annotated[
        float | None, typer.Option(help="seconds between windows; the model's own", show_default=False)
    ] = None,
    tmin: Annotated[float, typer.Option(help="begin here, seconds into the file")] = 0.0,
    tmax: Annotated[float | None, typer.Option(help="end here, seconds into the file", show_default=False)] = None,
    rename: Annotated[
        Path | None, typer.Option(help="CSV with the columns name, rename: 10-05 names of channels", show_default=False)
    ] = None,
    least_channels: Annotated[int, typer.Option(help="sites of the model that a recording must have")] = 4,
    causal: Annotated[bool, typer.Option("--causal", help="no future sample in any answer, as `live`")] = False,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="one process, or Ray: a task a file")] = "local",
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; else a private Ray")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs of a private Ray; all if absent")] = None,
) -> None:
    """What a model says of anybody's recordings: tables, annotations, a page each; exit 2 if one could not be used."""
    from mdjpt_platform.execution import ExecConfig
    from mdjpt_platform.predict.live import causal as predict_causally
    from mdjpt_platform.predict.settings import Settings
    from mdjpt_platform.predict.verbs import predict as predict_files

    table = None if rename is None else str(rename)
    settings = Settings(step, tmin, tmax, table, least_channels)
    if engine == "ray":
        if causal:
            raise BadInput("command line", "--engine", engine, "local, together with --causal")
        raise typer.Exit(predict_files(model, files, out, settings, ExecConfig(address=address, cpus=cpus)))
    verb = predict_causally if causal else predict_files
    raise typer.Exit(verb(model, files, out, settings))


@app.command()
def live(
    model: Annotated[Path, typer.Argument(help="model folder, as `export` writes it", show_default=False)],
    lsl: Annotated[str | None, typer.Option(help="name of a Lab Streaming Layer stream", show_default=False)] = None,
    replay: Annotated[Path | None, typer.Option(help="a recording in its place", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(help="of signal; then end", show_default=False)] = None,
    speed: Annotated[float, typer.Option(help="of the replay; 1: as it was recorded")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="new file for the lines; else they are printed")] = None,
    step: Annotated[float | None, typer.Option(help="seconds from window to window", show_default=False)] = None,
    rename: Annotated[
        Path | None, typer.Option(help="CSV with the columns name, rename: 10-05 names of channels", show_default=False)
    ] = None,
    least_channels: Annotated[int, typer.Option(help="sites of the model that there must be")] = 4,
    patience: Annotated[float, typer.Option(help="seconds of silence after which a stream has ended")] = 10.0,
) -> None:
    """Answers while the signal comes in, no future sample in any: one JSON line a window, until told to end."""
    from mdjpt_platform.predict.live import live as answer_live
    from mdjpt_platform.predict.settings import Settings

    settings = Settings(step, rename=None if rename is None else str(rename), least_channels=least_channels)
    raise typer.Exit(answer_live(model, lsl, replay, seconds, speed, out, settings, patience))


@app.command()
def adapt(
    model: Annotated[Path, typer.Argument(help="model folder, as `export` writes it", show_default=False)],
    store: Annotated[Path, typer.Argument(help="folder of a prepared store with labels", show_default=False)],
    out: Annotated[Path, typer.Option(help="new folder for curve, tables and page")] = Path("adaptation"),
    by: Annotated[str, typer.Option(help="subject: its own trials; corpus: labelled subjects")] = "subject",
    trials: Annotated[
        str | None, typer.Option(help="1,2,4: trials a class (by corpus: subjects)", show_default=False)
    ] = None,
    order: Annotated[str, typer.Option(help="random draws of trials, or the first of the recording")] = "random",
    draws: Annotated[int, typer.Option(help="random draws")] = 10,
    methods: Annotated[
        str | None, typer.Option(help="of given,frozen,fine_tuned,untrained,de; all but fine_tuned", show_default=False)
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="whole | causal | frozen; causal with --order first", show_default=False)
    ] = None,
    classes: Annotated[str | None, typer.Option(help="a,b,c: these labels alone", show_default=False)] = None,
    same_stimuli: Annotated[bool, typer.Option("--same-stimuli", help="test on stimuli that calibrated, too")] = False,
    epochs: Annotated[int, typer.Option(help="epochs of fine_tuned")] = 20,
    seed: Annotated[int, typer.Option(help="of draws, random weights and intervals")] = 0,
    save: Annotated[Path | None, typer.Option(help="new folder for the adapted model", show_default=False)] = None,
    subject: Annotated[str | None, typer.Option(help="whose model to save", show_default=False)] = None,
) -> None:
    """Calibrate a model to new people with a handful of labelled trials: learning curve, controls, adapted model."""
    from mdjpt_platform.adapt import verbs
    from mdjpt_platform.adapt.settings import checked

    sizes, named, labels = verbs.sizes_of_text(trials), verbs.names_of_text(methods), verbs.names_of_text(classes)
    settings = checked(by, sizes, order, draws, mode, named, labels, same_stimuli, seed, epochs)
    raise typer.Exit(verbs.adapt(model, store, out, settings, save, subject))


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
    """Entry point: an error a user can mend is one line and exit code 2, a full disk too; told to end: 75."""
    try:
        app()
    except MdjptError as error:
        print("mdjpt:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(error.code)
    except OSError as error:
        if not is_full(error):
            raise
        print("mdjpt:", full_disk(error), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
