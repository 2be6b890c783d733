"""Subjects made comparable before anything is learnt: a recording is divided by the root of its own mean covariance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field
from threadpoolctl import threadpool_limits

from mdjpt_platform.errors import BadInput
from mdjpt_platform.preprocess.parameters import Share
from mdjpt_platform.preprocess.signals import Array, Signals, noted, span
from mdjpt_platform.preprocess.statistics import FLAT_UV

PER_CHANNEL = 10
"""Samples a channel, all trials together, below which whitening would learn the sample by heart."""
ITERATIONS = 200
"""Of the geometric mean; it takes about 50 of them to 1e-8."""
AT_ONCE = 1 << 16
"""Samples that are multiplied at a time."""


def euclidean_alignment(signals: Signals, *, floor: Share = 1e-6) -> Signals:
    """Whiten a recording by the arithmetic mean R of its trials' covariances: x <- s R^-1/2 x (He and Wu 2020).

    Every trial that is not left out counts the same, whatever its length; covariances are about the trial's mean. The
    whole signal is multiplied, also between trials. The factor s, the SD of the median channel (root of the median of
    R's diagonal), keeps the numbers microvolts, which later steps, the quality page and the store take them for. Of all
    roots the symmetric one: it moves channels least, so their names still mean something.
    R need not have full rank: after an average reference, a repaired channel or a removed component, directions of less
    than `floor` of the strongest one's variance, every channel first brought to unit SD, are no signal and come out as
    zero. 1e-6 lies between what arithmetic leaves of a lost direction (1e-14 or less) and the weakest one of 43 real
    recordings in caps of 8 to 19 channels (3e-4, a channel that was repaired in most trials).
    Bad channels are to be mended before. One that was not cannot spoil the rest: a flat one (SD below 0.01 uV) takes no
    part and comes out as zero, a loud one is divided by its own SD and moves neither s, a median, nor the rank.
    After it the repair of channels and references have lost their meaning. Notes `euclidean_alignment`: rank, sd (s).
    Raises BadInput: fewer than two channels that move, fewer than 10 samples of trials a channel, values not finite.
    """
    return _recentred(signals, "euclidean_alignment", floor, lambda white: white.mean(axis=0))


def riemannian_recentring(
    signals: Signals, *, floor: Share = 1e-6, shrinkage: Annotated[float, Field(ge=0, lt=1)] = 0.1
) -> Signals:
    """The same with the geometric mean of the affine-invariant metric (Zanini et al. 2018), which single trials of
    great amplitude pull less.

    A trial without rank (a channel that was repaired in it alone) would be infinitely far from the others, so each
    trial's covariance is replaced by (1 - `shrinkage`) of itself and `shrinkage` of the arithmetic mean, this one at
    the trial's own power tr(R^-1 C) / rank, so that a loud trial lends the others none of its own. All of this is
    equivariant: of channels mixed by any invertible matrix the mean is the mean mixed likewise. At .1 one lost
    direction in one trial of fifteen lowers the mean's variance there by a seventh.
    Notes `riemannian_recentring`: rank, sd.
    Raises BadInput: as `euclidean_alignment`; a trial without rank and no shrinkage; a mean that is not found.
    """
    trials = [trial.trial for piece in signals.pieces for trial in piece.trials if trial.trial not in signals.dropped]

    def mean(white: Array) -> Array:
        power = white.trace(axis1=1, axis2=2)[:, None, None] / white.shape[1]
        shrunk = (1 - shrinkage) * white + shrinkage * power * np.eye(white.shape[1])
        for number, size in zip(trials, np.linalg.eigvalsh(shrunk), strict=True):
            if size[0] < floor:
                lost = f"no signal in {(size < floor).sum()} of {len(size)} directions"
                raise BadInput(signals.where, f"trial {number}", lost, "longer trials, or `shrinkage` above 0")
        return _geometric(shrunk, signals.where)

    return _recentred(signals, "riemannian_recentring", floor, mean)


def _geometric(covariances: Array, where: str) -> Array:
    from pyriemann.geometry.mean import mean_riemann  # seconds that other recipes need not wait

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Convergence not reached")
        try:
            found: Array = mean_riemann(covariances, maxiter=ITERATIONS)
        except UserWarning:
            text = f"none after {ITERATIONS} iterations"
            raise BadInput(where, "geometric mean", text, "trials that differ less, or more `shrinkage`") from None
    return found


def _recentred(signals: Signals, step: str, floor: float, mean: Callable[[Array], Array]) -> Signals:
    """`mean`: covariances of the trials [trials, r, r], whose arithmetic mean is the identity -> their mean [r, r]."""
    with threadpool_limits(1, "blas"):  # sums in one order, however many cores
        each = _covariances(signals, step)
        middle = each.mean(axis=0)
        basis = _range(middle, floor)
        root, inverse = _roots(basis.T @ middle @ basis)
        flatter = basis @ inverse
        centre = root @ mean(flatter.T @ each @ flatter) @ root
        sd = np.sqrt(middle.diagonal())
        level = float(np.median(sd[sd > FLAT_UV]))
        mixing = level * basis @ _roots(centre)[1] @ basis.T
        for piece in signals.pieces:
            for start in range(0, piece.data.shape[1], AT_ONCE):
                view = piece.data[:, start : start + AT_ONCE]
                view[:] = mixing @ view
    return noted(signals, step, {"rank": basis.shape[1], "sd": round(level, 4)})


def _covariances(signals: Signals, step: str) -> Array:
    """[trials, channels, channels] of the trials that are not left out; flat channels have zeros."""
    found, samples = [], 0
    for piece in signals.pieces:
        for trial in piece.trials:
            if trial.trial not in signals.dropped:
                x = piece.data[:, span(signals, piece, trial)]
                x = x - x.mean(axis=1, keepdims=True)
                found.append(x @ x.T / x.shape[1])
                samples += x.shape[1]
                if not np.isfinite(found[-1]).all():
                    raise BadInput(signals.where, f"trial {trial.trial}", "NaN or infinity", "finite samples")
    moving = np.sqrt(np.mean(found, axis=0).diagonal()) > FLAT_UV if found else np.zeros(0)
    if moving.sum() < 2:
        raise BadInput(signals.where, step, f"{moving.sum():.0f} channels that move", "two or more")
    if samples < PER_CHANNEL * moving.sum():
        text = f"{samples} samples of trials for {moving.sum()} channels"
        raise BadInput(signals.where, step, text, f"at least {PER_CHANNEL} a channel")
    each: Array = np.array(found) * np.outer(moving, moving)
    return each


def _range(covariance: Array, floor: float) -> Array:
    """Orthonormal basis [channels, rank] of where there is signal; a channel's gain plays no part in the rank."""
    sd = np.sqrt(covariance.diagonal())
    gain = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 0)
    size, direction = np.linalg.eigh(covariance * np.outer(gain, gain))
    basis: Array = np.linalg.qr(sd[:, None] * direction[:, size > floor * size[-1]])[0]
    return basis


def _roots(matrix: Array) -> tuple[Array, Array]:
    """Symmetric square root of a positive definite matrix, and its inverse."""
    size, direction = np.linalg.eigh(matrix)
    return direction * np.sqrt(size) @ direction.T, direction / np.sqrt(size) @ direction.T
