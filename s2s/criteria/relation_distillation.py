"""Distillation of the relations between tokens in self-attention (MiniLM, MiniLMv2)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from s2s.config import Fact
from s2s.criteria.distillation import Distillation
from s2s.data.batch import PADDING, TokenBatch
from s2s.errors import ConfigError
from s2s.nn.masks import visible
from s2s.nn.relations import Vectors, relation_divergence
from s2s.registry import register_criterion

Relation = Literal["qq", "qk", "qv", "kq", "kk", "kv", "vq", "vk", "vv"]
_DEEP = 24
"""Layers from which on a teacher counts as large."""


@runtime_checkable
class Attentive(Protocol):
    """A model whose attention layers can be looked into."""

    @property
    def attention_sizes(self) -> tuple[int, int, int]:
        """Number of layers, attention heads in each, and the width of all heads together, D."""

    def projections(self, batch: TokenBatch, layer: int) -> Tensor:
        """Queries, keys and values of a layer, counted from 1: `(B, L, 3, D)`, zero at padding."""


@register_criterion("relation_distillation")
class RelationDistillation(Distillation):
    """KL divergence of the student's relations between tokens from the teacher's, under the batch's own visibility.

    Sources: MiniLM (arXiv 2002.10957), which is `relations: {qk: 1, vv: 1}` with the attention heads as relation heads;
    MiniLMv2 (arXiv 2012.15828), the default. Both use no other loss. Under the visibility of generation it is ours.
    A bias of relative positions is no part of a relation.
    """

    class Config(Distillation.Config):
        """Options of relation distillation."""

        relations: dict[Relation, PositiveFloat] = Field({"qq": 1.0, "kk": 1.0, "vv": 1.0}, min_length=1)
        """Pairs of queries, keys and values to relate, each with its weight."""
        relation_heads: int | None = Field(None, ge=1)
        """Parts to cut the width into; must divide both widths. Published: 48, or 64 for large teachers.
        Default: the teacher's attention heads."""
        teacher_layer: int | None = None
        """Layer to learn from, from 1, or from -1 for the last. Default: the last, or the 21st of 24 (of more: 7/8)."""
        student_layer: int = -1
        """Layer that learns."""
        chunk_heads: Fact[int] = Field(8, ge=1)
        """Relation heads computed at a time; smaller chunks need less memory."""

    model_type = Attentive
    batch_type: ClassVar[type] = TokenBatch
    config: RelationDistillation.Config

    def check_pair(self, teacher: Any, student: Any) -> None:
        if not isinstance(teacher, Attentive):
            raise ConfigError(f"criterion.teacher: {type(teacher).__name__} has no self-attention to learn from")
        self._layers = self._layer("teacher", teacher), self._layer("student", student)
        (_, theirs, width), (_, ours, own_width) = teacher.attention_sizes, student.attention_sizes
        self._heads = theirs if self.config.relation_heads is None else self.config.relation_heads
        for who, found in (("teacher", width), ("student", own_width)):
            if found % self._heads:
                source = " (the teacher's attention heads)" if self.config.relation_heads is None else ""
                raise ConfigError(
                    f"criterion.relation_heads: must divide the {who}'s hidden size ({found}), "
                    f"found {self._heads}{source}"
                )
        mixed = [pair for pair in self.config.relations if pair[0] != pair[1]]
        if mixed and self.config.relation_heads is None and theirs != ours:
            raise ConfigError(
                f"criterion.relations: {mixed[0]} compares attention heads, of which the teacher has {theirs} and the "
                f"student {ours}; give criterion.relation_heads, or a student with {theirs} heads"
            )

    def _layer(self, who: str, model: Attentive) -> int:
        """The layer of the teacher or student, from 1."""
        asked, count = getattr(self.config, f"{who}_layer"), model.attention_sizes[0]
        if asked is None:
            return count if count < _DEEP else count - count // 8
        if not 1 <= abs(asked) <= count:
            raise ConfigError(
                f"criterion.{who}_layer: must be 1 to {count}, or -{count} to -1 from the last one, found {asked}"
            )
        return int(asked if asked > 0 else count + 1 + asked)

    def weights(self, batch: TokenBatch) -> dict[str, float]:
        """The number of tokens, for the loss and for the divergence of each relation."""
        return dict.fromkeys(["loss", *self.config.relations], float(batch.num_tokens))

    def forward(self, model: Attentive, batch: TokenBatch, phase: str = "model") -> dict[str, Tensor]:
        """The weighted sum of the divergences, and each of them."""
        theirs, ours = self._layers
        with self.teaching(batch.tokens.device) as teacher:
            taught = dict(zip("qkv", teacher.projections(batch, theirs).unbind(2), strict=True))
        own = dict(zip("qkv", model.projections(batch, ours).unbind(2), strict=True))
        seen, real = visible(batch.steps, batch.steps), batch.steps != PADDING
        sums = {}
        for pair in self.config.relations:
            wanted, found = (Vectors(*(vectors[kind] for kind in pair)) for vectors in (taught, own))
            sums[str(pair)] = relation_divergence(wanted, found, self._heads, seen, real, self.config.chunk_heads)
        loss = torch.stack([weight * sums[pair] for pair, weight in self.config.relations.items()]).sum()
        return {"loss": loss, **{pair: divergence.detach() for pair, divergence in sums.items()}}
