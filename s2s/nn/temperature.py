"""The temperature of attention: how flat its weights are, for sources, for targets, and from targets to sources.

Scores are q k / sqrt(d) for heads of width d. A temperature changes the divisor alone: relative position biases, the
softmax over words and the weights stay. Source: PLATE (arXiv 2106.03441) and its program
(github.com/Shengqiang-Zhang/plate, `fairseq/modules/multihead_attention.py`).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from s2s.config import Section
from s2s.nn.attention import Attention

_LEAST, _MOST = 0.01, 10_000
"""Below this range scores would pass `s2s.nn.masks.HIDDEN`, and hidden keys would show."""


class Factors(NamedTuple):
    """By what scores are multiplied: those of sources, of targets for targets, and of targets for sources."""

    source: float = 1.0
    target: float = 1.0
    cross: float = 1.0


NEUTRAL = Factors()


class AttentionTemperature(Section):
    """Three temperatures. A number stands for all three, and so does `all` beside a form."""

    source: float = Field(1, ge=_LEAST, le=_MOST)
    """Of sources that read themselves."""
    target: float = Field(1, ge=_LEAST, le=_MOST)
    """Of outputs that read what is written so far."""
    cross: float = Field(1, ge=_LEAST, le=_MOST)
    """Of outputs that read their source."""
    form: Literal["under_root", "outside_root", "width"] = "under_root"
    """What scores are divided by, for heads of width d and a temperature t: sqrt(t d), the program of PLATE with λ = t;
    t sqrt(d), with λ before the root; or sqrt(t), that program's own number T, which is neutral at d."""

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "all" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "all"}
        if twice := rest.keys() & {"source", "target", "cross"}:
            raise ValueError(f"all stands for source, target and cross; found it beside {', '.join(sorted(twice))}")
        _check(values["all"], "all ")
        return dict.fromkeys(("source", "target", "cross"), values["all"]) | rest

    @model_validator(mode="after")
    def _width_is_given(self) -> AttentionTemperature:
        lacking = {"source", "target", "cross"} - self.model_fields_set
        if self.form == "width" and lacking:
            raise ValueError(
                f"form width needs all of source, target and cross, {', '.join(sorted(lacking))} is missing"
            )
        return self

    def factors(self, width: int) -> Factors:
        """What the scores of heads of this width are multiplied by; exactly 1 where a temperature is neutral."""
        return Factors(*(self._factor(value, width) for value in (self.source, self.target, self.cross)))

    def _factor(self, value: float, width: int) -> float:
        if self.form == "outside_root":
            return 1 / value
        return 1 / math.sqrt(value if self.form == "under_root" else value / width)


def _for_all(value: Any) -> Any:
    """The mapping that a number stands for."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    _check(value)
    return {"all": value}


def _check(value: Any, name: str = "") -> None:
    """Refuse a number for all three once, not three times."""
    if isinstance(value, int | float) and not _LEAST <= value <= _MOST:
        raise ValueError(f"{name}must be from {_LEAST:g} to {_MOST:g}, found {value:g}")


Temperature = Annotated[AttentionTemperature | None, BeforeValidator(_for_all)]
"""Type of an option: a number, a mapping, or None for neutral attention."""


def scaled(attention: Attention, factor: float) -> Attention:
    """Attention whose scores are multiplied by a factor; the same attention for 1."""
    if factor == 1:
        return attention

    def attend(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        return attention(queries * factor, keys_values, dropout)

    return attend
