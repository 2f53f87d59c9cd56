"""Models that no memory can hold are refused before they are built."""

from __future__ import annotations

from typing import Any

import pytest

from latent.models.latent_lm import LatentLM
from s2s.errors import ConfigError
from s2s.models.base import Model
from s2s.models.memory import check_memory
from s2s.models.unilm import UniLM

TINY = {"vocab_size": 30, "hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize("size", [10**9, 10**12, 2 * 10**15, 2**62])
@pytest.mark.parametrize("name", ["hidden_size", "max_positions", "vocab_size", "intermediate_size", "num_segments"])
def test_sizes_beyond_memory_name_the_option_and_the_memory(name: str, size: int) -> None:
    section = UniLM.Config(**{**TINY, name: size - size % 2})
    with pytest.raises(ConfigError, match=rf"^model.{name}: {size} makes weights .* [\d,]+ (GB|EB) of memory; this"):
        check_memory(UniLM, section)


def test_speech_models_too() -> None:
    section = LatentLM.Config(vocab_size=10**12, latent_size=4, latent_mean=0.0, latent_std=1.0)
    with pytest.raises(ConfigError, match=r"^model.vocab_size: 1000000000000 makes weights that take [\d,]+ GB"):
        check_memory(LatentLM, section)


@pytest.mark.parametrize("options", [TINY, {}])
def test_usual_sizes_pass_and_draw_nothing(options: dict[str, Any]) -> None:
    import torch

    state = torch.get_rng_state()
    check_memory(UniLM, UniLM.Config(**{"vocab_size": 30_000, **options}))
    assert torch.equal(torch.get_rng_state(), state)


def test_other_mistakes_are_left_to_the_model() -> None:
    class Broken(Model):
        def __init__(self, config: Any) -> None:
            raise RuntimeError("another mistake")

    check_memory(Broken, UniLM.Config())
