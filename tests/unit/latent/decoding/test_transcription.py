"""Writing down what was heard: a text depends on its own prompt alone, and ends where it goes in circles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_latent_lm
from torch import Tensor

from latent.decoding.repetition import loop_length
from latent.decoding.text_writer import ReadPrompts, TextWriter
from latent.decoding.transcription import TranscriptionDecoder
from latent.nn.transformer import causal_attention
from latent.nn.writing import TextState
from s2s.errors import InputError

TOKENS = st.lists(st.integers(0, 3), max_size=60)


@given(TOKENS, st.integers(2, 5), st.integers(1, 20))
def test_what_is_cut_off_a_loop_only_repeats_what_is_before_it(tokens: list[int], times: int, least: int) -> None:
    loop = loop_length(tokens, times, least)
    if loop:
        kept = tokens[: len(tokens) - loop]
        period = next(
            size
            for size in range(1, len(kept) + 1)
            if all(tokens[place] == tokens[place - size] for place in range(len(kept), len(tokens)))
        )
        assert loop + period >= max(least, times * period)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20, unique=True), TOKENS, st.integers(3, 8))
def test_a_loop_is_noticed_whatever_is_before_it(period: list[int], before: list[int], times: int) -> None:
    assert loop_length([*before, *period * times], times, 1) >= len(period) * (times - 1) - len(period) + 1
    assert not loop_length(period * (times - 1), times, 1)


def prompt_of(model: Any, length: int, seed: int) -> Tensor:
    return torch.randn(1, length, model.config.hidden_size, generator=torch.Generator().manual_seed(seed))


def read(writer: TextWriter, prompt: Tensor, pieces: int = 1) -> TextState:
    state = writer.empty(0)
    for piece in prompt.chunk(pieces, dim=1):
        writer.read(state, piece)
    return state


def write(model: Any, prompts: Sequence[Tensor], limit: int = 12, pieces: int = 1, **options: Any) -> list[list[int]]:
    writer = TextWriter(model, [0])
    states = [read(writer, prompt, pieces) for prompt in prompts]
    decoder = TranscriptionDecoder(TranscriptionDecoder.Config(**options))
    ids = [str(number) for number in range(len(prompts))]
    return [text.tokens for (text,) in decoder(writer, ReadPrompts.of(ids, states, [limit] * len(ids), 0))]


def only(texts: list[list[Any]]) -> Any:
    ((text,),) = texts
    return text


def without_cache(model: Any, prompt: Tensor, steps: int) -> list[int]:
    """The greedy text, by reading everything again at each step."""
    written: list[int] = []
    while len(written) < steps:
        embedded = torch.cat([prompt, model.embeddings(torch.tensor([written], dtype=torch.int64))], dim=1)
        positions = torch.arange(embedded.shape[1]).unsqueeze(0)
        hidden = model.read(embedded, positions, lambda layer: causal_attention)
        token = int(model.logits(hidden[0, -1]).argmax())
        if token == 0:
            break
        written.append(token)
    return written


@torch.inference_mode()
def test_greedy_text_is_that_of_reading_everything_again() -> None:
    model = tiny_latent_lm().eval().double()
    prompt = prompt_of(model, 9, 1).double()
    assert write(model, [prompt]) == [without_cache(model, prompt, 12)]


@torch.inference_mode()
@pytest.mark.parametrize("beam_size", [1, 3])
def test_texts_of_a_batch_are_those_of_each_alone_whatever_pieces_the_prompts_came_in(beam_size: int) -> None:
    model = tiny_latent_lm().eval().double()
    prompts = [prompt_of(model, length, length).double() for length in (9, 4, 17)]
    alone = [write(model, [prompt], beam_size=beam_size)[0] for prompt in prompts]
    assert write(model, prompts, beam_size=beam_size, pieces=3) == alone
    assert len({tuple(text) for text in alone}) > 1, "the texts depend on the prompts"


@torch.inference_mode()
def test_a_wider_beam_finds_a_text_that_is_at_least_as_likely() -> None:
    model = tiny_latent_lm(seed=9).eval().double()
    prompt = prompt_of(model, 6, 2).double()

    def log_prob(tokens: list[int]) -> float:
        writer, state = TextWriter(model, [0]), None
        state = read(writer, prompt)
        total = 0.0
        for token in [*tokens, *([0] if len(tokens) < 12 else [])]:
            total += float(writer.logits(state.hidden).log_softmax(-1)[0, token])
            writer.read(state, model.embeddings(torch.tensor([[token]])))
        return total

    greedy, wide = (write(model, [prompt], beam_size=size)[0] for size in (1, 6))
    assert log_prob(wide) >= log_prob(greedy) - 1e-9


class Parrot:
    """A language model that says the same tokens over and over."""

    def __init__(self, period: Sequence[int], vocabulary: int = 7) -> None:
        self._next = dict(zip(period, [*period[1:], period[0]], strict=True))
        self.inner = tiny_latent_lm(vocab_size=vocabulary, max_positions=900).eval()
        with torch.no_grad():
            for block in self.inner.layers:
                block.out.weight.zero_()
                block.down.weight.zero_()
            table = torch.eye(vocabulary, self.inner.config.hidden_size)
            self.inner.embeddings.weight.copy_(table)
        self.config, self.embeddings, self.read = self.inner.config, self.inner.embeddings, self.inner.read

    def logits(self, hidden: Tensor) -> Tensor:
        last = hidden[..., : self.config.vocab_size].argmax(-1)
        following = torch.tensor([self._next.get(token, 1) for token in last.flatten().tolist()])
        return torch.nn.functional.one_hot(following, self.config.vocab_size).float().view(*last.shape, -1)


@torch.inference_mode()
@pytest.mark.parametrize("repeats", [8, 0])
def test_a_model_that_repeats_itself_is_stopped_and_its_text_is_kept_once(repeats: int) -> None:
    writer = TextWriter(Parrot([1, 2, 3]), [0])
    prompts = ReadPrompts.of(["a"], [read(writer, torch.zeros(1, 2, 12))], [300], 0)
    decoder = TranscriptionDecoder(TranscriptionDecoder.Config(max_repeats=repeats))
    text = only(decoder(writer, prompts))
    assert text.tokens[:6] == [1, 2, 3, 1, 2, 3]
    if repeats:
        assert (text.ending, len(text.tokens)) == ("repetition", 96)
        assert len(text.tokens) - text.loop == 3
    else:
        assert (text.ending, len(text.tokens), text.loop) == ("limit", 300, 0)


@torch.inference_mode()
def test_each_text_has_a_limit_of_its_own() -> None:
    writer = TextWriter(Parrot([1, 2, 3]), [0])
    prompts = ReadPrompts.of(["a", "b"], [read(writer, torch.zeros(1, size, 12)) for size in (2, 5)], [20, 7], 0)
    decoder: Any = TranscriptionDecoder(TranscriptionDecoder.Config(max_repeats=0))
    texts = [text for (text,) in decoder(writer, prompts)]
    assert [len(text.tokens) for text in texts] == [20, 7]
    assert {text.ending for text in texts} == {"limit"}


@torch.inference_mode()
def test_any_of_the_stops_ends_a_text_as_the_first_one_would() -> None:
    model = Parrot([1, 2, 3, 4, 5])
    for stops, expected in (([0, 3], [1, 2]), ([5], [1, 2, 3, 4]), ([4, 2], [1])):
        writer = TextWriter(model, stops)
        prompts = ReadPrompts.of(["a"], [read(writer, torch.zeros(1, 2, 12))], [30], stops[0])
        text = only(TranscriptionDecoder(TranscriptionDecoder.Config())(writer, prompts))
        assert (text.tokens, text.ending) == (expected, "model")


@torch.inference_mode()
def test_memory_grows_by_the_bytes_of_a_position_alone() -> None:
    model = tiny_latent_lm(max_positions=5000).eval()
    writer, config = TextWriter(model, [0]), model.config
    state = writer.empty(0)
    each = config.num_layers * 2 * config.num_kv_heads * (config.hidden_size // config.num_heads) * 4
    for count in (1, 100, 400):
        before = state.num_bytes
        writer.read(state, torch.zeros(1, count, config.hidden_size))
        assert state.num_bytes - before == count * each


@torch.inference_mode()
def test_what_is_forgotten_leaves_no_trace() -> None:
    model = tiny_latent_lm().eval().double()
    writer = TextWriter(model, [0])
    plain, wandered = (read(writer, prompt_of(model, 5, 1).double()) for _ in range(2))
    writer.read(wandered, prompt_of(model, 7, 2).double())
    wandered.forget(7)
    more = prompt_of(model, 3, 3).double()
    torch.testing.assert_close(writer.read(wandered, more), writer.read(plain, more))


def test_a_prompt_that_is_too_long_for_the_model_is_refused() -> None:
    writer = TextWriter(tiny_latent_lm().eval(), [0])
    with pytest.raises(InputError, match="would reach 61 positions, the model has 60"):
        writer.read(writer.empty(0), torch.zeros(1, 61, 12))
