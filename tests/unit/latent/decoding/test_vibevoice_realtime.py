"""VibeVoice-Realtime beyond its golden case: limits, and voices that do not fit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import draw_weights_, latent_lm_config

from latent.decoding.vibevoice_realtime import RealtimeDecoder, RealtimePrompt
from latent.models.sigma_vae import SigmaVAE
from latent.models.vibevoice_realtime import StoredRow, VibeVoiceRealtime, VoicePreset
from s2s.errors import InputError


def tiny_model() -> VibeVoiceRealtime:
    torch.manual_seed(5)
    sizes = {
        "vocab_size": 9,
        "latent_mean": 0.0,
        "latent_std": 1.0,
        "hidden_size": 8,
        "num_heads": 4,
        "connector": "mlp",
    }
    language = latent_lm_config(intermediate_size=6, **sizes)
    acoustic = SigmaVAE.Config(ratios=(2,), depths=(1, 1), widths=(2, 4), latent_size=3, layer_scale=0.5)
    config = VibeVoiceRealtime.Config(language=language, text_layers=1, acoustic=acoustic)
    model = VibeVoiceRealtime(config).eval().requires_grad_(False)  # type: ignore[abstract]
    draw_weights_(model.language.head)
    model.stop[2].weight.zero_()
    model.stop[2].bias.fill_(-1)  # never stops by itself
    return model


def stored(layers: int, length: int) -> StoredRow:
    return [(torch.randn(2, length, 2), torch.randn(2, length, 2)) for _ in range(layers)]


def preset() -> VoicePreset:
    torch.manual_seed(6)
    return VoicePreset(stored(1, 4), stored(2, 7), torch.randn(8), stored(2, 1), torch.randn(8))


def audio_of(text: list[int], max_frames: int, seed: int = 1) -> tuple[torch.Tensor, dict[int, bool]]:
    decoder = RealtimeDecoder(RealtimeDecoder.Config(text_window=2, speech_window=3, num_inference_steps=2))
    *chunks, last = decoder.stream(MODEL, RealtimePrompt(preset(), iter(text), max_frames, seed))
    return torch.cat([chunk.audio[0] for chunk in chunks]), last.ended


MODEL = tiny_model()


@pytest.mark.parametrize("max_frames", [1, 3, 7])
def test_speech_is_cut_at_its_limit_and_goes_on_after_the_text(max_frames: int) -> None:
    audio, ended = audio_of([1, 2, 3], max_frames)
    assert len(audio) == 2 * max_frames
    assert ended == {0: False}


def test_later_text_changes_later_speech_alone() -> None:
    first, second = audio_of([1, 2, 3, 4], 9)[0], audio_of([1, 2, 8, 4], 9)[0]
    assert torch.equal(first[:6], second[:6])
    assert not torch.allclose(first[6:], second[6:])


@cache
def exact_model() -> VibeVoiceRealtime:
    """In float64, since a recurrent model with random weights makes much of a difference of rounding; it may stop."""
    model = tiny_model().double()
    model.stop[2].weight.normal_(std=0.3)
    model.stop[2].bias.fill_(-0.1)
    return model


def prompt_of(number: int) -> RealtimePrompt:
    """Texts of many lengths, two voices; some end by themselves, some at their limits."""
    given, silent = (stored(1, 4), stored(2, 7 + 3 * (number % 2))), stored(2, 1)
    torch.manual_seed(number % 2)
    rows = [[(keys.double(), values.double()) for keys, values in layers] for layers in (*given, silent)]
    preset = VoicePreset(rows[0], rows[1], torch.randn(8).double(), rows[2], torch.randn(8).double())
    text = [1 + (number + place) % 8 for place in range(number % 7)]
    return RealtimePrompt(preset, text, [9, 4, 1, 16, 6, 7][number], number, 0.3 * number)


PROMPTS = [prompt_of(number) for number in range(6)]


@cache
def spoken_alone(number: int, guidance: float) -> tuple[torch.Tensor, bool]:
    chunks = list(batch_decoder(guidance).stream(exact_model(), PROMPTS[number]))
    return torch.cat([chunk.audio[0] for chunk in chunks if chunk.rows]), chunks[-1].ended[0]


def batch_decoder(guidance: float) -> RealtimeDecoder:
    options = {"text_window": 2, "speech_window": 3, "num_inference_steps": 2, "guidance_scale": guidance}
    return RealtimeDecoder(RealtimeDecoder.Config(**options))


arrivals = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.none() | st.integers(0, 8)), max_size=6)


@pytest.mark.parametrize("guidance", [1.5, 1.0])
@settings(max_examples=20, deadline=None)
@given(arrivals)
def test_texts_that_come_and_go_sound_as_they_do_alone(
    guidance: float, plan: list[tuple[int, int, int | None]]
) -> None:
    """The plan: steps until a text enters, which one, and after how many steps it is removed, if it is."""
    telling = batch_decoder(guidance).start(exact_model())
    heard: dict[int, list[torch.Tensor]] = {}
    ended: dict[int, bool] = {}
    playing: dict[int, int] = {}
    removed: dict[int, int] = {}

    def step() -> None:
        if not len(telling):
            return
        chunk = telling.step()
        for key, audio in zip(chunk.rows, chunk.audio, strict=True):
            heard[key].append(audio)
        ended.update(chunk.ended)
        for key in removed:
            removed[key] -= 1
        telling.remove([key for key, left in removed.items() if left == 0])

    for wait, number, stay in plan:
        for _ in range(wait):
            step()
        (key,) = telling.add([PROMPTS[number]])
        playing[key], heard[key] = number, []
        if stay:
            removed[key] = stay
    while len(telling):
        step()
    for key, number in playing.items():
        audio, stopped = spoken_alone(number, guidance)
        said = torch.cat([audio[:0], *heard[key]])
        torch.testing.assert_close(said, audio[: len(said)], atol=1e-9, rtol=1e-6)
        assert key in removed or len(said) == len(audio)
        assert ended.get(key, stopped) == stopped
        assert key in ended or key in removed


def test_texts_end_by_themselves_and_at_their_limits() -> None:
    assert {spoken_alone(number, 1.5)[1] for number in range(6)} == {True, False}


def test_a_voice_of_another_model_is_refused() -> None:
    with pytest.raises(InputError, match="the voice preset must have 1 and 2 layers, found 1 and 1"):
        MODEL.prefill(replace(preset(), speech=stored(1, 7)), 10)
    with pytest.raises(InputError, match=r"a voice preset must hold 'tts_lm\.last_hidden_state', which is missing"):
        VoicePreset.named({})
