"""VibeVoice-Realtime beyond its golden case: limits, and voices that do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
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


def test_a_voice_of_another_model_is_refused() -> None:
    with pytest.raises(InputError, match="the voice preset must have 1 and 2 layers, found 1 and 1"):
        MODEL.prefill(replace(preset(), speech=stored(1, 7)), 10)
    with pytest.raises(InputError, match=r"a voice preset must hold 'tts_lm\.last_hidden_state', which is missing"):
        VoicePreset.named({})
