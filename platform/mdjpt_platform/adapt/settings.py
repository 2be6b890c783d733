"""What whoever calibrates may choose, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from mdjpt_model.layers import Mode
from mdjpt_platform.errors import BadInput

By = Literal["subject", "corpus"]
Order = Literal["random", "first"]
Method = Literal["given", "frozen", "fine_tuned", "untrained", "de"]
METHODS: tuple[Method, ...] = get_args(Method)
BASES: tuple[Method, ...] = ("frozen", "fine_tuned")
"""Methods that adapt the pre-trained encoder; `given` uses it as it is, the others are controls."""
CONTROLS: tuple[Method, ...] = ("untrained", "de")


@dataclass(frozen=True)
class Settings:
    """Of one adaptation."""

    by: By = "subject"
    """Calibrate to each subject with trials of its own, or to the corpus with labelled subjects."""
    sizes: tuple[int, ...] = ()
    """Trials a class (by corpus: subjects) to calibrate with; empty: 1, 2, 4, ... as many as there is room for."""
    order: Order = "random"
    """Calibration trials drawn at random, or the first of the recording."""
    draws: int = 10
    """Random draws a subject (by corpus: of subjects)."""
    mode: Mode | None = None
    """Whose statistics the encoder's layers use; None: `whole`, and `causal` where the first trials calibrate."""
    methods: tuple[Method, ...] = ()
    """Empty: all that apply but fine-tuning."""
    classes: tuple[str, ...] = ()
    """Labels that take part; empty: all that occur. Trials of others are left out before anything is looked at."""
    same_stimuli: bool = False
    """Whether a stimulus of the calibration may be tested on too."""
    seed: int = 0
    """Draws, weights of the untrained encoder, fine-tuning, bootstrap."""
    epochs: int = 20
    """Of fine-tuning; fixed."""

    @property
    def reads(self) -> Mode:
        """The mode that is meant."""
        return self.mode or ("causal" if self.order == "first" else "whole")

    def tree(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "mode": self.reads}

    def check(self) -> None:
        """Refuse what no store could meet. Raises BadInput."""
        where = "command line"
        for name, value, allowed in (
            ("--by", self.by, get_args(By)), ("--order", self.order, get_args(Order)),
            ("--mode", self.reads, get_args(Mode)),
        ):  # fmt: skip
            if value not in allowed:
                raise BadInput(where, name, repr(value), f"one of: {', '.join(allowed)}")
        for method in self.methods:
            if method not in METHODS:
                raise BadInput(where, "--methods", repr(method), f"one of: {', '.join(METHODS)}")
        if any(size < 1 for size in self.sizes):
            raise BadInput(where, "--trials", ",".join(map(str, self.sizes)), "numbers from 1 on")
        for name, number in (("--draws", self.draws), ("--epochs", self.epochs)):
            if number < 1:
                raise BadInput(where, name, number, "1 or more")
        if self.seed < 0:
            raise BadInput(where, "--seed", self.seed, "0 or more")
        if self.by == "corpus" and self.order == "first":
            raise BadInput(where, "--order", "first with --by corpus", "random: subjects have no order")


def checked(
    by: str, sizes: Sequence[int], order: str, draws: int, mode: str | None, methods: Sequence[str],
    classes: Sequence[str], same_stimuli: bool, seed: int, epochs: int,
) -> Settings:  # fmt: skip
    """Settings from a command line. Raises BadInput: as `Settings.check`."""
    settings = Settings(
        cast(By, by), tuple(sizes), cast(Order, order), draws, cast(Mode | None, mode), cast(Any, tuple(methods)),
        tuple(classes), same_stimuli, seed, epochs,
    )  # fmt: skip
    settings.check()
    return settings
