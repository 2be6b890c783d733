"""The two alignments that mdJPT learns from. Pure functions of embeddings and latents: no config, no device state.

ISA pulls together what two subjects' brains did at the same second of the same clip; CDA pulls together the channel
covariances of all subjects of a step, and so do the terms of domain adaptation it is compared with. What compares
covariances is split in two so that it stays exact over several processes:
`pack` turns the centroids a process has into one flat tensor, the flat tensors of all processes are summed,
`loss` reads the sum. With one process there is nothing to sum. Covariances are symmetric, so only their upper triangle
is packed, and its entries off the diagonal count twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def inter_subject_contrast(embedding: Tensor, temperature: float = 0.07) -> Tensor:
    """Mean over anchors of -log softmax of the partner's similarity (mdJPT ISA; InfoNCE).

    `embedding` [2V, E]: unit vectors, rows i and i + V are two subjects at the same moment of the same stimulus.
    Chance level is ln(2V - 1). Raises ValueError: an odd number of rows, or fewer than four (no negatives).
    """
    rows = embedding.shape[0]
    if rows % 2 or rows < 4:
        raise ValueError(f"contrast needs an even number of at least 4 windows, found {rows}")
    unit = _wide(embedding)
    similarity = unit @ unit.T / temperature
    similarity = similarity.masked_fill(torch.eye(rows, dtype=torch.bool, device=embedding.device), -math.inf)
    partner = (torch.arange(rows, device=embedding.device) + rows // 2) % rows
    return functional.cross_entropy(similarity, partner)


def supervised_contrast(embedding: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Mean over anchors of -log softmax of the similarity, averaged over all windows of the anchor's class.

    Khosla et al. 2020, equation 2 (L_out). `embedding` [B, E]: unit vectors; `labels` [B]: class codes, below 0 where
    there is none: such windows are neither anchor nor positive nor negative. Anchors alone in their class are skipped;
    0 where none is left. Equal embeddings are at ln(n - 1) of n labelled windows, and with p positives an anchor
    cannot fall below ln p. Raises ValueError: not one label a window.
    """
    if labels.shape != embedding.shape[:1]:
        raise ValueError(f"contrast needs a label for each of {embedding.shape[0]} windows, found {len(labels)}")
    known = labels >= 0
    unit, labels = _wide(embedding)[known], labels[known]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels) & ~itself
    anchors = positive.any(1)
    if not anchors.any():
        return 0 * _wide(embedding).sum()
    similarity = (unit @ unit.T / temperature).masked_fill(itself, -math.inf)
    likelihood = functional.log_softmax(similarity, 1).masked_fill(~positive, 0).sum(1)
    return -(likelihood[anchors] / positive.sum(1)[anchors]).mean()


CONTRASTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "inter_subject": lambda embedding, labels, temperature: inter_subject_contrast(embedding, temperature),
    "supervised": supervised_contrast,
}
"""(embedding [2V, E], label codes [2V], temperature) -> scalar."""


def _wide(x: Tensor) -> Tensor:
    """At least float32, whatever the encoder computed in."""
    return x if x.dtype == torch.float64 else x.float()


def chance_contrast(rows: int) -> float:
    """Contrast of embeddings that know nothing: ln(2V - 1), of either kind where every window has a label."""
    return math.log(rows - 1)


def covariance(latent: Tensor, form: str = "channel", diagonal: str = "keep") -> Tensor:
    """Covariance over time of the virtual channels: [B, F, S, N] -> [B, F, S, S], in float32.

    `form="scrambled"` repeats the released statistic: time and channels are swapped, then *reshaped* back instead of
    swapped back, so that rows mix both (CDA_loss.py:24-28). `diagonal="zero"` drops the variances (CDA_loss.py:31).
    """
    x = _wide(latent)
    x = x - x.mean(-1, keepdim=True)
    if form == "scrambled":
        x = x.transpose(2, 3).reshape(x.shape)
    elif form != "channel":
        raise ValueError(f"unknown covariance {form!r}; valid: channel, scrambled")
    result = x @ x.transpose(-2, -1) / (x.shape[-1] - 1)
    if diagonal == "zero":
        result = result * (1 - torch.eye(x.shape[2], device=x.device, dtype=x.dtype))
    elif diagonal != "keep":
        raise ValueError(f"unknown covariance diagonal {diagonal!r}; valid: keep, zero")
    return result


def centroids(latent: Tensor, sides: int = 2, form: str = "channel", diagonal: str = "keep") -> Tensor:
    """Mean covariance of each side of a pair: [sides x V, F, S, N], sides one after the other -> [sides, F, S, S]."""
    return covariance(latent, form, diagonal).unflatten(0, (sides, -1)).mean(1)


@dataclass(frozen=True)
class Slots:
    """Where a process' centroids stand among those of the whole step."""

    index: Tensor
    """[n] place of each in the step, 0 <= index < total; the same for any number of processes."""
    corpus: Tensor
    """[n] number of the corpus each comes from."""
    total: int
    """Centroids in the step: 2 sides x corpora x episodes."""
    corpora: int
    spatial: int
    """S, virtual channels: rows of every matrix."""
    variances: bool = True
    """False where all diagonals are zero (`covariance_diagonal`): then they do not travel."""


def _triangle(slots: Slots, device: torch.device) -> Tensor:
    """[2, P] rows and columns of the entries that travel of a symmetric matrix."""
    return torch.triu_indices(slots.spatial, slots.spatial, 0 if slots.variances else 1, device=device)


def _upper(gamma: Tensor, slots: Slots) -> Tensor:
    """[n, F, S, S] -> [n, F, P]."""
    row, column = _triangle(slots, gamma.device)
    return gamma.flatten(2).index_select(2, row * slots.spatial + column)


def _count(slots: Slots, like: Tensor) -> Tensor:
    """[P] how often each entry that travels stands in the matrix: twice, on the diagonal once."""
    row, column = _triangle(slots, like.device)
    return (2 - (row == column).int()).to(like)


def _distances(upper: Tensor, slots: Slots) -> Tensor:
    """[n, F, P] -> [F, n, n] Frobenius norms of the differences between the whole matrices."""
    # Moved by the same constant before sqrt(2) counts the entries twice: rounded at their full size, near neighbours
    # would lose their digits.
    x = ((upper - upper.detach().mean(0)) * _count(slots, upper).sqrt()).transpose(0, 1)
    # The plain difference, not |a|^2 + |b|^2 - 2ab, for the same reason. Slope 0 at distance 0.
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _placed(values: Tensor, slots: Slots) -> Tensor:
    table = values.new_zeros((slots.total, *values.shape[1:]))
    return table.index_copy(0, slots.index.to(values.device), values).flatten()


def _pack_slots(gamma: Tensor, slots: Slots) -> Tensor:
    return _placed(_upper(gamma, slots), slots)


def _loss_slots(packed: Tensor, slots: Slots, features: int) -> Tensor:
    return torch.log1p(_distances(packed.view(slots.total, features, -1), slots).sum() / 2)


def _pack_moments(gamma: Tensor, slots: Slots) -> Tensor:
    wide = _upper(gamma, slots).double()
    return torch.cat([wide.sum(0).flatten(), (wide.square() * _count(slots, wide)).sum()[None]])


def _loss_moments(packed: Tensor, slots: Slots, features: int) -> Tensor:
    # sum over pairs of |a - b|^2 = n sum |a|^2 - |sum a|^2: in float64, for the difference cancels.
    square = packed[:-1].view(features, -1).square() * _count(slots, packed)
    return torch.log1p(slots.total * packed[-1] - square.sum())


def _pack_corpus(gamma: Tensor, slots: Slots) -> Tensor:
    member = functional.one_hot(slots.corpus, slots.corpora).to(gamma.device, gamma.dtype)
    return torch.einsum("nm,n...->m...", member, _upper(gamma, slots)).flatten()


def _corpus_means(packed: Tensor, slots: Slots, features: int) -> Tensor:
    # Every corpus gives the same number of centroids, so counts need not travel.
    return packed.view(slots.corpora, features, -1) / (slots.total / slots.corpora)


def _loss_corpus(packed: Tensor, slots: Slots, features: int) -> Tensor:
    return torch.log1p(_distances(_corpus_means(packed, slots, features), slots).sum() / 2)


def _loss_coral(packed: Tensor, slots: Slots, features: int) -> Tensor:
    mean = _corpus_means(packed, slots, features)
    one, other = torch.triu_indices(slots.corpora, slots.corpora, 1, device=packed.device)
    square = ((mean[one] - mean[other]).square() * _count(slots, mean)).sum() / (4 * slots.spatial**2)
    return square / (features * max(1, len(one)))


def _pack_owned(gamma: Tensor, slots: Slots) -> Tensor:
    owner = functional.one_hot(slots.corpus, slots.corpora).to(gamma.device, gamma.dtype)
    return torch.cat([_pack_slots(gamma, slots), _placed(owner, slots)])


def _loss_mmd(packed: Tensor, slots: Slots, features: int) -> Tensor:
    flat, owner = packed.split([packed.numel() - slots.total * slots.corpora, slots.total * slots.corpora])
    square = _distances(flat.view(slots.total, features, -1), slots).square()
    one, other = torch.triu_indices(slots.total, slots.total, 1, device=packed.device)
    return kernel_distance(square, owner.view(slots.total, -1), square.detach()[:, one, other].median(1).values)


def kernel_distance(square: Tensor, owner: Tensor, bandwidth: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between corpora, mean over features and pairs (Gretton et al. 2012, equation 5).

    `square` [F, n, n]: squared distances between subjects; `owner` [n, m]: 1 where a subject is of a corpus, else 0;
    `bandwidth` [F]: s^2 of the kernel exp(-d^2 / (2 s^2)). The biased estimate: the squared distance of the corpora's
    mean embeddings, 0 where the subjects of both coincide and nowhere less. The unbiased one falls below 0 when the
    subjects of one corpus are driven apart, which with the two that a step has of each would be what it teaches.
    """
    kernel = torch.exp(-square / (2 * bandwidth.clamp(min=torch.finfo(square.dtype).tiny))[:, None, None])
    share = owner / owner.sum(0)
    inner = share.T @ kernel @ share
    one, other = torch.triu_indices(owner.shape[1], owner.shape[1], 1, device=square.device)
    apart = inner[:, one, one] + inner[:, other, other] - 2 * inner[:, one, other]
    return apart.sum() / (len(square) * max(1, len(one)))


@dataclass(frozen=True)
class Form:
    """A way to compare covariances: local statistics to be summed over processes, and the loss of their sum."""

    pack: Callable[[Tensor, Slots], Tensor]
    """(symmetric centroids [n, F, S, S], slots) -> flat. Entries below the diagonal are not read."""
    loss: Callable[[Tensor, Slots, int], Tensor]
    """(summed flat, slots, F) -> scalar."""


FORMS: dict[str, Form] = {
    "slots": Form(_pack_slots, _loss_slots),
    "moments": Form(_pack_moments, _loss_moments),
    "corpus": Form(_pack_corpus, _loss_corpus),
    "coral": Form(_pack_corpus, _loss_coral),
    "mmd": Form(_pack_owned, _loss_mmd),
}
"""CDA, log(1 + sum over features and pairs of a distance): `slots`: Frobenius norms between all subjects (paper).
`moments`: squared norms between all subjects, from first and second moments, so the cost of the exchange does not grow
with the step. `corpus`: Frobenius norms between corpora.
What it is compared with, means over features and pairs of corpora without a logarithm, 0 for a single corpus:
`coral`: squared norms between corpora / 4 S^2 (Deep CORAL, Sun and Saenko 2016). `mmd`: `kernel_distance` between
corpora, a Gaussian kernel for each feature as wide as the median distance between the step's subjects (the lower one of
two), which is a constant to the gradient (Long et al. 2015, with one kernel)."""


def alignment(gamma: Tensor, form: str = "slots", corpus: Tensor | None = None) -> Tensor:
    """Alignment loss of symmetric centroids [n, F, S, S] that one process holds.

    `corpus` [n] for forms between corpora. Entries below the diagonal are not read, so they have no slope and those
    above it have both.
    """
    owner = torch.zeros(len(gamma), dtype=torch.long) if corpus is None else corpus
    slots = Slots(torch.arange(len(gamma)), owner, len(gamma), int(owner.max()) + 1, gamma.shape[-1])
    return FORMS[form].loss(FORMS[form].pack(gamma, slots), slots, gamma.shape[1])
