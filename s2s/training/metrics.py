"""What the best weights are chosen by: the validation loss, or a metric of generated texts."""

from __future__ import annotations

from s2s.data.text_metrics import TEXT_METRICS

LOSS = "loss"
FACTS = frozenset(("split", "step", "epoch", "lr", "grad_norm", "tokens_per_s", "wait", "seconds"))
"""What a record of the log holds beside losses and metrics."""


def cost(name: str, value: float) -> float:
    """The value of the loss or of a metric, such that lower is better: the one place that knows its direction."""
    lower_is_better = name == LOSS or TEXT_METRICS[name].lower_is_better
    return value if lower_is_better else -value
