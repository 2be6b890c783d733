"""What `mdjpt predict` does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mdjpt_platform.errors import BadInput, printable
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.predict.settings import Settings


def predict(
    model: Path, files: Sequence[Path], out: Path, settings: Settings, execution: ExecConfig | None = None
) -> int:
    """Predict files, and folders of them, offline; 2 if one could not be used. The others are done all the same.

    With an `execution` whose engine is `ray`: a task a file on that Ray.
    """
    from rich.console import Console

    check(settings)
    console = Console(stderr=True)
    with console.status("loading") as status:
        from mdjpt_platform.predict.run import OVERALL, predict_all

        def tell(done: int, of: int, name: str) -> None:
            text = printable(f"{done + 1} of {of}: {name}")
            status.update(text.replace("[", "\\["))

        if execution is not None and execution.engine == "ray":
            from mdjpt_platform.predict.batch import predict_on_ray

            outcomes = predict_on_ray(model, files, out, settings, tell, execution)
        else:
            outcomes = predict_all(model, files, out, settings, tell)
    for one in outcomes:
        if one.state == "failed":
            print(printable(f"failed: {one.reason}"))
        else:
            how = "unchanged" if one.state == "unchanged" else f"{one.row['windows']} windows"
            beyond = ", OUTSIDE what the model has seen" if one.row["outside"] else ""
            print(printable(f"{one.file}: {how}{beyond}: {one.folder}"))
    failed = sum(one.state == "failed" for one in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} predicted: {out / OVERALL}")
    return 2 if failed else 0


def predict_run(run_file: Path, overrides: Iterable[str] = ()) -> int:
    """The same as a run file says."""
    from mdjpt_platform.predict.runfile import load

    run = load(run_file, overrides)
    return predict(Path(run.model), [Path(one) for one in run.files], Path(run.out), run.settings, run.exec)


def check(settings: Settings) -> None:
    """Refuse settings that no recording could meet. Raises BadInput."""
    if settings.step is not None and not settings.step > 0:
        raise BadInput("command line", "--step", settings.step, "seconds above zero")
    if not settings.tmin >= 0 or (settings.tmax is not None and not settings.tmax > settings.tmin):
        raise BadInput("command line", "--tmin, --tmax", f"{settings.tmin} to {settings.tmax}", "0 <= tmin < tmax")
    if settings.least_channels < 1:
        raise BadInput("command line", "--least-channels", settings.least_channels, "1 or more")
