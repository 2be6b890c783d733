"""Linear classifiers: against scikit-learn spelled out, and absent classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from mdjpt_platform.config import EvaluateConfig, ProbeConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate.linear import LINEAR, linear_scores


def blobs(classes: int, count: int = 40, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    codes = np.arange(classes).repeat(count)
    means = apart * random.standard_normal((classes, 6))
    scale = np.array([1, 1, 1, 1e-3, 1e3, 1])  # a raw feature may have any unit
    return ((means[codes] + random.standard_normal((len(codes), 6))) * scale).astype(np.float32), codes


@pytest.mark.parametrize("kind", list(LINEAR))
@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_standardised_features(kind: str, classes: int) -> None:
    x, codes = blobs(classes)
    config = ProbeConfig(kind=kind, strength=0.3)  # type: ignore[arg-type]
    found = linear_scores(x[::2], codes[::2], x[1::2], classes, config)
    assert found.shape == (len(x) // 2, classes) and np.allclose(found.sum(1), 1, atol=1e-6)
    mean, spread = x[::2].mean(0), x[::2].std(0)
    train, test = (x[::2] - mean) / spread, (x[1::2] - mean) / spread
    if kind == "logistic":
        expected = LogisticRegression(C=0.3, max_iter=1000).fit(train, codes[::2]).predict_proba(test)
        np.testing.assert_allclose(found, expected, atol=1e-3)
    answers = LinearSVC(C=0.3, random_state=0).fit(train, codes[::2]).predict(test)
    assert np.mean(found.argmax(1) == answers) > 0.95 and np.mean(answers == codes[1::2]) > 0.8


@pytest.mark.parametrize("kind", list(LINEAR))
def test_a_class_that_was_never_seen_is_never_answered(kind: str) -> None:
    x, codes = blobs(3)
    some = codes != 1
    config = ProbeConfig(kind=kind)  # type: ignore[arg-type]
    found = linear_scores(x[some], codes[some], x, 3, config)
    assert not found[:, 1].any() and set(found.argmax(1)) == {0, 2}
    with pytest.raises(BadInput, match="classes of training windows: found 1, expected at least two"):
        linear_scores(x[codes == 0], codes[codes == 0], x, 3, config)


def test_the_published_protocol_has_its_own_probe() -> None:
    with pytest.raises(ValueError, match=r"probe\.kind: svm, but protocol published reads out with an mlp"):
        EvaluateConfig(protocol="published", probe=ProbeConfig(kind="svm"))
