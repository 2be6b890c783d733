"""The code of a registered model: MLflow copies this file beside the model folder and runs it where it is served.

It knows `mdjpt_model`, which is copied too, and nothing of the platform.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel

from mdjpt_model import from_pretrained
from mdjpt_model.readout import Prediction


class Refused(MlflowException):
    """Status 400 with one line; MLflow would put the data before it."""

    def __init__(self, line: str) -> None:
        super().__init__(line, error_code=BAD_REQUEST)
        self.line = line

    def serialize_as_json(self) -> str:
        """The body of the answer."""
        return json.dumps({"error_code": self.error_code, "message": self.line})


class Served(PythonModel):
    """Windows [n, C, samples] -> a row a window: label, confidence, p_<name>, valence, arousal, their ends, mode."""

    def load_context(self, context: Any) -> None:
        """Load the model folder. Raises ValueError: damaged."""
        self.model = from_pretrained(context.artifacts["model"])

    # an array without parameters: MLflow takes any other type for a schema of its own kind
    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer windows of one recording, in order of time. Raises Refused: whatever `Pretrained.predict` refuses."""
        given = params or {}
        try:
            windows = np.asarray(model_input, dtype=np.float32)
            found = self.model.predict(windows, list(given["channels"]), given["mode"])
        except (TypeError, ValueError) as error:
            raise Refused(" ".join(str(error).split())) from None
        return self._table(found).assign(mode=given["mode"])

    def _table(self, found: Prediction) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        if found.probabilities is not None:
            p, labels = found.probabilities.double().numpy(), self.model.labels
            columns = {"label": [labels[place] for place in p.argmax(axis=1)], "confidence": p.max(axis=1)}
            columns |= {f"p_{name}": p[:, place] for place, name in enumerate(labels)}
        for name, values in (("", found.affect), ("_low", found.low), ("_high", found.high)):
            if values is not None:
                columns |= {f"valence{name}": values[:, 0].double().numpy()}
                columns |= {f"arousal{name}": values[:, 1].double().numpy()}
        return pd.DataFrame(columns)


set_model(Served())
