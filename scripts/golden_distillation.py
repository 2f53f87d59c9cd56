"""Checks of the golden cases of distillation, one per kind, for check_golden.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, difference, part
from torch import Tensor

from s2s.nn.masks import additive
from s2s.nn.relations import Vectors, log_relation, relation_divergence, split_heads


def check_minilm(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Relations, losses and gradients of each recipe and visibility, in both precisions and by chunks of heads."""
    yield from part(relations(case, tensors))
    for name, wanted in case["expected"].items():
        for dtype in (torch.float64, torch.float32):
            for chunk in (1, wanted["relation_heads"]):
                yield from part(losses(case, tensors, name, dtype, chunk))
    teacher = {kind: tensors[f"teacher.{kind}"] for kind in "qkv"}
    for name in case["expected"]:
        loss = sum(divergences(case, tensors, name, teacher, teacher, 2).values())
        yield Figure(f"{name} of a student that is the teacher", abs(float(loss)), 1e-12)


def relations(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """The relations themselves, at real rows."""
    real, tolerance = tensors["in.rows"].bool(), case["suggested_tol"]["loss_rel_float64"]
    parts = (("teacher_qk", case["attention_heads"]), ("student_vv", case["relation_heads"]))
    for mask in ("bidirectional", "seq2seq"):
        bias = additive(tensors[f"in.visible.{mask}"].bool(), torch.float64).unsqueeze(1)
        for name, heads in parts:
            who, pair = name.split("_")
            left, right = (split_heads(tensors[f"{who}.{kind}"], heads) for kind in pair)
            ours, theirs = log_relation(left, right, bias).exp(), tensors[f"mid.{name}.{mask}"]
            rows = real[:, None].expand(-1, heads, -1)
            yield Figure(f"{name} {mask}", difference(ours[rows], theirs[rows]), tolerance)


def losses(case: dict[str, Any], tensors: Taps, name: str, dtype: torch.dtype, chunk: int) -> Iterator[Figure]:
    """The loss of each relation, their sum, and its gradients."""
    kind, tolerance, wanted = str(dtype).removeprefix("torch."), case["suggested_tol"], case["expected"][name]
    teacher = {key: tensors[f"teacher.{key}"].to(dtype) for key in "qkv"}
    student = {key: tensors[f"student.{key}"].to(dtype, copy=True).requires_grad_() for key in "qkv"}
    parts = divergences(case, tensors, name, teacher, student, chunk)
    loss = sum(weight * parts[pair] for pair, weight in wanted["pairs"])
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    where = f"{name} {kind} by {chunk}"
    for pair, value in [*wanted["parts"].items(), ("loss", wanted["loss"])]:
        error = abs({**parts, "loss": loss}[pair].item() - value) / value
        yield Figure(f"{where} {pair}", error, tolerance[f"loss_rel_{kind}"])
    for key, vectors in student.items():
        if vectors.grad is not None:
            golden = tensors[f"grad.{name}.{key}"]
            yield Figure(f"{where} gradient of {key}", difference(vectors.grad, golden), tolerance[f"grad_abs_{kind}"])


def divergences(
    case: dict[str, Any], tensors: Taps, name: str, teacher: dict[str, Tensor], student: dict[str, Tensor], chunk: int
) -> dict[str, Tensor]:
    """The mean divergence of each relation of a recipe, NAME.VISIBILITY."""
    wanted, real = case["expected"][name], tensors["in.rows"].bool()
    seen, means = tensors[f"in.visible.{name.partition('.')[2]}"].bool(), {}
    for pair, _ in wanted["pairs"]:
        sides = (Vectors(*(vectors[kind] for kind in pair)) for vectors in (teacher, student))
        means[pair] = relation_divergence(*sides, wanted["relation_heads"], seen, real, chunk) / real.sum()
    return means


KINDS: dict[str, Check] = {"minilm_loss": check_minilm}
