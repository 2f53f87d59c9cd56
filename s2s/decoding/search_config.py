"""Options that every search for texts shares, and how a search begins under them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from s2s.data.batch import SourceBatch
from s2s.decoding.base import Search, State, StepModel, TokenIds, no_tokens
from s2s.decoding.constraints import ConstraintOptions, Constraints
from s2s.errors import ConfigError
from s2s.nn.temperature import AttentionTemperature, Temperature


class SearchConfig(ConstraintOptions):
    """Options of outputs, and of the model's attention while it writes them."""

    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    """Tokens that an output already has become less likely (above 1) or likelier; 1.2 is usual, null is off."""
    attention_temperature: Temperature = None
    """Flattens the attention of the model (above 1) or sharpens it, as PLATE does for pseudo-labels; null is neutral. A
    number, or a mapping for sources, targets and targets that read sources."""


class TextSearch(Search):
    """A search under these options."""

    config: SearchConfig

    def __init__(self, config: SearchConfig, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        self._constraints = Constraints(config, token_id)

    def check(self, source: Any, where: str) -> None:
        self._constraints.check(source, where)

    def check_lengths(self, model: StepModel, sources: SourceBatch) -> None:
        model.check_lengths(sources.lengths, self.config.max_length)


@runtime_checkable
class TemperedModel(StepModel, Protocol):
    """A model that can also generate with flatter or sharper attention."""

    def start_tempered(self, sources: SourceBatch, max_steps: int, temperature: AttentionTemperature) -> State:
        """`start`, for a generation with attention at a temperature."""


def start(model: StepModel, sources: SourceBatch, max_steps: int, config: SearchConfig) -> State:
    """The state of a generation; raises as `StepModel.start`, and ConfigError if the model has no temperature."""
    if config.attention_temperature is None:
        return model.start(sources, max_steps)
    if not isinstance(model, TemperedModel):
        raise ConfigError(
            f"decoder.attention_temperature: must be null, {type(model).__name__} reads at its own temperature alone"
        )
    return model.start_tempered(sources, max_steps, config.attention_temperature)
