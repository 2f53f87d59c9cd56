"""The verb for released weights, on a tiny checkpoint: from a script and recordings of voices to a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from latent.audio.files import audio_info, load_audio, write_audio
from latent.models.checkpoints import load_vibevoice
from latent.synthesis.provenance import read_tags
from latent.synthesis.vibevoice import load_text_encoder, read_turns, sample_voices, script_prompts
from latent.vibevoice_commands import vibevoice
from s2s.errors import ConfigError, InputError

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 24_000


def config() -> dict[str, Any]:
    codec = {"downsampling_ratios": [40, 80], "depths": [1, 1, 1], "num_filters": 1, "kernel_size": 7}
    codec |= {"ffn_expansion": 2, "rms_norm_eps": 1e-5, "vae_std": 0.625, "hidden_size": 3, "channels": 1}
    text = {"vocab_size": 260, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 1, "intermediate_size": 6, "rms_norm_eps": 1e-6, "max_position_embeddings": 600}
    text |= {"model_type": "qwen2", "tie_word_embeddings": True}
    head = {"intermediate_size": 24, "num_hidden_layers": 1, "rms_norm_eps": 1e-5}
    return {
        "model_type": "vibevoice",
        "audio_config": codec | {"model_type": "vibevoice_acoustic_tokenizer"},
        "semantic_model_config": codec | {"model_type": "vibevoice_acoustic_tokenizer_encoder"},
        "text_config": text | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        "diffusion_head_config": head | {"frequency_embedding_size": 256, "diffusion_max_period": 10_000},
        "audio_token_id": 256,
        "audio_eos_token_id": 257,
        "audio_bos_token_id": 258,
        "eos_token_id": 259,
        "pad_token_id": 259,
        "tie_word_embeddings": True,
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of `transformers` with a tokenizer of bytes beside them."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    settings = transformers.VibeVoiceConfig(**config())
    weights = transformers.VibeVoiceForConditionalGeneration(settings).state_dict()
    for name, tensor in weights.items():
        if "audio_tower" in name and tensor.dim() > 1:
            tensor.normal_(std=0.2)
    table = weights["model.language_model.embed_tokens.weight"]
    table[:, 0], table[256, 0], table[[257, 259], 0] = 10, 20, -20  # a latent follows wherever the first number is high
    for connector in ("multi_modal_projector", "semantic_connector"):
        weights[f"model.{connector}.linear_2.bias"][0] = 20
    save_file(
        {name: t.clone() for name, t in weights.items() if name != "lm_head.weight"}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(settings.to_dict(), default=str))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "script.txt").write_text("Speaker 1: Hello.\nSpeaker 2: Hi there.\n")
    for name, pitch in (("a", 100), ("b", 200)):
        time = np.arange(RATE) / RATE
        write_audio(tmp_path / f"{name}.wav", (0.1 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), RATE)
    return tmp_path


def call(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(vibevoice)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_script_becomes_a_file_that_says_it_is_synthetic(checkpoint: Path, home: Path) -> None:
    voices = ["--voice", home / "a.wav", "--voice", home / "b.wav", "--i-have-consent"]
    common = [checkpoint, "decoder.num_inference_steps=2", "--script", home / "script.txt", *voices, "--device", "cpu"]
    call(*common, "--output", home / "out.wav", "--max-seconds", 0.6)
    info = audio_info(home / "out.wav")
    assert info.sample_rate == RATE
    assert info.seconds == pytest.approx(5 * 3200 / RATE), "0.6 s, in whole frames"
    assert re.fullmatch(
        r"Synthetic speech, not a recording\. Model tiny \([0-9a-f]{16}\), seed 0, .*",
        read_tags(home / "out.wav")["comment"],
    )
    assert (home / "a.wav.consent.json").is_file()
    with pytest.raises(InputError, match=r"out\.wav: exists already; give --overwrite"):
        call(*common, "--output", home / "out.wav")
    before = load_audio(home / "out.wav", RATE)
    call(*common, "--output", home / "out.wav", "--max-seconds", 0.6, "--overwrite")
    assert np.array_equal(load_audio(home / "out.wav", RATE), before)
    call(*common, "--output", home / "out.wav", "--max-seconds", 0.6, "--overwrite", "--seed", 1)
    assert not np.array_equal(load_audio(home / "out.wav", RATE), before)


def test_prompts_hold_the_voices_in_the_order_of_the_speakers(checkpoint: Path, home: Path) -> None:
    model, encode = load_vibevoice(str(checkpoint)), load_text_encoder(checkpoint, None)
    voices = sample_voices(model, [home / "a.wav", home / "b.wav"], seed=3)
    assert [voice.shape for voice in voices] == [(8, 3), (8, 3)]
    prompts = script_prompts(model, encode, read_turns(home / "script.txt"), voices, seed=5, temperature=0.5)
    assert prompts.conditional.tokens[0, -1] == 258
    assert torch.equal(prompts.conditional.latents, torch.cat(voices))
    assert prompts.unconditional.tokens.tolist() == [[258]]
    assert prompts.max_frames == [int(np.ceil((2 * (7 + 10) / 15 + 10) * 7.5))]
    assert prompts.temperatures.tolist() == [0.5]


def test_mistakes_are_one_line(checkpoint: Path, home: Path) -> None:
    script = home / "script.txt"
    common = [checkpoint, "--script", script, "--output", home / "out.wav", "--device", "cpu"]
    with pytest.raises(InputError, match=r"a\.wav: a voice prompt needs the consent"):
        call(*common, "--voice", home / "a.wav")
    with pytest.raises(InputError, match="the script: 1 voices need speakers 1 to 1, found 1, 2"):
        call(*common, "--voice", home / "a.wav", "--i-have-consent")
    with pytest.raises(ConfigError, match="model: only options of the decoder can be given here"):
        call(*common, "model.hidden_size=3")
    with pytest.raises(ConfigError, match=r"decoder\.guidance: no such option\. Did you mean 'guidance_scale'"):
        call(*common, "decoder.guidance=3")
    with pytest.raises(InputError, match=r"the model has room for \d+\.\d s after this script .* 900\.0 s are asked"):
        call(*common, "--max-seconds", 900)
    with pytest.raises(InputError, match=r"out\.mp4: the suffix must be one of"):
        call(*common[:3], "--output", home / "out.mp4", "--device", "cpu")
    script.write_text("hello\n\n")
    assert len(read_turns(script)) == 1
    script.write_text("")
    with pytest.raises(InputError, match=r"script\.txt: the script: no line reads"):
        call(*common)
    (home / "s.json").write_text("{}")
    with pytest.raises(InputError, match=r"s\.json: the script: expected a JSON list of turns, found dict"):
        read_turns(home / "s.json")
    write_audio(home / "short.wav", np.full(100, 0.1, np.float32), RATE)
    with pytest.raises(InputError, match=r"short\.wav: a voice sample must last 0\.5 to 120 seconds, found 0\.0"):
        sample_voices(load_vibevoice(str(checkpoint)), [home / "short.wav"], 0)
    (home / "nothing").mkdir()
    with pytest.raises(InputError, match=r"nothing: holds no text tokenizer and names none; give --tokenizer"):
        load_text_encoder(home / "nothing", None)


def test_half_precision_generates_too(checkpoint: Path, home: Path) -> None:
    from latent.decoding.vibevoice import VibeVoiceDecoder

    model = load_vibevoice(str(checkpoint), torch.bfloat16)
    voices = sample_voices(model, [home / "a.wav", home / "b.wav"], seed=3)
    prompts = script_prompts(model, load_text_encoder(checkpoint, None), read_turns(home / "script.txt"), voices)
    decoder = VibeVoiceDecoder(VibeVoiceDecoder.Config(num_inference_steps=2))
    stream = decoder.stream(model, prompts)
    for step, _ in zip(stream, range(4), strict=False):
        assert torch.isfinite(step.audio).all()
