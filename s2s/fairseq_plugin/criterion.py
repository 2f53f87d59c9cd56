"""The criterion `unilatent` of fairseq: our cross entropy."""

import math
from dataclasses import dataclass, field
from typing import Any

from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from s2s.config import options_in, parse_section
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import TokenBatch

from .dataset import BATCH


@dataclass
class CriterionConfig(FairseqDataclass):
    """Options of the criterion."""

    cross_entropy: str = field(
        default="",
        metadata={
            "help": 'options as "label_smoothing=0.1": `unilatent options criterion cross_entropy` explains them'
        },
    )


class _Scoring:
    """A model as `s2s.criteria.base.Scorer`; features come from its `forward`, which fairseq may have wrapped."""

    def __init__(self, model: Any) -> None:
        self._model, self.logits = model, model.logits

    def features(self, batch: TokenBatch) -> Tensor:
        return self._model(batch)  # type: ignore[no-any-return]


@register_criterion("unilatent", dataclass=CriterionConfig)
class Criterion(FairseqCriterion):
    """`s2s.criteria.cross_entropy`; as all losses of fairseq, logged in bits."""

    def __init__(self, task: Any, cross_entropy: str) -> None:
        super().__init__(task)
        options = options_in(cross_entropy, "--cross-entropy")
        self._criterion = CrossEntropy(parse_section(CrossEntropy.Config, options, "--cross-entropy"))

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, int, dict[str, Any]]:
        """The summed loss in nats, the number of labels, and what is logged."""
        batch = sample[BATCH].to(sample["id"].device)
        sums = self._criterion(_Scoring(model), batch)
        labels = len(batch.labels)
        logged = {name: value.detach() for name, value in sums.items()}
        counts = {"ntokens": sample["ntokens"], "nsentences": sample["nsentences"], "sample_size": labels}
        return sums["loss"], labels, logged | counts

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Log the mean loss in bits, and the share of labels that are the most probable token."""
        labels = sum(output.get("sample_size", 0) for output in logging_outputs)
        for name, unit in (("loss", math.log(2)), ("accuracy", 1.0)):
            total = sum(output.get(name, 0) for output in logging_outputs)
            metrics.log_scalar(name, total / labels / unit, labels, round=5)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """They are sums."""
        return True
