"""Both alignments against slow formulas, their invariances and their gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import reference
from mdjpt_model.losses import (
    CONTRASTS,
    FORMS,
    Slots,
    alignment,
    centroids,
    chance_contrast,
    covariance,
    inter_subject_contrast,
    kernel_distance,
    supervised_contrast,
)


def unit(rows: int, width: int = 16) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, width, dtype=torch.float64), dim=1)


@pytest.mark.parametrize("rows", [4, 10, 30])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_contrast_equals_the_formula(rows: int, temperature: float) -> None:
    z = unit(rows)
    torch.testing.assert_close(inter_subject_contrast(z, temperature), reference.contrast(z, temperature))


@pytest.mark.parametrize(("rows", "level"), [(30, 3.37), (40, 3.66), (48, 3.85), (56, 4.01), (80, 4.37)])
def test_equal_embeddings_are_at_chance(rows: int, level: float) -> None:
    found = inter_subject_contrast(unit(1).expand(rows, -1))
    assert found.item() == pytest.approx(chance_contrast(rows)) == pytest.approx(math.log(rows - 1))
    assert found.item() == pytest.approx(level, abs=0.005)


def test_perfect_pairs_have_no_loss() -> None:
    z = torch.eye(8, dtype=torch.float64).repeat(2, 1)
    assert inter_subject_contrast(z).item() < 1e-4


def test_partner_is_half_the_batch_away() -> None:
    z = unit(5)
    aligned = inter_subject_contrast(torch.cat([z, z]))
    shifted = inter_subject_contrast(torch.cat([z, z.roll(1, 0)]))
    assert aligned < shifted


@pytest.mark.parametrize("rows", [0, 2, 5, 31])
def test_contrast_refuses_odd_or_too_few_rows(rows: int) -> None:
    with pytest.raises(ValueError, match=f"even number of at least 4 windows, found {rows}"):
        inter_subject_contrast(torch.randn(rows, 8))


def test_contrast_of_low_precision_is_computed_in_float32() -> None:
    z = unit(10).bfloat16()
    assert inter_subject_contrast(z).dtype == torch.float32
    torch.testing.assert_close(inter_subject_contrast(z), inter_subject_contrast(z.float()))


LABELS = [0, 1, 1, -1, 0, 3, 1, 2, -1, 0]
"""Classes of three, of one (2 and 3) and windows without label."""


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("labels", [LABELS, [1] * 10, [0, 1] * 5, [-1] * 8 + [2, 2]])
def test_supervised_contrast_equals_the_formula(labels: list[int], temperature: float) -> None:
    z = unit(10)
    found = supervised_contrast(z, torch.tensor(labels), temperature)
    torch.testing.assert_close(found, reference.supervised(z, labels, temperature))


def test_pairs_as_classes_are_the_inter_subject_contrast() -> None:
    z, pairs = unit(12), torch.arange(6).repeat(2)
    torch.testing.assert_close(supervised_contrast(z, pairs), inter_subject_contrast(z))
    for kind in CONTRASTS.values():
        torch.testing.assert_close(kind(z, pairs, 0.2), inter_subject_contrast(z, 0.2))


def test_windows_without_label_take_no_part() -> None:
    z, labels = unit(10).requires_grad_(), torch.tensor(LABELS)
    loss = supervised_contrast(z, labels)
    loss.backward()
    assert z.grad is not None
    assert torch.equal(z.grad[labels < 0], torch.zeros(2, 16)) and (z.grad[labels >= 0].norm(dim=1) > 0).all()
    torch.testing.assert_close(loss, supervised_contrast(z[labels >= 0], labels[labels >= 0]))


def test_equal_embeddings_and_separate_classes_are_at_the_stated_levels() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 1, -1])
    assert supervised_contrast(unit(1).expand(7, -1), labels).item() == pytest.approx(math.log(6 - 1))
    apart = torch.eye(2, dtype=torch.float64)[labels.clamp(min=0)]
    assert supervised_contrast(apart, labels).item() == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize("labels", [[-1, -1, -1, -1], [0, -1, -1, -1], [0, 1, 2, 3]])
def test_no_anchor_gives_a_zero_that_can_be_pushed_back(labels: list[int]) -> None:
    z = unit(4).requires_grad_()
    loss = supervised_contrast(z, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0 and z.grad is not None and torch.equal(z.grad, torch.zeros_like(z))


def test_supervised_contrast_refuses_labels_of_other_windows() -> None:
    with pytest.raises(ValueError, match="a label for each of 4 windows, found 3"):
        supervised_contrast(unit(4), torch.tensor([0, 0, 1]))


def test_supervised_contrast_of_low_precision_is_computed_in_float32() -> None:
    z, labels = unit(10).bfloat16(), torch.tensor(LABELS)
    assert supervised_contrast(z, labels).dtype == torch.float32
    torch.testing.assert_close(supervised_contrast(z, labels), supervised_contrast(z.float(), labels))


def test_covariance_is_that_of_torch() -> None:
    latent = torch.randn(3, 4, 6, 20) + 5
    found = covariance(latent)
    for b in range(3):
        for f in range(4):
            torch.testing.assert_close(found[b, f], torch.cov(latent[b, f]), rtol=1e-5, atol=1e-5)


def test_zero_diagonal_drops_the_variances_alone() -> None:
    latent = torch.randn(2, 3, 6, 20)
    kept, dropped = covariance(latent), covariance(latent, diagonal="zero")
    assert torch.equal(dropped.diagonal(dim1=-2, dim2=-1), torch.zeros(2, 3, 6))
    assert torch.equal(dropped, kept - torch.diag_embed(kept.diagonal(dim1=-2, dim2=-1)))


def test_scrambled_covariance_knows_no_channels() -> None:
    latent, order = torch.randn(2, 3, 6, 20, dtype=torch.float64), torch.tensor([2, 0, 5, 1, 4, 3])
    for form, follows in (("channel", True), ("scrambled", False)):
        moved = covariance(latent[:, :, order], form)
        same = covariance(latent, form)[:, :, order][..., order]
        assert torch.allclose(moved, same) is follows
    correlated = torch.randn(2, 3, 1, 200) + 0.1 * torch.randn(2, 3, 6, 200)
    off = ~torch.eye(6, dtype=torch.bool)
    true, scrambled = covariance(correlated)[..., off], covariance(correlated, "scrambled")[..., off]
    assert true.min() > 0.5 and scrambled.abs().mean() < 0.2


def test_scrambled_covariance_is_a_swap_undone_by_a_reshape() -> None:
    latent = torch.randn(1, 1, 3, 4, dtype=torch.float64)
    x = latent[0, 0] - latent[0, 0].mean(1, keepdim=True)
    rows = x.T.flatten().reshape(3, 4)
    torch.testing.assert_close(covariance(latent, "scrambled")[0, 0], rows @ rows.T / 3)


@pytest.mark.parametrize(("form", "diagonal"), [("time", "keep"), ("channel", "drop")])
def test_covariance_names_what_is_valid(form: str, diagonal: str) -> None:
    with pytest.raises(ValueError, match=r"valid: (channel, scrambled|keep, zero)"):
        covariance(torch.randn(2, 2, 2, 5), form, diagonal)


def test_centroids_are_means_of_each_side() -> None:
    latent = torch.randn(8, 3, 4, 15, dtype=torch.float64)
    expected = torch.stack([reference.centroid(latent[:4]), reference.centroid(latent[4:])])
    torch.testing.assert_close(centroids(latent), expected)


def centres(count: int = 6) -> torch.Tensor:
    return centroids(torch.randn(2 * count, 3, 4, 15, dtype=torch.float64), sides=count)


def test_forms_equal_the_formula() -> None:
    gamma, owner = centres(), torch.tensor([0, 0, 1, 1, 2, 2])
    torch.testing.assert_close(alignment(gamma), reference.alignment(gamma))
    torch.testing.assert_close(alignment(gamma, "moments"), reference.alignment(gamma, squared=True))
    means = torch.stack([gamma[owner == c].mean(0) for c in range(3)])
    torch.testing.assert_close(alignment(gamma, "corpus", owner), reference.alignment(means))
    torch.testing.assert_close(alignment(gamma, "coral", owner), reference.coral(gamma, owner.tolist()))
    torch.testing.assert_close(alignment(gamma, "mmd", owner), reference.mmd(gamma, owner.tolist()))


@pytest.mark.parametrize("form", list(FORMS))
def test_loss_of_a_sum_of_packs_is_that_of_the_whole(form: str) -> None:
    """What processes do: each packs its own, the packs are summed."""
    gamma, owner = centres(), torch.tensor([0, 0, 1, 1, 2, 2])
    packed = torch.zeros(())
    for mine in (torch.tensor([4, 1]), torch.tensor([0, 2, 3, 5])):
        slots = Slots(mine, owner[mine], 6, 3, 4)
        packed = packed + FORMS[form].pack(gamma[mine], slots)
    torch.testing.assert_close(FORMS[form].loss(packed, slots, 3), alignment(gamma, form, owner))


@pytest.mark.parametrize("covariance", ["channel", "scrambled"])
@pytest.mark.parametrize("form", list(FORMS))
def test_zero_diagonals_need_not_travel(form: str, covariance: str) -> None:
    latent = torch.randn(12, 3, 4, 15, dtype=torch.float64)
    gamma, owner = centroids(latent, 6, covariance, "zero"), torch.tensor([0, 0, 1, 1, 2, 2])
    slots = Slots(torch.arange(6), owner, 6, 3, 4, variances=False)
    packed = FORMS[form].pack(gamma, slots)
    torch.testing.assert_close(FORMS[form].loss(packed, slots, 3), alignment(gamma, form, owner))
    matrices = {"slots": 6, "moments": 1, "corpus": 3, "coral": 3, "mmd": 6}[form]
    beside = {"moments": 1, "mmd": 6 * 3}.get(form, 0)
    assert packed.numel() == matrices * 3 * 6 + beside, "strictly upper triangles of 4 x 4, of three features"
    assert FORMS[form].pack(gamma, replace(slots, variances=True)).numel() == matrices * 3 * 10 + beside


@pytest.mark.parametrize("covariance", ["channel", "scrambled"])
@pytest.mark.parametrize("form", list(FORMS))
def test_gradient_at_the_latent_is_that_of_whole_matrices(form: str, covariance: str) -> None:
    """Half of a symmetric matrix is enough: what comes back through the covariance is the same."""
    latent, owner = torch.randn(12, 3, 4, 15, dtype=torch.float64).requires_grad_(), torch.tensor([0, 0, 1, 1, 2, 2])

    def slow(gamma: torch.Tensor) -> torch.Tensor:
        if form in ("coral", "mmd"):
            return (reference.coral if form == "coral" else reference.mmd)(gamma, owner.tolist())
        if form == "corpus":
            gamma = gamma.unflatten(0, (3, 2)).mean(1)
        return reference.alignment(gamma, squared=form == "moments")

    found, expected = (
        torch.autograd.grad(loss(centroids(latent, 6, covariance)), latent)[0]
        for loss in (lambda gamma: alignment(gamma, form, owner), slow)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("form", list(FORMS))
def test_order_of_centroids_does_not_matter(form: str) -> None:
    gamma, owner, order = centres(), torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([4, 0, 5, 2, 1, 3])
    torch.testing.assert_close(alignment(gamma[order], form, owner[order]), alignment(gamma, form, owner))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "mmd"])
def test_gradient_of_the_forms(form: str) -> None:
    gamma, owner = centres().requires_grad_(), torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda g: alignment(g, form, owner), gamma)


def test_gradient_of_mmd_is_that_at_a_constant_bandwidth() -> None:
    gamma, owner = centres().requires_grad_(), torch.tensor([0, 0, 1, 1, 2, 2])
    apart = torch.stack([torch.pdist(gamma.detach()[:, f].flatten(1)) for f in range(3)])
    bandwidth = apart.sort().values[:, 7] ** 2

    def constant(g: torch.Tensor) -> torch.Tensor:
        square = torch.stack([torch.cdist(x := g[:, f].flatten(1), x) ** 2 for f in range(3)])
        return kernel_distance(square, torch.eye(3, dtype=g.dtype)[owner], bandwidth)

    assert torch.autograd.gradcheck(constant, gamma)
    found = torch.autograd.grad(alignment(gamma, "mmd", owner), gamma)[0]
    expected = torch.autograd.grad(constant(gamma), gamma)[0]
    torch.testing.assert_close(found, expected.triu() + expected.tril(-1).mT)


@pytest.mark.parametrize("form", ["coral", "mmd"])
def test_a_single_corpus_gives_a_zero_that_can_be_pushed_back(form: str) -> None:
    gamma = centres().requires_grad_()
    loss = alignment(gamma, form)
    loss.backward()
    assert loss.item() == 0 and gamma.grad is not None and torch.equal(gamma.grad, torch.zeros_like(gamma))


@pytest.mark.parametrize("form", ["coral", "mmd"])
def test_corpora_whose_subjects_coincide_are_at_zero_and_others_above(form: str) -> None:
    gamma = centres(3)
    same, owner = torch.cat([gamma, gamma.flip(0)]), torch.tensor([0, 0, 0, 1, 1, 1])
    assert alignment(same, form, owner).item() == pytest.approx(0, abs=1e-12)
    near, far = (torch.cat([gamma, gamma + by * torch.eye(4, dtype=gamma.dtype)]) for by in (0.1, 1.0))
    assert 1e-6 < alignment(near, form, owner) < alignment(far, form, owner)


def test_mmd_sees_the_spread_where_coral_sees_the_mean_alone() -> None:
    gamma, owner = centres(4), torch.tensor([0, 0, 1, 1])
    middle = gamma.mean(0, keepdim=True)
    spread = torch.cat([middle + 0.1 * (gamma[:1] - middle), middle - 0.1 * (gamma[:1] - middle)])
    wide = torch.cat([middle + gamma[:1] - middle, middle - gamma[:1] + middle])
    both = torch.cat([spread, wide])
    assert alignment(both, "coral", owner).item() == pytest.approx(0, abs=1e-12)
    assert alignment(both, "mmd", owner).item() > 0.1


def test_bandwidth_makes_mmd_indifferent_to_the_unit() -> None:
    gamma, owner = centres(), torch.tensor([0, 0, 1, 1, 2, 2])
    torch.testing.assert_close(alignment(100 * gamma, "mmd", owner), alignment(gamma, "mmd", owner))
    torch.testing.assert_close(alignment(100 * gamma, "coral", owner), 1e4 * alignment(gamma, "coral", owner))


@pytest.mark.parametrize("form", list(FORMS))
def test_coincident_centroids_have_a_finite_gradient(form: str) -> None:
    gamma = centres(1).repeat(4, 1, 1, 1).requires_grad_()
    loss = alignment(gamma, form, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert gamma.grad is not None and torch.isfinite(gamma.grad).all()


@pytest.mark.parametrize("form", list(FORMS))
def test_near_centroids_keep_their_digits_in_float32(form: str) -> None:
    gamma = 100 + 1e-2 * torch.randn(4, 3, 4, 4, dtype=torch.float64)
    owner = torch.tensor([0, 0, 1, 1])
    torch.testing.assert_close(
        alignment(gamma.float(), form, owner).double(),
        alignment(gamma.float().double(), form, owner),
        rtol=1e-4,
        atol=0,
    )


@pytest.mark.parametrize("form", ["slots", "mmd"])
def test_near_centroids_keep_the_digits_of_their_slopes_in_float32(form: str) -> None:
    """Where entries are far larger than their differences, they may not be rounded before those are taken."""
    gamma, owner = (100 + 1e-2 * torch.randn(4, 3, 4, 4)).requires_grad_(), torch.tensor([0, 0, 1, 1])
    (narrow,) = torch.autograd.grad(alignment(gamma, form, owner), gamma)
    (true,) = torch.autograd.grad(alignment(gamma.double(), form, owner), gamma)
    assert (narrow - true).norm() <= 2e-6 * true.norm()


def test_gradient_of_contrast_and_centroids() -> None:
    assert torch.autograd.gradcheck(inter_subject_contrast, unit(6, 5).requires_grad_())
    labels = torch.tensor([0, 1, -1, 0, 1, 2])
    assert torch.autograd.gradcheck(lambda z: supervised_contrast(z, labels), unit(6, 5).requires_grad_())
    assert torch.autograd.gradcheck(centroids, torch.randn(4, 2, 3, 6, dtype=torch.float64).requires_grad_())
