"""Cross entropy: its values by definition, its written-out gradient, and chunks that change nothing."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from s2s.criteria.cross_entropy import CrossEntropy
from s2s.nn.token_loss import token_loss

V, D, N = 11, 5, 7


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Head(nn.Module):
    """Stands for a model: features are given, logits are a linear layer; counts the rows it scores at a time."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.hidden = nn.Parameter(torch.randn(N, D, generator=generator))
        self.weight = nn.Parameter(torch.randn(V, D, generator=generator))
        self.rows = []

    def features(self, batch):
        return self.hidden * 1.0

    def logits(self, features):
        self.rows.append(len(features))
        return features @ self.weight.T


BATCH = SimpleNamespace(labels=torch.tensor([3, 0, 7, 10, 2, 5, 3]), pad_id=1)


def loss_and_gradients(head, **options):
    sums = CrossEntropy(CrossEntropy.Config(**options))(head, BATCH)
    return sums, torch.autograd.grad(sums["loss"], [head.hidden, head.weight])


@pytest.mark.parametrize("pad_id", [0, 1])
def test_smoothed_loss_is_the_divergence_from_the_smoothed_labels(pad_id):
    logits = torch.randn(N, V, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([3, 4, 7, 10, 2, 5, 3])
    smooth = torch.full((N, V), 0.2 / (V - 2), dtype=torch.float64)
    smooth[torch.arange(N), labels] = 0.8
    smooth[:, pad_id] = 0
    expected = F.kl_div(logits.log_softmax(-1), smooth, reduction="none").sum(-1)
    torch.testing.assert_close(token_loss(logits, labels, 0.2, pad_id), expected)


def test_smoothed_loss_is_zero_at_its_minimum_and_on_pad_labels():
    smooth = torch.full((1, V), 0.1 / (V - 2), dtype=torch.float64)
    smooth[0, 4], smooth[0, 1] = 0.9, 1e-300
    assert token_loss(smooth.log(), torch.tensor([4]), 0.1, 1).item() == pytest.approx(0, abs=1e-9)
    assert token_loss(torch.randn(1, V), torch.tensor([1]), 0.1, 1).item() == 0


def test_without_smoothing_it_is_plain_cross_entropy():
    logits = torch.randn(N, V)
    torch.testing.assert_close(
        token_loss(logits, BATCH.labels, 0.0, 1), F.cross_entropy(logits, BATCH.labels, reduction="none")
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_written_out_gradient_is_the_derivative(smoothing):
    logits = torch.randn(N, V, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([3, 1, 7, 10, 2, 5, 0])  # one pad label
    assert torch.autograd.gradcheck(lambda scores: token_loss(scores, labels, smoothing, 1), logits)


def test_half_precision_scores_are_summed_in_single_precision():
    logits = torch.randn(N, V).bfloat16().requires_grad_()
    loss = token_loss(logits, BATCH.labels, 0.1, 1)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert logits.grad.dtype == torch.bfloat16
    torch.testing.assert_close(loss, token_loss(logits.detach().float(), BATCH.labels, 0.1, 1))


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_chunks_change_neither_loss_nor_gradients(rows):
    whole, chunked = Head(), Head()
    sums, gradients = loss_and_gradients(whole, chunk_rows=1000)
    chunk_sums, chunk_gradients = loss_and_gradients(chunked, chunk_rows=rows)
    torch.testing.assert_close(chunk_sums, sums)
    torch.testing.assert_close(chunk_gradients, gradients)
    assert max(chunked.rows) <= rows


@pytest.mark.parametrize(("rows", "kept_rows"), [(2, []), (100, [N])])
def test_only_scores_of_a_single_chunk_are_kept_for_the_backward_pass(rows, kept_rows):
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: shapes.append(tensor.shape) or tensor, lambda x: x):
        CrossEntropy(CrossEntropy.Config(chunk_rows=rows))(Head(), BATCH)
    scores = [shape[0] for shape in shapes if shape[-1:] == (V,) and shape[0] != D]  # (D, V) is the weight
    assert scores == kept_rows


def test_accuracy_counts_labels_that_are_most_probable():
    head = Head()
    best = head.logits(head.hidden).argmax(-1)
    labels = best.clone()
    labels[:3] = (labels[:3] + 1) % V
    batch = SimpleNamespace(labels=labels, pad_id=1)
    assert CrossEntropy(CrossEntropy.Config())(head, batch)["accuracy"].item() == N - 3
    assert CrossEntropy(CrossEntropy.Config()).weights(batch) == {"loss": N, "accuracy": N}
