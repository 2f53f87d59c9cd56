"""Relation distillation: its values by definition, its written-out gradient, and what it refuses."""

from __future__ import annotations

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

from s2s.criteria.relation_distillation import RelationDistillation
from s2s.data.batch import PADDING, TokenBatch
from s2s.errors import ConfigError
from s2s.models.unilm import UniLM
from s2s.nn.masks import visible
from s2s.nn.relations import Vectors, relation_divergence

V1 = {"relations": {"qk": 1, "vv": 1}}


def criterion_of(teacher: UniLM, student: UniLM, **options: Any) -> RelationDistillation:
    criterion = RelationDistillation(RelationDistillation.Config(teacher="teacher", **options))
    criterion.learn_from(teacher, student)
    return criterion


def by_definition(teacher: Tensor, student: Tensor, pair: str, heads: int, batch: TokenBatch) -> Tensor:
    """The sum over real slots, one slot and head at a time, from projections `(B, L, 3, D)`."""
    total = student.new_zeros(())
    for row, codes in enumerate(batch.steps):
        real = codes != PADDING
        seen = visible(codes[real], codes[real])
        both = []
        for vectors in (teacher, student):
            left, right = (vectors[row, real, "qkv".index(kind)].chunk(heads, dim=-1) for kind in pair)
            scores = [a @ b.T / a.shape[-1] ** 0.5 for a, b in zip(left, right, strict=True)]
            both.append([[score[i, seen[i]].softmax(0) for i in range(len(seen))] for score in scores])
        for wanted, own in zip(*both, strict=True):
            total = total + sum((p * (p / q).log()).sum() for p, q in zip(wanted, own, strict=True)) / heads
    return total


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "options", [V1, {"relation_heads": 6}, {"relations": {"qv": 0.5, "kk": 3}, "relation_heads": 4}]
)
def test_it_is_the_divergence_by_definition_under_each_layout(layout: str, options: dict[str, Any]) -> None:
    teacher, student = tiny_unilm(0, hidden_size=24).double(), tiny_unilm(1).double()
    batch = batch_of(layout)
    sums = criterion_of(teacher, student, **options)(student, batch)
    heads = options.get("relation_heads", 2)
    vectors = teacher.projections(batch, 3), student.projections(batch, 3)
    pairs = options.get("relations", {"qq": 1, "kk": 1, "vv": 1})
    expected = {pair: by_definition(*vectors, pair, heads, batch) for pair in pairs}
    torch.testing.assert_close({pair: sums[pair] for pair in pairs}, {p: e.detach() for p, e in expected.items()})
    torch.testing.assert_close(sums["loss"], torch.stack([pairs[pair] * expected[pair] for pair in pairs]).sum())
    assert sums["loss"].item() > 0.1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_projections_are_what_the_layer_attends_with(layout: str) -> None:
    model, batch, calls = tiny_unilm(), batch_of(layout), []
    for layer in model.layers:
        layer.attention.key_value.register_forward_hook(lambda _m, _i, output: calls.append(output))
    model.features(batch)
    for number, expected in enumerate(calls[: len(model.layers)], start=1):
        found = model.projections(batch, number)
        torch.testing.assert_close(found.flatten(0, 1)[batch.slots, 1:].flatten(1), expected)
        assert not found.flatten(0, 1)[(batch.steps == PADDING).flatten()].any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("options", [V1, {"relation_heads": 12}])
def test_loss_and_gradients_are_zero_for_a_student_that_is_the_teacher(layout: str, options: dict[str, Any]) -> None:
    teacher, student = (tiny_unilm(relative_buckets=8).double() for _ in range(2))
    loss = criterion_of(teacher, student, **options)(student, batch_of(layout))["loss"]
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None) < 1e-12


@settings(max_examples=15, deadline=None)
@given(
    heads=st.sampled_from([1, 2, 4]),
    chunk=st.integers(1, 5),
    pair=st.sampled_from(["qq", "qk"]),
    seed=st.integers(0, 99),
)
def test_the_written_out_gradient_agrees_with_finite_differences(heads: int, chunk: int, pair: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = batch_of("pseudo-masked")
    seen, real = visible(batch.steps, batch.steps), batch.steps != PADDING
    teacher = Vectors(*torch.randn(2, 2, 6, 8, generator=generator, dtype=torch.float64))
    left, right = torch.randn(2, 2, 6, 4, generator=generator, dtype=torch.float64)

    def divergence(*vectors: Tensor) -> Tensor:
        return relation_divergence(teacher, Vectors(vectors[0], vectors[-1]), heads, seen, real, chunk)

    inputs = (left,) if pair == "qq" else (left, right)
    assert torch.autograd.gradcheck(divergence, [side.requires_grad_() for side in inputs])


def test_a_parameter_of_the_student_has_the_gradient_of_finite_differences() -> None:
    teacher, student = tiny_unilm(0, hidden_size=24).double(), tiny_unilm(1).double()
    criterion, batch = criterion_of(teacher, student), batch_of("seq2seq")
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


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_of_heads_change_nothing(chunk: int) -> None:
    teacher, results = tiny_unilm(0, hidden_size=24), []
    for heads_at_a_time in (6, chunk):
        student = tiny_unilm(1)
        criterion = criterion_of(teacher, student, relation_heads=6, chunk_heads=heads_at_a_time)
        loss = criterion(student, batch_of("text"))["loss"]
        loss.backward()
        results.append((loss, student.layers[0].up.weight.grad))
    torch.testing.assert_close(results[0], results[1])


def test_padding_changes_nothing() -> None:
    teacher, student = tiny_unilm(0, hidden_size=24), tiny_unilm(1)
    criterion, batch = criterion_of(teacher, student), batch_of("text")
    wider = {name: F.pad(getattr(batch, name), (0, 3)) for name in ("tokens", "positions", "segments")}
    wider["steps"] = F.pad(batch.steps, (0, 3), value=PADDING)
    slots = (wider["steps"] != PADDING).flatten().nonzero().squeeze(1)
    padded = TokenBatch(batch.ids, **wider, context=9, slots=slots, labels=batch.labels, pad_id=0)
    assert criterion.weights(padded) == criterion.weights(batch) == {"loss": 9, "qq": 9, "kk": 9, "vv": 9}
    torch.testing.assert_close(criterion(student, padded), criterion(student, batch))


def test_relations_are_float32_while_the_models_run_in_bfloat16() -> None:
    teacher, student = tiny_unilm(0, hidden_size=24), tiny_unilm(1)
    criterion = criterion_of(teacher, student)
    with torch.autocast("cpu", torch.bfloat16):
        sums = criterion(student, batch_of("text"))
    exact = criterion(student, batch_of("text"))
    assert {value.dtype for value in sums.values()} == {torch.float32}
    torch.testing.assert_close(sums, exact, rtol=0.1, atol=0.1)


def test_the_teacher_is_no_part_of_the_criterion() -> None:
    teacher, student = tiny_unilm(0).train(), tiny_unilm(1)
    criterion = criterion_of(teacher, student)
    assert not list(criterion.parameters())
    assert not criterion.state_dict()
    criterion.train()
    assert not criterion.teacher.training
    criterion(student, batch_of("text"))["loss"].backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(("layers", "asked", "used"), [(3, None, 3), (24, None, 21), (3, 2, 2), (3, -1, 3), (3, -3, 1)])
def test_the_layer_of_the_teacher_is_by_rule_or_as_asked(layers: int, asked: int | None, used: int) -> None:
    teacher, student, batch = tiny_unilm(0, num_layers=layers), tiny_unilm(1), batch_of("text")
    found = criterion_of(teacher, student, teacher_layer=asked, relations={"vv": 1})(student, batch)["loss"]
    expected = by_definition(teacher.projections(batch, used), student.projections(batch, 3), "vv", 2, batch)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relation_heads": 5}, r"relation_heads: must divide the teacher's hidden size \(24\), found 5"),
        ({"relation_heads": 8}, r"relation_heads: must divide the student's hidden size \(12\), found 8"),
        ({}, r"must divide the student's hidden size \(12\), found 8 \(the teacher's attention heads\)"),
        ({"teacher_layer": 5}, "teacher_layer: must be 1 to 4, or -4 to -1 from the last one, found 5"),
        ({"teacher_layer": 0}, "teacher_layer: must be 1 to 4, or -4 to -1 from the last one, found 0"),
        ({"student_layer": -4}, "student_layer: must be 1 to 3, or -3 to -1 from the last one, found -4"),
    ],
)
def test_heads_and_layers_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^criterion\..*{message}$"):
        criterion_of(tiny_unilm(0, hidden_size=24, num_layers=4, num_heads=8), tiny_unilm(1), **options)


def test_attention_is_compared_between_equal_numbers_of_heads_alone() -> None:
    teacher, student = tiny_unilm(0, num_heads=4), tiny_unilm(1)
    with pytest.raises(ConfigError, match="qk compares attention heads, of which the teacher has 4 and the student 2"):
        criterion_of(teacher, student, **V1)
    criterion_of(teacher, student, relation_heads=4, **V1)


def test_a_teacher_without_attention_is_refused() -> None:
    criterion = RelationDistillation(RelationDistillation.Config(teacher="teacher"))
    with pytest.raises(ConfigError, match=r"criterion\.teacher: Linear has no self-attention to learn from"):
        criterion.learn_from(nn.Linear(2, 2), tiny_unilm())


@pytest.mark.parametrize("relations", [{}, {"qx": 1}, {"qq": 0}, {"qq": -1}])
def test_relations_are_pairs_with_positive_weights(relations: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RelationDistillation.Config.model_validate({"teacher": "teacher", "relations": relations})
