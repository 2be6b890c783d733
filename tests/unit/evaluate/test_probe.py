from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mdjpt_platform.config import ProbeConfig
from mdjpt_platform.errors import BadInput
from mdjpt_platform.evaluate import probe as module
from mdjpt_platform.evaluate.probe import class_similarity, fit_probe, nearest_neighbour, shared_classes


def blobs(n=240, width=10, classes=3, gap=3.0, seed=0):
    random = np.random.default_rng(seed)
    codes = random.integers(classes, size=n)
    centres = np.random.default_rng(99).normal(size=(classes, width)) * gap
    return (centres[codes] + random.normal(size=(n, width))).astype(np.float32), codes


def test_probe_learns_and_gives_probabilities():
    x, y = blobs()
    fitted = fit_probe(x, y, 3, ProbeConfig(epochs=40, batch=32), (1, 0))
    test, truth = blobs(seed=1)
    found = fitted.probabilities(test)
    assert found.shape == (240, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert (found.argmax(1) == truth).mean() > 0.95
    assert fitted.epoch == 40
    assert [tuple(layer.weight.shape) for layer in fitted.probe.layers] == [(128, 10), (64, 128), (3, 64)]


def test_probe_depends_on_its_seed_alone():
    x, y = blobs()
    config = ProbeConfig(epochs=2)
    torch.manual_seed(0)
    first = fit_probe(x, y, 3, config, (1, 0)).probabilities(x)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    fit_probe(x, y, 3, config, (1, 7))  # another fold before it changes nothing
    again = fit_probe(x, y, 3, config, (1, 0)).probabilities(x)
    assert np.array_equal(first, again)
    assert torch.equal(state, torch.get_rng_state())
    assert not np.array_equal(first, fit_probe(x, y, 3, config, (1, 1)).probabilities(x))
    assert not np.array_equal(first, fit_probe(x, y, 3, config, (2, 0)).probabilities(x))


def test_probe_equals_plain_torch_without_randomness():
    """Same start, one full batch, no dropout: Adam on cross-entropy with L2 decay."""
    x, y = blobs(n=64)
    config = ProbeConfig(dropout=0, batch=64, epochs=3)
    start = module.Probe(10, 3, config, torch.Generator().manual_seed(_seed(4)))
    plain = nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3))
    for ours, theirs in zip(start.layers, (plain[0], plain[2], plain[4]), strict=True):
        theirs.load_state_dict(ours.state_dict())
    adam = torch.optim.Adam(plain.parameters(), lr=5e-4, weight_decay=2.2e-3)
    for _ in range(3):
        adam.zero_grad()
        functional.cross_entropy(plain(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        adam.step()
    expected = plain(torch.from_numpy(x)).softmax(1).detach().numpy()
    np.testing.assert_allclose(fit_probe(x, y, 3, config, (4,)).probabilities(x), expected, atol=1e-5)


def _seed(*parts):
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def test_dropout_keeps_the_mean():
    config = ProbeConfig(dropout=0.4, hidden=(2000,))
    random = torch.Generator().manual_seed(0)
    probe = module.Probe(5, 2, config, random)
    x = torch.ones(1, 5)
    mean = torch.stack([probe(x, random) for _ in range(4000)]).mean(0)
    assert torch.allclose(mean, probe(x), atol=0.02)


def test_selection_happens_only_when_asked_for():
    x, y = blobs(gap=0.3)
    test, truth = blobs(gap=0.3, seed=1)
    config = ProbeConfig(epochs=6, batch=32)
    fitted = fit_probe(x, y, 3, config, (1, 0), select_on=(test, truth))
    accuracies = []
    for epochs in range(1, 7):
        each = fit_probe(x, y, 3, config.model_copy(update={"epochs": epochs}), (1, 0))
        accuracies.append((each.probabilities(test).argmax(1) == truth).mean())
    assert fitted.epoch == int(np.argmax(accuracies)) + 1
    assert (fitted.probabilities(test).argmax(1) == truth).mean() == max(accuracies)


def test_no_training_window():
    with pytest.raises(BadInput, match="training windows"):
        fit_probe(np.empty((0, 4), np.float32), np.empty(0, np.int64), 3, ProbeConfig(), (0,))


@pytest.mark.parametrize("block", [1, 7, 1 << 25])
def test_neighbours_against_a_loop(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block * 50)
    random = np.random.default_rng(0)
    x, codes = random.normal(size=(50, 6)).astype(np.float32), random.integers(1, 4, size=50)
    owner = np.repeat(np.arange(5), 10)
    near = class_similarity(x, x, codes, 5, owner, owner)
    labels = nearest_neighbour(x, x, codes, owner, owner)
    for i in range(50):
        cosine = [x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in range(50)]
        allowed = [j for j in range(50) if owner[j] != owner[i]]
        assert labels[i] == codes[max(allowed, key=lambda j: cosine[j])]
        for code in range(5):
            own = [cosine[j] for j in allowed if codes[j] == code]
            assert near[i, code] == pytest.approx(max(own) if own else -2.0, abs=1e-5)


def test_own_subject_is_never_a_neighbour():
    """Windows of a subject are nearest to each other; the exclusion must not see them."""
    x = np.eye(4, dtype=np.float32).repeat(5, 0) + 0.01
    codes, owner = np.arange(4).repeat(5), np.arange(4).repeat(5)
    assert (nearest_neighbour(x, x, codes, owner, owner) != codes).all()
    assert (nearest_neighbour(x, x, codes, np.arange(20), np.arange(20)) == codes).all()


def test_no_candidate_is_an_error():
    x, codes, owner = np.ones((3, 2), np.float32), np.zeros(3, np.int64), np.zeros(3, np.int64)
    with pytest.raises(BadInput, match="without candidates"):
        nearest_neighbour(x, x, codes, owner, owner)


def test_shared_classes():
    sources = {"a": ("glad", "angry"), "b": ("calm",)}
    assert shared_classes(("sad", "calm", "glad"), sources, "toy") == ["calm", "glad"]
    with pytest.raises(BadInput, match="toy: classes shared with the sources: found none"):
        shared_classes(("sad",), sources, "toy")
    with pytest.raises(BadInput, match="found calm, expected two or more"):
        shared_classes(("sad", "calm"), sources, "toy")
