"""The model of communication against numbers worked out by hand."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import pytest

from conftest import REPOSITORY
from mdjpt_model import ModelSpec

MODEL = SimpleNamespace(**runpy.run_path(str(REPOSITORY / "benchmarks" / "communication.py")))
LINK = MODEL.Link(bandwidth=1e9, latency=1e-5)


def test_ways_of_an_all_reduce() -> None:
    """1 MB over 4: a ring sends 1.5 MB in 6 messages, a tree 2 MB over 2 levels up and down."""
    assert MODEL.ring(1e6, 4, LINK) == pytest.approx(1.56e-3)
    assert MODEL.tree(1e6, 4, LINK) == pytest.approx(2.04e-3)
    assert MODEL.all_reduce(1e6, 4, LINK) == pytest.approx(1.56e-3)
    assert MODEL.ring(1e3, 256, LINK) == pytest.approx(5.1e-3 + 1.9921875e-6)
    assert MODEL.all_reduce(1e3, 256, LINK) == MODEL.tree(1e3, 256, LINK) == pytest.approx(1.62e-4)
    assert MODEL.all_reduce(1e6, 1, LINK) == MODEL.all_reduce(0, 4, LINK) == 0


def test_what_travels() -> None:
    """Published sizes, five corpora: 32 features of 64 x 64, half of which is 2080 with and 2016 without variances."""
    spec = ModelSpec()
    assert MODEL.payload(spec, 5, 8, "slots") == 2 * 5 * 8 * 32 * 2080 * 4
    assert MODEL.payload(spec, 5, 8, "corpus") == MODEL.payload(spec, 5, 64, "coral") == 5 * 32 * 2080 * 4
    assert MODEL.payload(spec, 5, 8, "moments") == (32 * 2080 + 1) * 8
    assert MODEL.payload(spec, 5, 8, "mmd") == 80 * (32 * 2080 + 5) * 4
    assert MODEL.payload(ModelSpec(variant="released"), 5, 8, "slots") == 80 * 32 * 2016 * 4
    assert MODEL.gradients(spec) == 753_120 * 4


def test_the_last_bucket_is_waited_for_and_the_first_hides_behind_the_backward_pass() -> None:
    two = (1 << 20) + 1_000_000
    assert MODEL.exposed(two, 1.0, 2, LINK) == pytest.approx(1.02e-3)
    assert MODEL.exposed(1 << 20, 1.0, 2, LINK) == 0
    backward = 2 / 3 * 3e-4
    assert MODEL.exposed(1 << 20, 3e-4, 2, LINK) == pytest.approx((1 << 20) / 1e9 + 2e-5 - backward)
    assert MODEL.step(0.1, 2e6, two, 2, LINK) == pytest.approx(0.1 + 2.02e-3 + 1.02e-3)
    assert MODEL.step(0.1, 2e6, two, 1, LINK) == 0.1


@pytest.mark.parametrize("workers", [2, 8])
def test_a_fit_finds_the_link_that_made_the_times(workers: int) -> None:
    sizes = [4096.0, 65536.0, 1e6, 8e6]
    found = MODEL.fitted(sizes, [MODEL.ring(size, workers, LINK) for size in sizes], workers)
    assert (found.bandwidth, found.latency) == (pytest.approx(1e9), pytest.approx(1e-5))


def test_a_fit_refuses_times_that_do_not_grow() -> None:
    with pytest.raises(ValueError, match="no longer for more bytes"):
        MODEL.fitted([1e3, 1e6], [1e-3, 1e-6], 2)
