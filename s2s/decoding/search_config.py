"""Options that every search for texts shares, and how a search begins under them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import Field

from s2s.data.batch import SourceBatch
from s2s.decoding.base import State, StepModel
from s2s.decoding.constraints import ConstraintOptions
from s2s.errors import ConfigError
from s2s.nn.temperature import AttentionTemperature, Temperature


class SearchConfig(ConstraintOptions):
    """Options of outputs, and of the model's attention while it writes them."""

    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    """Tokens that an output already has become less likely (above 1) or likelier; 1.2 is usual, null is off."""
    attention_temperature: Temperature = None
    """Flattens the attention of the model (above 1) or sharpens it, as PLATE does for pseudo-labels; null is neutral. A
    number, or a mapping for sources, targets and targets that read sources."""


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
