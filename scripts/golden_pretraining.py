"""Checks of the golden cases of pretraining, one per kind, for check_golden.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, difference, excess, part
from torch import Tensor, nn

from s2s.criteria.replaced_token_detection import ReplacedTokenDetection
from s2s.data.batch import MaskedBatch
from s2s.nn.replacements import draw, entropy, focal_loss, importance, proposal

CLIPPED = "discriminator_mean_weights_clipped_at_"


def check_electra(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Distributions, their moments, focal losses with gradients, and the losses of one draw, in both precisions."""
    for dtype in (torch.float64, torch.float32):
        yield from part(distributions(case, tensors, dtype))
        yield from part(focal(case, tensors, dtype))
        yield from part(losses(case, tensors, dtype))
    yield from part(moments(case, tensors))


def tolerance(case: dict[str, Any], dtype: torch.dtype) -> tuple[float, float]:
    """The absolute error allowed, and the relative one beyond which errors count."""
    allowed = case["suggested_tol"]
    return (allowed["float64"], 0.0) if dtype == torch.float64 else (1e-7, allowed["float32_rel"])


def compared(case: dict[str, Any], name: str, ours: Tensor, theirs: Any, dtype: torch.dtype) -> Figure:
    """A comparison within the case's tolerance of a precision."""
    absolute, relative = tolerance(case, dtype)
    golden = torch.tensor(theirs, dtype=torch.float64) if isinstance(theirs, float | list) else theirs
    return Figure(f"{name} {str(dtype).removeprefix('torch.')}", excess(ours, golden, relative), absolute)


def tables(tensors: Taps, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """p, H and q."""
    p = tensors["in.generator_logits"].to(dtype).softmax(-1)
    hardness = nn.functional.softplus(tensors["in.hardness_logits"].to(dtype))
    return p, hardness, proposal(p, hardness)


def distributions(case: dict[str, Any], tensors: Taps, dtype: torch.dtype) -> Iterator[Figure]:
    """What is drawn from, the weight of each word, and the entropies."""
    p, hardness, q = tables(tensors, dtype)
    weights = torch.stack([importance(p, q, torch.full((len(p),), word)) for word in range(p.shape[1])], dim=1)
    for name, ours in (("p", p), ("hardness", hardness), ("q", q), ("weights", weights)):
        yield compared(case, name, ours, tensors[f"mid.{name}"], dtype)
    for name, ours in (("p", p), ("q", q)):
        yield compared(case, f"entropy of {name}", entropy(ours).mean(), case["diagnostics"][f"entropy_{name}"], dtype)


def moments(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Mean and variance of the discriminator's loss for each proposal, over the whole vocabulary, in float64."""
    p, _, q = tables(tensors, torch.float64)
    losses, best = tensors["mid.bce"], proposal(p, tensors["mid.bce"])
    yield compared(case, "optimal q", best, tensors["mid.optimal_q"], torch.float64)
    means, variances = case["expected_discriminator_loss"], case["variance"]
    for name, of in (("p", p), ("q", q), ("optimal", best)):
        weighted = p / of * losses
        mean = (of * weighted).sum(-1)
        expected = means["under_q_importance_weighted" if name == "q" else "under_p"]
        yield compared(case, f"mean under {name}", mean, expected, torch.float64)
        variance = (of * weighted.square()).sum(-1) - mean.square()
        yield compared(case, f"variance under {name}", variance, variances[name], torch.float64)


def focal(case: dict[str, Any], tensors: Taps, dtype: torch.dtype) -> Iterator[Figure]:
    """The generator's loss of each place, its mean and its gradient, for each gamma."""
    for gamma in case["gammas"]:
        logits = tensors["in.generator_logits"].to(dtype, copy=True).requires_grad_()
        loss = focal_loss(logits.log_softmax(-1), torch.tensor(case["gold"]), gamma)
        loss.mean().backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        wanted = case["focal"][str(gamma)]
        yield compared(case, f"focal {gamma}", loss, wanted["token"], dtype)
        yield compared(case, f"focal {gamma} mean", loss.mean(), wanted["mean"], dtype)
        yield compared(case, f"focal {gamma} gradient", logits.grad, tensors[f"grad.focal{gamma}.logits"], dtype)


class Scores(nn.Module):
    """A model that gives the scores of a case; the masked places come first in its one row."""

    predicts_hardness = True

    def __init__(self, tensors: Taps, dtype: torch.dtype) -> None:
        super().__init__()
        names = ("generator_logits", "hardness_logits", "discriminator_logits_of_each_token", "unmasked_logits")
        self._generator, self._hardness, self._of_word, self._unmasked = (tensors[f"in.{n}"].to(dtype) for n in names)
        self.read = torch.empty(0)

    def generator_features(self, batch: MaskedBatch) -> Tensor:
        return torch.arange(len(batch.labels))

    def generator_logits(self, features: Tensor) -> Tensor:
        return self._generator[features]

    def hardness(self, features: Tensor) -> Tensor:
        return self._hardness[features]

    def detect(self, batch: MaskedBatch) -> Tensor:
        self.read = batch.tokens[0, : len(self._of_word)]
        return torch.cat([self._of_word.gather(1, self.read[:, None])[:, 0], self._unmasked])


class Recorded(ReplacedTokenDetection):
    """The criterion, drawing what a case has drawn: each number lies in the middle of its token's share of q."""

    def __init__(self, config: ReplacedTokenDetection.Config, q: Tensor, tokens: Tensor) -> None:
        super().__init__(config)
        share = q.gather(1, tokens[:, None])[:, 0]
        self._uniform = q.cumsum(1).gather(1, tokens[:, None])[:, 0] - share / 2

    def uniform(self, count: int, device: torch.device) -> Tensor:
        return self._uniform


def losses(case: dict[str, Any], tensors: Taps, dtype: torch.dtype) -> Iterator[Figure]:
    """The criterion on the recorded draw: its losses, their total, and its measurements."""
    wanted, drawn, model = case["losses"], torch.tensor(case["draw"]["ids"]), Scores(tensors, dtype)
    p, _, q = tables(tensors, torch.float64)
    yield Figure("draw", difference(draw(q, Recorded(config(case, None), q, drawn).uniform(0, q.device)), drawn), 0)
    yield compared(case, "weights", importance(p, q, drawn).to(dtype), case["draw"]["weights"], dtype)
    means = criterion_means(Recorded(config(case, None), q, drawn), model, case)
    yield Figure("what the discriminator reads", difference(model.read, drawn), 0)
    parts = {"discriminator": "discriminator_mean", "hardness": "hardness_mean_squared_error"}
    for name, key in (parts | {"generator": "generator_focal_mean", "total": "total"}).items():
        yield compared(case, name, means[name], wanted[key], dtype)
    places = case["masked_places"]
    yield compared(case, "correct", places * means["correct_draws"], float(case["draw"]["correct_replacements"]), dtype)
    effective = case["draw"]["effective_sample_size"]
    yield compared(case, "effective draws", places * means["effective_draws"], effective, dtype)
    for key in (key for key in wanted if key.startswith(CLIPPED)):
        limit = float(key.removeprefix(CLIPPED))
        clipped = criterion_means(Recorded(config(case, limit), q, drawn), model, case)
        yield compared(case, f"discriminator, weights to {limit}", clipped["discriminator"], wanted[key], dtype)


def config(case: dict[str, Any], limit: float | None) -> ReplacedTokenDetection.Config:
    """The options of a case; two places are scored at a time."""
    options = {"focal_gamma": max(case["gammas"]), "discriminator_weight": case["lambda"]}
    return ReplacedTokenDetection.Config(max_weight=limit, chunk_rows=2, **options)


def criterion_means(criterion: Recorded, model: Scores, case: dict[str, Any]) -> dict[str, Tensor]:
    """Each of the criterion's sums by its weight, the discriminator's loss without its factor, and their total."""
    masked, length = case["masked_places"], case["masked_places"] + case["unmasked_places"]
    zeros = torch.zeros(1, length, dtype=torch.int64)
    gold = torch.tensor(case["gold"])
    batch = MaskedBatch(["case"], zeros, zeros, zeros, zeros, length, torch.arange(masked), gold, pad_id=0)
    weights = criterion.weights(batch)
    means = {name: value / weights[name] for name, value in criterion(model, batch).items()}
    total = torch.stack([means[name] for name in criterion.losses]).sum()
    return means | {"total": total, "discriminator": means["discriminator"] / case["lambda"]}


KINDS: dict[str, Check] = {"electra_sampling": check_electra}
