"""Detection of replaced tokens: a generator fills masks, a discriminator says which tokens are not the original."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.config import Fact, Section
from s2s.criteria.base import Criterion
from s2s.data.batch import PADDING, Batch, MaskedBatch
from s2s.errors import ConfigError
from s2s.nn.replacements import draw, entropy, focal_loss, importance, proposal
from s2s.nn.token_loss import best_tokens, by_rows
from s2s.registry import register_criterion


@runtime_checkable
class Detector(Protocol):
    """A model with a generator, which fills masks, and a discriminator, which looks for what it filled in."""

    @property
    def predicts_hardness(self) -> bool:
        """Whether the generator has a head for `hardness`."""

    def generator_features(self, batch: MaskedBatch) -> Tensor:
        """Hidden states of the generator at `batch.slots`, `(N, G)`."""

    def generator_logits(self, features: Tensor) -> Tensor:
        """The generator's scores over the vocabulary, `(N, V)`, of its hidden states, `(N, G)`."""

    def hardness(self, features: Tensor) -> Tensor:
        """For each token the discriminator's loss that the generator predicts, before softplus, `(N, V)`."""

    def detect(self, batch: MaskedBatch) -> Tensor:
        """The discriminator's scores that the token at each of `batch.slots` was replaced, `(N,)`."""


class Drawn(NamedTuple):
    """What the generator gives for N masked places; each is `(N,)`."""

    loss: Tensor
    right: Tensor
    """Whether its most probable token is the original one."""
    tokens: Tensor
    weights: Tensor
    """How often the loss of the discriminator counts."""
    predicted: Tensor
    """The loss that it predicts for the discriminator; 0 if it predicts none."""
    entropy: Tensor
    proposal_entropy: Tensor
    """Entropy of the distribution that the tokens are drawn from."""


@register_criterion("replaced_token_detection")
class ReplacedTokenDetection(Criterion):
    """The loss of the generator, that of the discriminator, and that of the generator's guesses of the latter.

    The generator learns from the first and the last alone. What both share, the embeddings, learns from all. Draws and
    their weights pass no gradient. Source: ELECTRA (arXiv 2003.10555); for focal loss and draws by hardness Hao et al.
    (arXiv 2106.13715), see `s2s.nn.replacements`.
    """

    losses: ClassVar[tuple[str, ...]] = ("generator", "discriminator", "hardness")
    reaches_all_parameters = False

    class Config(Section):
        """Options of the detection of replaced tokens. ELECTRA: `sampling: generator` and `focal_gamma: 0`."""

        sampling: Literal["hardness", "generator"] = "hardness"
        """What replacements are drawn from: the generator's probabilities times the discriminator's loss that it
        predicts, or its probabilities alone."""
        focal_gamma: float = Field(1.0, ge=0)
        """The generator's loss of a token is multiplied by (1 - its probability) to this power; 0 is cross entropy."""
        discriminator_weight: float = Field(50.0, gt=0)
        """Weight of the discriminator's loss."""
        max_weight: float | None = Field(5.0, ge=1)
        """Limit of how often one draw counts; null for none, which leaves the mean exact and makes it noisy."""
        chunk_rows: Fact[int] = Field(1024, ge=1)
        """Masked places scored at a time; smaller chunks need less memory."""

    model_type = Detector
    batch_type = MaskedBatch
    config: ReplacedTokenDetection.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        assert isinstance(model, Detector)
        assert isinstance(batch, MaskedBatch)
        if batch.context < batch.tokens.shape[1]:
            raise ConfigError("criterion.name: replaces tokens of plain masked text, found pseudo tokens in the batch")
        if self.config.sampling == "hardness" and not model.predicts_hardness:
            raise ConfigError("criterion.sampling: hardness needs model.generator.hardness_rank above 0, found 0")

    def weights(self, batch: MaskedBatch) -> dict[str, float]:
        """The number of masked places, and for the discriminator that of all tokens."""
        masked, read = float(len(batch.labels)), float(batch.num_tokens)
        names = ["generator", "generator_accuracy", "generator_entropy", "correct_draws", "masked_accuracy"]
        if self.config.sampling == "hardness":
            names += ["hardness", "proposal_entropy", "effective_draws", "hardness_correlation"]
        return dict.fromkeys(names, masked) | dict.fromkeys(["discriminator", "discriminator_accuracy"], read)

    def forward(self, model: Detector, batch: MaskedBatch, phase: str = "model") -> dict[str, Tensor]:
        """The three losses, the second with its weight, and measurements.

        `correct_draws` counts the draws that are the original token, `masked_accuracy` the masked places at which the
        discriminator is right. `effective_draws` and the correlation of predicted and real losses are of each batch,
        the latter times its places.
        """
        drawn = self._fill(model, batch)
        replaced = drawn.tokens != batch.labels
        losses, right, places = self._detect(model, batch, drawn.tokens, replaced)
        own = losses.detach()[places]
        counted = torch.ones_like(losses).index_copy(0, places, drawn.weights.to(losses.dtype))
        sums = {
            "generator": drawn.loss.sum(),
            "generator_accuracy": drawn.right.sum(),
            "generator_entropy": drawn.entropy.sum(),
            "correct_draws": (~replaced).sum(),
            "masked_accuracy": right[places].sum(),
            "discriminator": self.config.discriminator_weight * (counted * losses).sum(),
            "discriminator_accuracy": right.sum(),
        }
        if self.config.sampling == "hardness":
            sums["hardness"] = (drawn.predicted - own).square().sum()
            sums["proposal_entropy"] = drawn.proposal_entropy.sum()
            sums["effective_draws"] = _effective(drawn.weights)
            sums["hardness_correlation"] = _correlation(drawn.predicted.detach(), own) * len(own)
        return sums

    def uniform(self, count: int, device: torch.device) -> Tensor:
        """The random numbers from 0 to 1 of some draws, `(count,)` float64; the trainer has seeded them."""
        return torch.rand(count, dtype=torch.float64, device=device)

    def _fill(self, model: Detector, batch: MaskedBatch) -> Drawn:
        """What the generator draws for each label."""
        features = model.generator_features(batch)
        uniform = self.uniform(len(batch.labels), features.device)

        def score(features: Tensor, labels: Tensor, uniform: Tensor) -> tuple[Tensor, ...]:
            return self._draw(model, features, labels, uniform)

        return Drawn(*by_rows(score, self.config.chunk_rows, features, batch.labels, uniform))

    def _draw(self, model: Detector, features: Tensor, labels: Tensor, uniform: Tensor) -> Drawn:
        scores = model.generator_logits(features)
        log_probs = scores.log_softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        loss = focal_loss(log_probs, labels, self.config.focal_gamma)
        right, p = best_tokens(scores) == labels, log_probs.detach().exp()
        if self.config.sampling == "generator":
            spread = entropy(p)
            return Drawn(
                loss, right, draw(p, uniform), torch.ones_like(spread), torch.zeros_like(spread), spread, spread
            )
        hardness = model.hardness(features).to(p.dtype)
        q = proposal(p, F.softplus(hardness.detach()))
        tokens = draw(q, uniform)
        weights = importance(p, q, tokens).clamp(
            max=math.inf if self.config.max_weight is None else self.config.max_weight
        )
        predicted = F.softplus(hardness.gather(-1, tokens.unsqueeze(-1)).squeeze(-1))
        return Drawn(loss, right, tokens, weights, predicted, entropy(p), entropy(q))

    def _detect(
        self, model: Detector, batch: MaskedBatch, tokens: Tensor, replaced: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The discriminator's loss of every token `(M,)`, whether it is right, and which of them were masked `(N,)`."""
        real = (batch.steps != PADDING).flatten()
        slots, places = real.nonzero().squeeze(1), real.cumsum(0)[batch.slots] - 1
        filled = batch.tokens.flatten().index_copy(0, batch.slots, tokens).view_as(batch.tokens)
        labels = torch.zeros_like(slots).index_copy(0, places, replaced.long())
        scores = model.detect(replace(batch, tokens=filled, slots=slots, labels=labels))
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        losses = F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype), reduction="none")
        return losses, (scores > 0) == labels.bool(), places


def _effective(weights: Tensor) -> Tensor:
    """How many equally weighted draws tell as much as draws of these weights, `(N,)`."""
    squares = weights.square().sum()
    return weights.sum().square() / squares.clamp(min=torch.finfo(squares.dtype).tiny)


def _correlation(left: Tensor, right: Tensor) -> Tensor:
    """Pearson's correlation of two sequences `(N,)`; 0 where one is constant."""
    left, right = left - left.mean(), right - right.mean()
    size = (left.square().sum() * right.square().sum()).sqrt()
    return torch.where(size > 0, (left * right).sum() / size.clamp(min=torch.finfo(size.dtype).tiny), 0.0)
