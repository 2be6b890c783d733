"""What `mdjpt export` does. Returns an exit code and prints what it found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def export(
    run: Path, out: Path, on: Sequence[str] | None = None, overrides: Sequence[str] = (), program: bool = False
) -> int:
    """Write a model folder and print what its read-outs are worth."""
    from mdjpt_platform.export.run import export as take_away

    model = take_away(run, out, on, overrides, program)
    for mode, about in model.config["modes"].items():
        words = [f"{mode}:"]
        if "classes" in about["scores"]:
            one = about["scores"]["classes"]
            words.append(
                f"balanced accuracy {100 * one['balanced_accuracy']:.1f} % [{100 * one['low']:.1f}, "
                f"{100 * one['high']:.1f}], chance {100 * one['chance']:.1f} %;"
            )
        if "affect" in about["scores"]:
            one = about["scores"]["affect"]
            for number, name in enumerate(("valence", "arousal")):
                error, blind = one["error"][number], one["error_of_the_mean"][number]
                words.append(f"{name} off by {error:.2f} (always answering the mean: {blind:.2f});")
        print(" ".join(words).rstrip(";"))
    print(f"model: {out}")
    return 0
