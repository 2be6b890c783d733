"""Fine-tuning the encoder on calibration trials: a fixed number of epochs, weights never chosen by a test trial."""

from __future__ import annotations

from collections.abc import Callable

from mdjpt_model.layers import Mode
from mdjpt_platform.adapt.curve import Reader
from mdjpt_platform.adapt.given import Given
from mdjpt_platform.adapt.settings import Settings
from mdjpt_platform.adapt.split import Draw
from mdjpt_platform.config import FineTuneConfig
from mdjpt_platform.evaluate.finetune import fine_tune
from mdjpt_platform.evaluate.smoothing import Float
from mdjpt_platform.evaluate.windows import Rows

ENCODER_LR = 0.1
"""Of the classifier's rate: a handful of trials must not undo what the pre-training learned."""


def tuned_reader(given: Given, settings: Settings, mode: Mode, advance: Callable[[int], None]) -> Reader:
    """Encoder and a new linear classifier, trained from the model's weights again for every draw and size.

    In mode frozen the layer statistics are those of the calibration windows. `advance` hears of every epoch.
    """
    tuning = FineTuneConfig(epochs=settings.epochs, encoder_lr=ENCODER_LR)
    config = given.config(mode, fine_tune=tuning)
    subjects = given.task.subjects

    def read(draw: Draw, size: int, known: Rows, test: Rows) -> Float:
        who = subjects.index(draw.who) if draw.who else len(subjects)
        seed = (settings.seed, who, draw.number, size)
        tuned = fine_tune(given.model.encoder, given.task, known, config, seed, advance)
        found: Float = tuned.probabilities(given.task, test, config)["off"].astype("float64")
        return found

    return read
