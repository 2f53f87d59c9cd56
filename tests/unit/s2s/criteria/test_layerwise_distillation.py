"""Layerwise distillation: each term against a plain computation, its gradients, the map of layers, and refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_batches import LAYOUTS, batch_of
from tiny_models import tiny_unilm
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.criteria.layerwise_distillation import LayerwiseDistillation
from s2s.data.batch import PADDING, TokenBatch
from s2s.errors import ConfigError
from s2s.models.unilm import UniLM
from s2s.nn.masks import visible
from s2s.nn.relations import Vectors, score_difference

TERMS = ("embeddings", "hidden", "attention", "logits")


def criterion_of(
    teacher: UniLM, student: UniLM, terms: dict[str, float] | None = None, **options: Any
) -> LayerwiseDistillation:
    """With the weights of `terms`, and 0 for the others; without it, the default."""
    torch.manual_seed(7)
    if terms is not None:
        options |= {f"{term}_weight": terms.get(term, 0) for term in TERMS}
    criterion = LayerwiseDistillation(LayerwiseDistillation.Config(teacher="teacher", **options))
    criterion.learn_from(teacher, student)
    return criterion.to(student.head.bias.dtype)


def plain_states(model: UniLM, batch: TokenBatch, row: int) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """One sentence through the model as the papers write it.

    Returns hidden states `(n, D)` before and after each layer, attention scores `(H, n, n)` of each, and who sees whom.
    """
    real = batch.steps[row] != PADDING
    seen = visible(batch.steps[row, real], batch.steps[row, real])
    embed = model.embeddings
    summed = embed.tokens.weight[batch.tokens[row, real]] + embed.positions.weight[batch.positions[row, real]]
    x = embed.norm(summed + embed.segments.weight[batch.segments[row, real]])
    hidden, scores = [x], []
    for layer in model.layers:
        parts = [layer.attention.query(x), *layer.attention.key_value(x).chunk(2, -1)]
        q, k, v = (part.view(len(x), model.config.num_heads, -1) for part in parts)
        scores.append(torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1]))
        weights = scores[-1].masked_fill(~seen, -math.inf).softmax(-1)
        x = layer.attention_norm(x + layer.attention.out(torch.einsum("hqk,khd->qhd", weights, v).flatten(1)))
        x = layer.down_norm(x + layer.down(F.gelu(layer.up(x))))
        hidden.append(x)
    return hidden, scores, seen


def by_definition(
    criterion: LayerwiseDistillation, teacher: UniLM, student: UniLM, batch: TokenBatch, layers: dict[int, int]
) -> dict[str, Tensor]:
    """Each term that is asked for, without its weight, sentence by sentence and slot by slot."""
    asked = criterion.config.terms
    matrices = {name: layer.weight for name, layer in criterion.projections.items()}
    sums = dict.fromkeys(TERMS, torch.zeros((), dtype=torch.float64))

    def square(term: str, own: Tensor, taught: Tensor) -> Tensor:
        projected = own @ matrices[term].T if term in matrices else own
        return sum(((a - b) ** 2).sum() / len(b) for a, b in zip(projected, taught, strict=True))

    for row in range(len(batch.steps)):
        (own, own_scores, seen), (taught, scores, _) = (plain_states(m, batch, row) for m in (student, teacher))
        if "embeddings" in asked:
            sums["embeddings"] = sums["embeddings"] + square("embeddings", own[0], taught[0])
        for m, n in layers.items():
            if "hidden" in asked:
                sums["hidden"] = sums["hidden"] + square("hidden", own[m], taught[n])
            for slot, sees in enumerate(seen):
                gaps = own_scores[m - 1][:, slot, sees] - scores[n - 1][:, slot, sees]  # (H, seen)
                sums["attention"] = sums["attention"] + (gaps**2).sum() / gaps.numel()
    log_p, log_q = (model(batch).log_softmax(-1) for model in (teacher, student))
    sums["logits"] = (log_p.exp() * (log_p - log_q)).sum()
    return sums


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99),
    width=st.sampled_from([12, 24]),
    layers=st.lists(st.none() | st.integers(1, 4), min_size=2, max_size=2).filter(any),
    weights=st.dictionaries(st.sampled_from(TERMS), st.floats(0.1, 3), min_size=1),
)
def test_every_term_is_as_the_plain_computation_under_each_layout(
    layout: str, seed: int, width: int, layers: list[int | None], weights: dict[str, float]
) -> None:
    teacher = tiny_unilm(seed, hidden_size=width, num_layers=4).double()
    student, batch = tiny_unilm(seed + 1, num_layers=2).double(), batch_of(layout, seed)
    asked = layers if weights.keys() & {"hidden", "attention"} else None
    criterion = criterion_of(teacher, student, terms=weights, layers=asked)
    sums = criterion(student, batch)
    pairs = {m: n for m, n in enumerate(layers, start=1) if n is not None}
    expected = by_definition(criterion, teacher, student, batch, pairs)
    torch.testing.assert_close(sums, {term: weight * expected[term] for term, weight in weights.items()})
    assert all(value.item() > 1e-3 for value in sums.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_loss_and_gradients_are_zero_for_a_student_that_is_the_teacher(layout: str) -> None:
    teacher, student = (tiny_unilm(relative_buckets=8).double() for _ in range(2))
    criterion = criterion_of(teacher, student)
    assert not list(criterion.parameters())
    sums = criterion(student, batch_of(layout))
    assert sums.keys() == set(TERMS)
    torch.stack([*sums.values()]).sum().backward()
    assert max(abs(value.item()) for value in sums.values()) < 1e-12
    assert max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None) < 1e-11


@settings(max_examples=10, deadline=None)
@given(heads=st.sampled_from([1, 2]), chunk=st.integers(1, 3), same=st.booleans(), seed=st.integers(0, 99))
def test_the_written_out_gradient_of_scores_agrees_with_finite_differences(
    heads: int, chunk: int, same: bool, seed: int
) -> None:
    generator, batch = torch.Generator().manual_seed(seed), batch_of("pseudo-masked")
    seen, real = visible(batch.steps, batch.steps), batch.steps != PADDING
    teacher = Vectors(*torch.randn(2, 2, 6, 8, generator=generator, dtype=torch.float64))
    left, right = torch.randn(2, 2, 6, 4, generator=generator, dtype=torch.float64)

    def difference(*vectors: Tensor) -> Tensor:
        return score_difference(teacher, Vectors(vectors[0], vectors[-1]), heads, seen, real, chunk)

    inputs = (left,) if same else (left, right)
    assert torch.autograd.gradcheck(difference, [side.requires_grad_() for side in inputs])


@pytest.mark.parametrize("term", TERMS)
def test_student_and_matrices_have_the_gradients_of_finite_differences(term: str) -> None:
    teacher, student = tiny_unilm(0, hidden_size=24).double(), tiny_unilm(1).double()
    criterion, batch = criterion_of(teacher, student, terms={term: 1}), batch_of("pseudo-masked")
    criterion(student, batch)[term].backward()
    weights = [student.embeddings.tokens.weight, *criterion.parameters()]
    assert len(weights) == (2 if term in ("embeddings", "hidden") else 1)
    for weight in weights:
        place = (int(batch.tokens[0, 1]), 4) if weight is weights[0] else (3, 4)
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] += step
                values.append(criterion(student, batch)[term].item())
                weight[place] -= step
        assert weight.grad is not None
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(weight.grad[place].item(), rel=1e-5, abs=1e-8)


def test_recomputed_layers_have_the_same_gradients() -> None:
    teacher, results = tiny_unilm(0, hidden_size=24).double(), []
    for recomputed in (False, True):
        student = tiny_unilm(1, activation_checkpointing=recomputed).double().train()
        sums = criterion_of(teacher, student, chunk_rows=3 if recomputed else 1024)(student, batch_of("seq2seq"))
        torch.stack([*sums.values()]).sum().backward()
        results.append((sums, {name: p.grad for name, p in student.named_parameters()}))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(
    ("ours", "theirs", "layers"),
    [
        (2, 6, [3, 6]),
        (4, 12, [3, 6, 9, 12]),
        (4, 6, [2, 3, 5, 6]),
        (3, 2, [1, 2, 2]),
    ],
)
def test_layers_are_paired_at_equal_distances(ours: int, theirs: int, layers: list[int]) -> None:
    teacher, student, batch = tiny_unilm(0, num_layers=theirs), tiny_unilm(1, num_layers=ours), batch_of("text")
    by_rule, as_asked = (criterion_of(teacher, student, layers=asked)(student, batch) for asked in (None, layers))
    assert by_rule == as_asked


def test_only_the_layers_that_are_needed_are_computed() -> None:
    teacher, student, ran = tiny_unilm(0), tiny_unilm(1), []
    for who, model in (("teacher", teacher), ("student", student)):
        for layer in model.layers:
            layer.register_forward_hook(lambda *_, who=who: ran.append(who))
    criterion_of(teacher, student, terms={"hidden": 1}, layers=[2, None, None])(student, batch_of("text"))
    assert (ran.count("teacher"), ran.count("student")) == (2, 1)


def test_matrices_are_trained_where_widths_differ_and_only_for_the_terms_at_work() -> None:
    wide, student = tiny_unilm(0, hidden_size=24), tiny_unilm(1)
    criterion = criterion_of(wide, student, terms={"hidden": 1, "logits": 1})
    assert {name: tuple(p.shape) for name, p in criterion.named_parameters()} == {"projections.hidden.weight": (24, 12)}
    trained = set(criterion.parameters_of("model", student))
    assert trained == {*student.parameters(), *criterion.parameters()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [1, None, 5]}, r"layers: the teacher has layers 1 to 4, found 5"),
        ({"layers": [0, 1, 2]}, r"layers: the teacher has layers 1 to 4, found 0"),
        ({"layers": [1, 2]}, r"layers: must name a layer .* for each of the 3 of the student, found \[1, 2\]"),
        ({"layers": [1, 2, 3, 4]}, r"layers: must name a layer .* for each of the 3 of the student, found .*"),
        ({"layers": [None] * 3}, r"layers: must name a layer .* found \[None, None, None\]"),
        (
            {"layers": [1, 2, 3], "terms": {"logits": 1}},
            r"layers: needs a hidden_weight or an attention_weight above 0",
        ),
    ],
)
def test_layers_that_do_not_exist_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^criterion\.{message}$"):
        criterion_of(tiny_unilm(0, num_layers=4), tiny_unilm(1), **options)


def test_attention_is_compared_between_equal_numbers_of_heads_alone() -> None:
    teacher, student = tiny_unilm(0, num_heads=4), tiny_unilm(1)
    with pytest.raises(
        ConfigError, match="it compares heads, of which the teacher has 4 and the student 2; set it to 0"
    ):
        criterion_of(teacher, student)
    criterion_of(teacher, student, terms={"hidden": 1, "logits": 1})


def test_a_teacher_without_layers_is_refused() -> None:
    criterion = LayerwiseDistillation(LayerwiseDistillation.Config(teacher="teacher"))
    with pytest.raises(ConfigError, match=r"criterion\.teacher: Linear has no layers to learn from"):
        criterion.learn_from(nn.Linear(2, 2), tiny_unilm())


@pytest.mark.parametrize(
    "wrong",
    [{f"{term}_weight": 0 for term in TERMS}, {"hidden_weight": -1}, {"layers": 3}, {"temperature": 0}],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LayerwiseDistillation.Config.model_validate({"teacher": "teacher", **wrong})
