"""Wide beam search finds what beam search of `transformers` finds, in a BART behind our own interface."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from s2s.config import parse_section
from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.wide import WideBeamSearch

transformers = pytest.importorskip("transformers")

PAD, START, END, SIZE, STEPS = 1, 0, 2, 13, 9
STOPS = {"certain": "never", "likely": False, "full": True}


class Bart:
    """A BART that computes everything anew at each step; the caller's state is what was generated."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        config = transformers.BartConfig(
            **{"vocab_size": SIZE, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1},
            **{
                "encoder_attention_heads": 2,
                "decoder_attention_heads": 2,
                "encoder_ffn_dim": 12,
                "decoder_ffn_dim": 12,
            },
            **{"max_position_embeddings": 24, "init_std": 1.0, "dropout": 0.0, "forced_eos_token_id": None},
            **{"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END, "decoder_start_token_id": END},
        )
        self.model = transformers.BartForConditionalGeneration(config).eval()
        self.model.final_logits_bias[0, END], self.model.final_logits_bias[0, PAD] = 1.5, -100.0

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """Takes all."""

    def start(self, sources: SourceBatch, max_steps: int) -> Generated:
        return Generated(sources.tokens, torch.full((len(sources.ids), 1, 1), END))

    def step(self, state: Generated, tokens: Tensor | None) -> Tensor:
        if tokens is not None:
            state.tokens = torch.cat([state.tokens, tokens.unsqueeze(-1)], -1)
        sentences, hypotheses, _ = state.tokens.shape
        inputs = state.sources.repeat_interleave(hypotheses, 0)
        logits = self.model(
            input_ids=inputs, attention_mask=(inputs != PAD).long(), decoder_input_ids=state.tokens.flatten(0, 1)
        ).logits
        return logits[:, -1].view(sentences, hypotheses, -1)  # type: ignore[no-any-return]


class Generated:
    def __init__(self, sources: Tensor, tokens: Tensor) -> None:
        self.sources, self.tokens = sources, tokens

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        if sentences is not None:
            self.sources, self.tokens = self.sources[sentences], self.tokens[sentences]
        index = parents.unsqueeze(-1).expand(-1, -1, self.tokens.shape[-1])
        self.tokens = self.tokens.gather(1, index)


def sources(lengths: list[int]) -> SourceBatch:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.full((len(lengths), max(lengths)), PAD)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(3, SIZE, (length,), generator=generator)
    names, prefixes = [str(row) for row in range(len(lengths))], [[] for _ in lengths]
    return SourceBatch(names, tokens, torch.tensor(lengths), Feeding(end=END, start=END), prefixes)


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize(("penalty", "minimum"), [(0.0, 0), (1.0, 0), (0.5, 3)])
@pytest.mark.parametrize("beam_size", [2, 5])
def test_outputs_and_scores_are_those_of_transformers(stop: str, penalty: float, minimum: int, beam_size: int) -> None:
    batch, bart, count = sources([5, 3, 7, 6, 4, 2, 5]), Bart(seed=4), (beam_size + 1) // 2
    options: dict[str, Any] = {"beam_size": beam_size, "length_penalty": penalty, "length_penalty_form": "power"}
    options |= {"max_length": STEPS, "min_length": minimum, "num_hypotheses": count, "stop": stop}
    decoder = WideBeamSearch(parse_section(WideBeamSearch.Config, options, "decoder"), int)
    made = bart.model.generate(
        batch.tokens,
        attention_mask=(batch.tokens != PAD).long(),
        **{"num_beams": beam_size, "num_return_sequences": count, "length_penalty": penalty, "do_sample": False},
        **{"early_stopping": STOPS[stop], "max_new_tokens": STEPS, "min_new_tokens": minimum},
        **{"return_dict_in_generate": True, "output_scores": True},
    )
    expected = [[token for token in row if token != PAD] for row in made.sequences[:, 1:].tolist()]
    found = [hypothesis for row in decoder(bart, batch) for hypothesis in row]
    assert [item.tokens + [END] * item.finished for item in found] == expected
    assert [item.score for item in found] == pytest.approx(made.sequences_scores.tolist(), abs=1e-4)


def test_a_repetition_penalty_is_that_of_transformers() -> None:
    batch, bart = sources([5, 3, 7, 6, 4, 2, 5]), Bart(seed=4)
    rule = transformers.RepetitionPenaltyLogitsProcessor(3.0, prompt_ignore_length=1)
    made = bart.model.generate(
        batch.tokens,
        attention_mask=(batch.tokens != PAD).long(),
        logits_processor=transformers.LogitsProcessorList([rule]),
        **{"num_beams": 3, "length_penalty": 0.0, "do_sample": False, "early_stopping": "never"},
        **{"max_new_tokens": STEPS, "return_dict_in_generate": True, "output_scores": True},
    )
    expected = [[token for token in row if token != PAD] for row in made.sequences[:, 1:].tolist()]
    outputs = []
    for penalty in (3.0, 1.0):
        options = {"beam_size": 3, "max_length": STEPS, "min_length": 0, "repetition_penalty": penalty}
        decoder = WideBeamSearch(parse_section(WideBeamSearch.Config, options, "decoder"), int)
        found = [best for (best,) in decoder(bart, batch)]
        outputs.append([item.tokens + [END] * item.finished for item in found])
        if penalty > 1:
            assert [item.score for item in found] == pytest.approx(made.sequences_scores.tolist(), abs=1e-4)
    assert outputs[0] == expected != outputs[1]


def test_the_three_ways_to_stop_differ() -> None:
    outputs = []
    for stop in STOPS:
        options = {
            "beam_size": 2,
            "length_penalty": 1.0,
            "length_penalty_form": "power",
            "max_length": STEPS,
            "stop": stop,
        }
        decoder = WideBeamSearch(parse_section(WideBeamSearch.Config, options, "decoder"), int)
        outputs.append([best.tokens for (best,) in decoder(Bart(seed=4), sources([5, 3, 7, 6, 4, 2, 5]))])
    certain, likely, full = outputs
    assert certain != likely != full != certain
