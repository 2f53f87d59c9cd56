"""Distillation layer by layer (TinyBERT)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import torch
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor, nn

from s2s.config import Fact
from s2s.criteria.distillation import Distillation
from s2s.data.batch import PADDING, TokenBatch
from s2s.errors import ConfigError
from s2s.nn.linear import Linear
from s2s.nn.masks import visible
from s2s.nn.relations import Vectors, score_difference
from s2s.nn.token_loss import by_rows
from s2s.nn.transformer import LayerStates
from s2s.registry import register_criterion

Term = Literal["embeddings", "hidden", "attention", "logits"]


@runtime_checkable
class Layered(Protocol):
    """A model that shows what passes through its layers."""

    @property
    def attention_sizes(self) -> tuple[int, int, int]:
        """Number of layers, attention heads in each, and the width of all heads together, D."""

    def layer_states(self, batch: TokenBatch, depth: int) -> LayerStates:
        """Hidden states, queries, keys and values of the first `depth` layers."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores over the vocabulary, `(N, V)`, of hidden states of the last layer, `(N, D)`."""


@register_criterion("layerwise_distillation")
class LayerwiseDistillation(Distillation):
    """The student's layers imitate layers of the teacher: mean squares of differences, and the divergence of scores.

    Where the widths differ, a learned matrix takes the student's embeddings into the width of the teacher, and another
    one its hidden states; the training state holds them, the model does not. A bias of relative positions is no part
    of an attention score. Source: TinyBERT (arXiv 1909.10351), section 3; its use under other visibilities is ours.
    """

    losses: ClassVar[tuple[str, ...]] = get_args(Term)

    class Config(Distillation.Config):
        """Options of layerwise distillation."""

        embeddings_weight: NonNegativeFloat = 1.0
        """Factor of the mean square difference of the embeddings; 0 leaves a term out."""
        hidden_weight: NonNegativeFloat = 1.0
        """Factor of the mean square difference of hidden states, summed over the layers."""
        attention_weight: NonNegativeFloat = 1.0
        """Factor of the mean square difference of attention scores before the softmax, summed over the layers."""
        logits_weight: NonNegativeFloat = 1.0
        """Factor of the divergence of the scores of the vocabulary."""
        layers: list[int | None] | None = None
        """For each layer of the student the teacher's, from 1, that it imitates, or null for none. Default: layers at
        equal distances, the last from the last."""
        temperature: float = Field(1.0, gt=0)
        """Divides the scores of the vocabulary of both models."""
        chunk_heads: Fact[int] = Field(8, ge=1)
        """Attention heads compared at a time; smaller chunks need less memory."""
        chunk_rows: Fact[int] = Field(1024, ge=1)
        """Labels scored at a time."""

        @property
        def terms(self) -> dict[Term, float]:
            """The terms at work with their weights."""
            weights: dict[Term, float] = {term: getattr(self, f"{term}_weight") for term in get_args(Term)}
            return {term: weight for term, weight in weights.items() if weight}

        @model_validator(mode="after")
        def _some_term(self) -> LayerwiseDistillation.Config:
            if not self.terms:
                raise ValueError("one of the weights must be more than 0")
            return self

    model_type = Layered
    batch_type: ClassVar[type] = TokenBatch
    config: LayerwiseDistillation.Config

    def check_pair(self, teacher: Any, student: Any) -> None:
        if not isinstance(teacher, Layered):
            raise ConfigError(f"criterion.teacher: {type(teacher).__name__} has no layers to learn from")
        (depth, theirs, width), (own_depth, ours, own_width) = teacher.attention_sizes, student.attention_sizes
        self._layers = self._pairs(own_depth, depth)
        self._heads = ours
        if "attention" in self.config.terms and theirs != ours:
            raise ConfigError(
                f"criterion.attention_weight: it compares heads, of which the teacher has {theirs} and the student "
                f"{ours}; set it to 0, or give a student with {theirs} heads"
            )
        last = "logits" in self.config.terms
        self._depths = [
            whole if last else max(found, default=0)
            for whole, found in ((depth, self._layers.values()), (own_depth, self._layers))
        ]
        terms = [term for term in ("embeddings", "hidden") if term in self.config.terms and width != own_width]
        self.projections = nn.ModuleDict({term: Linear(own_width, width, bias=False) for term in terms})

    def _pairs(self, ours: int, theirs: int) -> dict[int, int]:
        """Layers of the student and of the teacher, from 1; none if no term compares layers."""
        asked = self.config.layers
        if not self.config.terms.keys() & {"hidden", "attention"}:
            if asked is not None:
                raise ConfigError("criterion.layers: needs a hidden_weight or an attention_weight above 0")
            return {}
        if asked is None:
            return {layer: -(-layer * theirs // ours) for layer in range(1, ours + 1)}
        pairs = {layer: found for layer, found in enumerate(asked, start=1) if found is not None}
        if len(asked) != ours or not pairs:
            raise ConfigError(
                f"criterion.layers: must name a layer of the teacher, or null, for each of the {ours} of the student, "
                f"found {asked}"
            )
        if wrong := [layer for layer in pairs.values() if not 1 <= layer <= theirs]:
            raise ConfigError(f"criterion.layers: the teacher has layers 1 to {theirs}, found {wrong[0]}")
        return pairs

    def parameters_of(self, phase: str, model: nn.Module) -> Iterable[nn.Parameter]:
        return chain(model.parameters(), self.parameters())

    def weights(self, batch: TokenBatch) -> dict[str, float]:
        """The number of tokens, and for the scores that of labels."""
        counts = {term: len(batch.labels) if term == "logits" else batch.num_tokens for term in self.config.terms}
        return {term: float(count) for term, count in counts.items()}

    def forward(self, model: Layered, batch: TokenBatch, phase: str = "model") -> dict[str, Tensor]:
        """The weighted terms, each summed over layers and over tokens or labels."""
        deep, own_deep = self._depths
        with self.teaching(batch.tokens.device) as teacher:
            taught = teacher.layer_states(batch, deep)
        own = model.layer_states(batch, own_deep)
        terms = {
            "embeddings": lambda: self._difference("embeddings", own.hidden[0], taught.hidden[0]),
            "hidden": lambda: self._hidden(own, taught),
            "attention": lambda: self._attention(batch, own, taught),
            "logits": lambda: self._scores(model, batch, own, taught),
        }
        return {term: weight * terms[term]() for term, weight in self.config.terms.items()}

    def _hidden(self, own: LayerStates, taught: LayerStates) -> Tensor:
        pairs = self._layers.items()
        return torch.stack([self._difference("hidden", own.hidden[m], taught.hidden[n]) for m, n in pairs]).sum()

    def _difference(self, term: str, own: Tensor, taught: Tensor) -> Tensor:
        """Mean square over the width, summed over the slots; padding is zero in both `(B, L, D)`."""
        if term in self.projections:
            own = self.projections[term](own)
        wide = torch.promote_types(own.dtype, torch.float32)
        return (own.to(wide) - taught.to(wide)).square().mean(-1).sum()

    def _attention(self, batch: TokenBatch, own: LayerStates, taught: LayerStates) -> Tensor:
        seen, real = visible(batch.steps, batch.steps), batch.steps != PADDING
        chunk, differences = self.config.chunk_heads, []
        for ours, theirs in self._layers.items():
            sides = taught.vectors[theirs - 1], own.vectors[ours - 1]
            teacher, student = (Vectors(vectors[:, :, 0], vectors[:, :, 1]) for vectors in sides)
            differences.append(score_difference(teacher, student, self._heads, seen, real, chunk))
        return torch.stack(differences).sum()

    def _scores(self, model: Layered, batch: TokenBatch, own: LayerStates, taught: LayerStates) -> Tensor:
        features, wanted = (states.hidden[-1].flatten(0, 1)[batch.slots] for states in (own, taught))

        def score(features: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
            return (self.divergence(model.logits(features), wanted[rows], self.config.temperature),)

        rows = torch.arange(len(batch.slots), device=batch.slots.device)
        (divergence,) = by_rows(score, self.config.chunk_rows, features, rows)
        return divergence.sum()
