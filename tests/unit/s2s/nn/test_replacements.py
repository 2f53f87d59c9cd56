"""Draws from a proposal, their weights, and focal loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from s2s.nn.replacements import draw, entropy, focal_loss, importance, proposal


@settings(max_examples=30, deadline=None)
@given(gamma=st.floats(0, 5), seed=st.integers(0, 99))
def test_focal_loss_has_the_gradient_of_finite_differences(gamma: float, seed: int) -> None:
    scores = torch.randn(4, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = torch.tensor([0, 3, 6, 3])
    assert torch.autograd.gradcheck(lambda own: focal_loss(own.log_softmax(-1), labels, gamma), scores.requires_grad_())


def test_with_gamma_0_focal_loss_is_cross_entropy_and_else_it_forgives_what_is_known() -> None:
    scores, labels = torch.randn(5, 9), torch.arange(5)
    torch.testing.assert_close(
        focal_loss(scores.log_softmax(-1), labels, 0), F.cross_entropy(scores, labels, reduction="none")
    )
    sure = torch.tensor([[9.0, 0.0], [0.0, 0.0]]).log_softmax(-1)
    forgiven = focal_loss(sure, torch.zeros(2, dtype=torch.int64), 2) / focal_loss(sure, torch.zeros(2).long(), 0)
    assert forgiven[0] < 1e-6
    assert forgiven[1] == pytest.approx(0.25)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("margin", [-300.0, 300.0])
def test_focal_loss_of_a_model_that_is_sure_is_finite_with_its_gradient(gamma: float, margin: float) -> None:
    scores = torch.tensor([[margin, 0.0]], requires_grad=True)
    loss = focal_loss(scores.log_softmax(-1), torch.tensor([0]), gamma)
    loss.sum().backward()
    assert scores.grad is not None
    assert loss.isfinite().all()
    assert scores.grad.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(shares=st.lists(st.integers(0, 5), min_size=2, max_size=9).filter(any), number=st.floats(0, 1, exclude_max=True))
def test_a_draw_is_the_token_in_whose_share_the_number_lies(shares: list[int], number: float) -> None:
    distribution = torch.tensor([shares], dtype=torch.float64) / sum(shares)
    token = int(draw(distribution, torch.tensor([number], dtype=torch.float64)))
    assert shares[token], "a token of probability 0 is never drawn"
    below = sum(shares[:token]) / sum(shares)
    assert below - 1e-12 <= number <= below + shares[token] / sum(shares) + 1e-12


def test_draws_follow_the_distribution() -> None:
    distribution = torch.tensor([0.5, 0.0, 0.3, 0.2])
    numbers = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = draw(distribution.expand(20_000, -1), numbers).bincount(minlength=4) / 20_000
    torch.testing.assert_close(counts, distribution, atol=0.015, rtol=0)


def test_the_best_proposal_leaves_no_variance() -> None:
    p, losses = torch.rand(3, 6).double().softmax(-1), torch.rand(3, 6).double() + 0.1
    q = proposal(p, losses)
    for token in range(6):
        weighted = importance(p, q, torch.full((3,), token)) * losses[:, token]
        torch.testing.assert_close(weighted, (p * losses).sum(-1))


def test_tokens_that_cannot_be_told_apart_have_the_entropy_of_their_number() -> None:
    assert entropy(torch.tensor([[0.25, 0.25, 0.25, 0.25, 0.0]])).item() == pytest.approx(
        torch.tensor(4.0).log().item()
    )
