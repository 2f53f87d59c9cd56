"""Models that are made without random weights."""

from __future__ import annotations

import torch

from s2s.models.encoder_decoder import EncoderDecoder
from s2s.models.unilm import UniLM
from s2s.nn.unfilled import Unfilled

SIZES = {"vocab_size": 40, "hidden_size": 8, "num_heads": 2, "intermediate_size": 8}


def test_a_model_without_random_weights_draws_no_number_and_computes_what_is_loaded_into_it() -> None:
    for cls, options in ((UniLM, {"num_layers": 1, "relative_buckets": 4}), (EncoderDecoder, {"encoder_layers": 1})):
        config = cls.Config(**SIZES, **options)  # type: ignore[attr-defined]
        filled = cls(config).eval()  # type: ignore[operator]
        before = torch.get_rng_state()
        with Unfilled():
            unfilled = cls(config).eval()  # type: ignore[operator]
        assert torch.equal(torch.get_rng_state(), before)
        unfilled.load_state_dict(filled.state_dict())
        kept = dict(unfilled.named_buffers())  # also those that no file holds
        assert all(torch.equal(kept[name], buffer) for name, buffer in filled.named_buffers())


def test_what_is_not_a_parameter_is_filled() -> None:
    with Unfilled():
        assert torch.empty(3).fill_(2.0).tolist() == [2.0, 2.0, 2.0]
