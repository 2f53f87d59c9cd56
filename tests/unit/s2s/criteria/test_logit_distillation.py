"""Logit distillation: its values by definition, its written-out gradient, and the precision of the teacher."""

from __future__ import annotations

from dataclasses import replace
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

from s2s.criteria.logit_distillation import LogitDistillation
from s2s.data.batch import TokenBatch
from s2s.errors import ConfigError
from s2s.models.unilm import UniLM
from s2s.nn.token_loss import teacher_divergence, token_loss


def criterion_of(teacher: UniLM, student: UniLM, **options: Any) -> LogitDistillation:
    criterion = LogitDistillation(LogitDistillation.Config(teacher="teacher", **options))
    criterion.learn_from(teacher, student)
    return criterion


def by_definition(teacher: UniLM, student: UniLM, batch: TokenBatch, temperature: float) -> Tensor:
    """The divergence summed over labels, one label and one word of the vocabulary at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for wanted, own in zip(teacher(batch), student(batch), strict=True):
        p, q = ((scores / temperature).exp() / (scores / temperature).exp().sum() for scores in (wanted, own))
        for word in range(len(p)):
            total = total + temperature**2 * p[word] * torch.log(p[word] / q[word])
    return total


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=6, deadline=None)
@given(temperature=st.floats(0.5, 8), gold=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_it_is_the_mix_by_definition_under_each_layout(layout: str, temperature: float, gold: float, seed: int) -> None:
    teacher, student = tiny_unilm(seed, hidden_size=24).double(), tiny_unilm(seed + 1, num_layers=2).double()
    batch = batch_of(layout, seed)
    options = {"temperature": temperature, "gold_weight": gold, "label_smoothing": 0.1}
    sums = criterion_of(teacher, student, **options)(student, batch)
    divergence = by_definition(teacher, student, batch, temperature)
    gold_loss = token_loss(student(batch), batch.labels, 0.1, 0).sum()
    torch.testing.assert_close(sums["divergence"], divergence)
    torch.testing.assert_close(sums["gold_loss"], gold_loss)
    torch.testing.assert_close(sums["loss"], (1 - gold) * divergence + gold * gold_loss)
    assert sums["accuracy"] == (student(batch).argmax(-1) == batch.labels).sum()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_gold_labels_a_student_that_is_the_teacher_has_nothing_to_learn(layout: str) -> None:
    teacher, student = (tiny_unilm(relative_buckets=8).double() for _ in range(2))
    loss = criterion_of(teacher, student, gold_weight=0.0, temperature=3.0)(student, batch_of(layout))["loss"]
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None) < 1e-11


@settings(max_examples=20, deadline=None)
@given(temperature=st.floats(0.3, 9), seed=st.integers(0, 99))
def test_the_written_out_gradient_agrees_with_finite_differences(temperature: float, seed: int) -> None:
    scores, wanted = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda own: teacher_divergence(own, wanted, temperature), scores.requires_grad_())


def test_a_parameter_of_the_student_has_the_gradient_of_finite_differences() -> None:
    teacher, student = tiny_unilm(0, hidden_size=24).double(), tiny_unilm(1).double()
    criterion, batch = criterion_of(teacher, student, temperature=2.0), batch_of("seq2seq")
    criterion(student, batch)["loss"].backward()
    weight = student.layers[0].up.weight
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight[3, 4] += step
            values.append(criterion(student, batch)["loss"].item())
            weight[3, 4] -= step
    assert weight.grad is not None
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(weight.grad[3, 4].item(), rel=1e-5)


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_chunks_of_labels_change_nothing(rows: int) -> None:
    teacher, results = tiny_unilm(0, hidden_size=24), []
    for chunk in (1024, rows):
        student = tiny_unilm(1)
        sums = criterion_of(teacher, student, chunk_rows=chunk)(student, batch_of("text"))
        sums["loss"].backward()
        results.append((sums, student.layers[0].up.weight.grad, student.embeddings.tokens.weight.grad))
    torch.testing.assert_close(results[0], results[1])


def test_high_temperatures_keep_the_size_of_the_gradient() -> None:
    scores, wanted = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores, wanted = (side - side.mean(-1, keepdim=True) for side in (scores, wanted))
    loss = teacher_divergence(scores, wanted, 1e4)  # the limit of Hinton et al., equation 4
    torch.testing.assert_close(loss, (scores - wanted).square().sum(-1) / (2 * 9), rtol=1e-3, atol=0)


def test_spare_rows_of_the_students_vocabulary_are_left_out() -> None:
    teacher, student = tiny_unilm(0), tiny_unilm(1)
    padded = tiny_unilm(1, vocab_size=40)
    padded.load_state_dict(
        {
            name: F.pad(tensor, (0,) * (2 * tensor.dim() - 1) + (9,)) if len(tensor) == 31 else tensor
            for name, tensor in student.state_dict().items()
        }
    )
    divergences = [criterion_of(teacher, model)(model, batch_of("text"))["divergence"] for model in (student, padded)]
    torch.testing.assert_close(*divergences)


def test_the_teacher_runs_in_the_precision_that_is_asked_for() -> None:
    student, batch = tiny_unilm(1), batch_of("text")
    exact = criterion_of(tiny_unilm(0), student)(student, batch)
    half = criterion_of(tiny_unilm(0), student, teacher_precision="bfloat16")
    assert {parameter.dtype for parameter in half.teacher.parameters()} == {torch.bfloat16}
    found = half(student, batch)
    assert found["divergence"].dtype == torch.float32
    assert found["divergence"] != exact["divergence"]
    torch.testing.assert_close(found["divergence"], exact["divergence"], rtol=0.05, atol=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        whole = criterion_of(tiny_unilm(0), student, teacher_precision="float32")
        with whole.teaching(batch.tokens.device) as teacher:
            assert teacher.features(batch).dtype == torch.float32
        with criterion_of(tiny_unilm(0), student).teaching(batch.tokens.device) as teacher:
            assert teacher.layers[0].up(torch.ones(1, 12)).dtype == torch.bfloat16


def test_the_teacher_is_no_part_of_what_is_trained_and_runs_without_gradients() -> None:
    teacher, student = tiny_unilm(0).train(), tiny_unilm(1)
    criterion = criterion_of(teacher, student)
    assert not list(criterion.parameters())
    assert not criterion.state_dict()
    seen: list[bool] = []
    teacher.layers[0].register_forward_hook(lambda *_: seen.append(torch.is_inference_mode_enabled()))
    criterion(student, batch_of("text"))["loss"].backward()
    assert seen == [True]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())


def test_weights_are_the_labels() -> None:
    student = tiny_unilm(1)
    batch = batch_of("seq2seq")
    fewer = replace(batch, slots=batch.slots[:3], labels=batch.labels[:3])
    expected = dict.fromkeys(("loss", "divergence", "gold_loss", "accuracy"), 3.0)
    assert criterion_of(tiny_unilm(0), student).weights(fewer) == expected


def test_a_teacher_without_scores_is_refused() -> None:
    criterion = LogitDistillation(LogitDistillation.Config(teacher="teacher"))
    with pytest.raises(ConfigError, match=r"criterion\.teacher: Linear scores no vocabulary"):
        criterion.learn_from(nn.Linear(2, 2), tiny_unilm())


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"temperature": -1}, {"gold_weight": 1}, {"gold_weight": -0.1}])
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LogitDistillation.Config.model_validate({"teacher": "teacher", **wrong})
