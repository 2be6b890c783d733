"""What the verbs do, for the command line and for jobs alike. Each returns an exit code and prints what it found."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from mdjpt_platform.config import Config, content_hash
from mdjpt_platform.errors import BadInput, MdjptError, full_disk, is_full, printable
from mdjpt_platform.plain import object_of
from mdjpt_platform.runfile import load
from mdjpt_platform.store.schema import check_name


def job(verb: Callable[[Config], int]) -> int:
    """Entry of jobs/<verb>.py: a run file and overrides from the command line."""
    return job_of_file(lambda path, overrides: verb(load(path, overrides)))


def job_of_file(verb: Callable[[Path, list[str]], int]) -> int:
    """The same for a verb that reads its file itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="override", metavar="a.b=c")
    arguments = parser.parse_args()
    try:
        return verb(arguments.file, arguments.override)
    except MdjptError as error:
        print("mdjpt:", " ".join(str(error).split()), file=sys.stderr)
        return error.code
    except OSError as error:
        if not is_full(error):
            raise
        print("mdjpt:", full_disk(error), file=sys.stderr)
        return 2


def simulate_corpus(
    folder: Path, layout: str, name: str, subjects: int, stimuli: int, seconds: float, seed: int, permute: bool
) -> None:
    """Write a simulated corpus and print the lines a run file needs for it."""
    import yaml

    from mdjpt_platform.corpora.simulated import balanced, simulate

    simulate(
        layout, folder, name, subjects=subjects, stimuli=stimuli, seconds=seconds, seed=seed, permute_stimuli=permute
    )
    facts = {"stimuli": list(balanced(layout, stimuli)), "sessions": 1, "seconds": seconds}
    print(yaml.safe_dump({"corpora": {name: {"layout": layout, "facts": facts}}, "exec": {"raw": {name: str(folder)}}}))


def corpora(layout: str | None = None, folder: Path | None = None, every: bool = False) -> int:
    """Print the corpora, or one in full, or how a folder differs from one (1 if it does)."""
    from rich.console import Console
    from rich.progress import track

    from mdjpt_platform.config import CorpusConfig
    from mdjpt_platform.corpora import CORPORA
    from mdjpt_platform.corpora.recount import differences, recount
    from mdjpt_platform.report import catalogue

    console = Console()
    if layout is None:
        console.print(catalogue.table(CORPORA))
        return 0
    if layout not in CORPORA:
        raise BadInput("command line", "layout", repr(layout), f"one of: {', '.join(CORPORA)}")
    corpus, config = CORPORA[layout], CorpusConfig(layout=layout)
    if folder is None:
        console.print(catalogue.details(layout, corpus.facts))
        return 0
    progress = Console(stderr=True)
    found = recount(
        corpus, config, folder, every=every,
        follow=lambda some: track(some, "opening", console=progress, disable=not progress.is_terminal, transient=True),
    )  # fmt: skip
    wrong = differences(corpus.facts, config, found)
    print(f"{folder}: {len(found.subjects)} subjects, {found.recordings} recordings, {found.opened} opened")
    print("\n".join(wrong) if wrong else f"as declared for {corpus.facts.title}")
    return 1 if wrong else 0


def simulated_folder(config: Config, name: str) -> Path | None:
    """Where the simulated raw recordings of a corpus lie or will; None for a corpus that is not simulated."""
    corpus = config.run.corpora[name]
    if corpus.simulate is None or name in config.exec.raw:
        return None
    check_name(name)
    key = content_hash([name, corpus.layout, corpus.facts.model_dump(mode="json"), corpus.simulate.model_dump()])
    return Path(config.exec.simulated) / f"{name}-{key}"


def with_simulated(config: Config, names: Iterable[str]) -> Config:
    """Simulate what the run file asks for and is not there yet; the same run with all raw folders named."""
    from mdjpt_platform.corpora.simulated import Simulation, write

    raw = dict(config.exec.raw)
    for name in names:
        corpus, folder = config.run.corpora[name], simulated_folder(config, name)
        if folder is None:
            continue
        assert corpus.simulate is not None and corpus.facts.stimuli is not None and corpus.facts.seconds is not None
        plan = Simulation(
            name, corpus.layout, corpus.simulate.subjects, corpus.facts.stimuli, corpus.facts.sessions or 1,
            corpus.facts.seconds, corpus.simulate.seed, corpus.simulate.permute,
        )  # fmt: skip
        if not folder.exists():
            write(plan, folder, progress=config.exec.progress)
        raw[name] = str(folder)
    return with_raw(config, raw)


def with_raw(config: Config, raw: dict[str, str]) -> Config:
    """The same run with other folders of raw recordings."""
    return config.model_copy(update={"exec": config.exec.model_copy(update={"raw": raw})})


def prepare(config: Config, only: Iterable[str] | None = None) -> int:
    """Prepare corpora; 2 if a recording had to be left out."""
    from mdjpt_platform.preprocess.run import prepare as prepare_stores
    from mdjpt_platform.report.quality import page_beside

    names = list(config.run.corpora if only is None else only)
    report = prepare_stores(with_simulated(config, names), only=names)
    print(printable("\n".join(report.lines())))
    stale = [name for name, one in report.corpora.items() if not (one.unchanged and page_beside(one.folder).exists())]
    write_quality(config, stale)
    return 0 if report.ok else 2


def quality(config: Config, named: bool = False) -> int:
    """Write the quality pages of the run's corpora, by subjects' names if `named`; 2 if one is not prepared."""
    from mdjpt_platform.preprocess import folder_of

    there = [name for name in config.run.corpora if (folder_of(config, name) / "manifest.json").exists()]
    write_quality(config, there, named)
    absent = [name for name in config.run.corpora if name not in there]
    for name in absent:
        print(f"{name}: not prepared; run `mdjpt prepare` first")
    return 2 if absent else 0


def write_quality(config: Config, names: Iterable[str], named: bool = False) -> None:
    """Write and name the quality page of each prepared corpus, beside its store."""
    from rich.console import Console

    from mdjpt_platform.preprocess import folder_of
    from mdjpt_platform.report.quality import write_page
    from mdjpt_platform.store import open_store

    console = Console(stderr=True, quiet=not config.exec.progress)
    for name in names:
        with console.status(f"{name}: quality page"):
            store = open_store(folder_of(config, name), verify=False)
            page = write_page(store, named=named)
        print(f"{name}: quality page {page}")


def prepare_dry(config: Config) -> int:
    """Print what `prepare` would do; 2 if it would leave something out. Writes nothing."""
    from mdjpt_platform.preprocess.dry import Outlook, dry_run
    from mdjpt_platform.preprocess.outlook import show

    folders = {name: folder for name in config.run.corpora if (folder := simulated_folder(config, name)) is not None}
    there = {name: str(folder) for name, folder in folders.items() if folder.exists()}
    config = with_raw(config, config.exec.raw | there)
    outlooks = dry_run(config, only=[name for name in config.run.corpora if name in there or name not in folders])
    to_be = [Outlook(name, simulated=str(folder)) for name, folder in folders.items() if name not in there]
    show([*outlooks, *to_be])
    return 0 if all(outlook.ok for outlook in outlooks) else 2


def prepare_missing(config: Config, names: Iterable[str]) -> None:
    """Prepare those of the named corpora that have no store yet, if their raw recordings are at hand."""
    from mdjpt_platform.preprocess.recipe import is_prepared

    def at_hand(name: str) -> bool:
        return name in config.exec.raw or config.run.corpora[name].simulate is not None

    missing = [name for name in names if at_hand(name) and not is_prepared(config, name)]
    if missing:
        prepare(config, missing)


def pretrain(config: Config) -> int:
    """Pre-train, resume, or say that it is finished."""
    from mdjpt_platform.train.launch import pretrain as train

    prepare_missing(config, config.run.sources)
    done = train(config)
    how = "trained" if done.fresh else "finished before; nothing to do"
    last = ", ".join(f"{key} {value:.4g}" for key, value in done.trained.last.items())
    print(f"{done.folder}: {how}; weights {done.trained.weights_sha256[:16]}; last epoch: {last}")
    return 0


def evaluate(config: Config) -> int:
    """Score the pre-trained encoder and the controls on every target, and print the table."""
    import torch
    from torch import nn

    from mdjpt_platform.evaluate.atlas import atlas
    from mdjpt_platform.evaluate.result import write_result, write_table
    from mdjpt_platform.evaluate.run import evaluate_target
    from mdjpt_platform.evaluate.windows import WindowStore
    from mdjpt_platform.families import untrained
    from mdjpt_platform.operations import manifest
    from mdjpt_platform.report.collect import ATLAS
    from mdjpt_platform.report.console import print_results
    from mdjpt_platform.train.checkpoint import load_model
    from mdjpt_platform.train.prepared import open_stores

    run = config.run
    if not run.targets:
        raise BadInput("configuration", "targets", "none", "corpora to evaluate on")
    prepare_missing(config, run.targets)
    folder = trained_folder(config)
    device = "cuda" if config.exec.gpu else "cpu"
    models: dict[str, nn.Module | None] = {"trained": load_model(folder, run.model).to(device)}
    for control in run.evaluate.controls:
        models[control] = untrained(run).to(device) if control == "random" else None
    stores = open_stores(config, tuple(dict.fromkeys((*run.targets, *run.sources))), verify=True)
    sources: dict[str, WindowStore] = {name: stores[name] for name in run.sources}
    prints = {name: store.fingerprint for name, store in stores.items()}
    settings = run.model_dump_json().encode()
    about = manifest.describe("evaluation", config, folder.name.rpartition("-")[2], settings, prints)
    results = []
    for target in run.targets:
        result = evaluate_target(models, stores[target], run, target, sources, config.exec.progress)
        write_result(result, evaluation_folder(config, folder) / target)
        results.append(result)
    write_table(atlas(models, stores, run, config.exec.progress), evaluation_folder(config, folder) / ATLAS)
    weights = object_of(folder / "model.json", ["weights_sha256"])["weights_sha256"]
    done = about.model_copy(update={"weights": weights, "ended": time.time(), "threads": torch.get_num_threads()})
    manifest.write(evaluation_folder(config, folder), done)
    print_results(results)
    table = pd.concat([result.scores for result in results], ignore_index=True)
    _track(config, folder, values={
        f"score/{row.target}/{row.method}/{row.readout}/lds_{row.lds}/{row.metric}": float(row.value)
        for row in table.itertuples() if pd.notna(row.value)
    })  # fmt: skip
    return 0


def trained_folder(config: Config) -> Path:
    """Folder of the finished pre-training of this configuration. Raises BadInput: there is none."""
    from mdjpt_platform.train.launch import identity_of, run_folder
    from mdjpt_platform.train.prepared import open_stores

    stores = open_stores(config, config.run.sources, verify=False)
    folder = run_folder(config, identity_of(config, {name: store.fingerprint for name, store in stores.items()}))
    if not (folder / "result.json").exists():
        raise BadInput(folder, "pre-training", "not finished", "`mdjpt pretrain` with the same run file first")
    return folder


def evaluation_folder(config: Config, folder: Path) -> Path:
    """Where the results of this evaluation's settings lie."""
    return folder / f"evaluation-{content_hash(config.run.evaluate.model_dump(mode='json'))}"


def report(config: Config) -> int:
    """Write report.html into the run's folder."""
    from mdjpt_platform.report.build import build_report
    from mdjpt_platform.report.collect import collect

    folder = trained_folder(config)
    out = build_report(collect(config, folder, evaluation_folder(config, folder)), folder / "report.html")
    _track(config, folder, artifact=out)
    print(f"report: {out}")
    return 0


def everything(config: Config) -> int:
    """Prepare, pre-train, evaluate, report."""
    return max(verb(config) for verb in (prepare, pretrain, evaluate, report))


def _track(config: Config, folder: Path, values: dict[str, float] | None = None, artifact: Path | None = None) -> None:
    """Add to the training's MLflow run; a dead server is a warning."""
    from mdjpt_platform.tracking.mlflow import MlflowSink, initialise
    from mdjpt_platform.tracking.names import tracking_uri

    uri = tracking_uri(config.exec)
    if uri is None:
        return
    identity = object_of(folder / "about.json", ["identity"])["identity"]
    if not initialise(uri, config.exec.experiment, Path(config.exec.runs).resolve() / "mlartifacts"):
        return
    sink = MlflowSink(uri, config.exec.experiment, config.run.name, identity)
    if values:
        sink.log(config.run.train.epochs * config.run.train.steps, values)
    if artifact is not None:
        sink.artifact(artifact)
    sink.close("FINISHED")
