"""Speech with released VibeVoice weights: a script, and samples of its speakers' voices, into one file."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latent.audio.files import FORMATS, AudioWriter, audio_info, load_audio
from latent.audio.levels import normalize_loudness
from latent.audio_tokenizer import encode_samples
from latent.data.batch import GenerationPrompts, MixedSequences
from latent.data.vibevoice_prompt import (
    SwitchName,
    Turn,
    check_voices,
    parse_script,
    prompt_sequence,
    script_of_json,
    script_of_text,
)
from latent.decoding.vibevoice import VibeVoiceDecoder
from latent.models.vibevoice import VibeVoice
from s2s.errors import InputError
from s2s.progress import Meter, audio

logger = logging.getLogger(__name__)

VOICE_SECONDS = (0.5, 120.0)
"""Shortest and longest sample of a voice."""

_CHARACTERS_PER_SECOND = 15
_LENGTH_FACTOR, _LENGTH_SECONDS = 2.0, 10.0

TextEncoder = Callable[[str], Sequence[int]]
"""Text to tokens, without tokens around it."""


@dataclass(frozen=True)
class Spoken:
    """What came out: seconds of audio, seconds of work for each, and whether the model ended it."""

    seconds: float
    real_time_factor: float
    ended: bool

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s of audio, real-time factor {self.real_time_factor:.2f}" + (
            "" if self.ended else ", cut: it did not end by itself"
        )


def read_turns(script: Path) -> list[Turn]:
    """Who says what in a script: a .json list of speakers and texts, or lines that read `Speaker 1: text`.

    Raises:
        InputError: the file cannot be read, or says nothing.
    """
    try:
        content = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{script}: expected a script, text or JSON in UTF-8: {error}") from error
    read = script_of_json if script.suffix.lower() == ".json" else script_of_text
    try:
        return parse_script(read(content))
    except InputError as error:
        raise InputError(f"{script}: {error}") from error


def load_text_encoder(folder: Path, name: str | None) -> TextEncoder:
    """The tokenizer of a checkpoint.

    Args:
        folder: Of the checkpoint. It may hold the tokenizer, or say in preprocessor_config.json which one it is.
        name: A folder or hub id that is taken instead.

    Raises:
        InputError: no tokenizer is named, or it cannot be loaded.
    """
    from transformers import AutoTokenizer

    if name is None and not (folder / "tokenizer.json").is_file():
        facts = folder / "preprocessor_config.json"
        said = json.loads(facts.read_text(encoding="utf-8")) if facts.is_file() else {}
        name = said.get("language_model_pretrained_name")
        if name is None:
            raise InputError(f"{folder}: holds no text tokenizer and names none; give --tokenizer (Qwen/Qwen2.5-1.5B)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name or str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"--tokenizer {name}: cannot be loaded: {str(error).splitlines()[0]}") from error

    def encode(text: str) -> Sequence[int]:
        tokens: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return tokens

    return encode


def sample_voices(model: VibeVoice, recordings: Sequence[Path], seed: int) -> list[Tensor]:
    """Latents `(F, L)` of samples of voices, as a prompt holds them.

    Raises:
        InputError: a recording cannot be read, or is too short, too long or silent.
    """
    device = next(model.language.parameters()).device
    dtype, generator, voices = model.language.embeddings.weight.dtype, torch.Generator().manual_seed(seed), []
    for path in recordings:
        seconds, (least, most) = audio_info(path).seconds, VOICE_SECONDS
        if not least <= seconds <= most:
            raise InputError(f"{path}: a voice sample must last {least:g} to {most:g} seconds, found {seconds:.1f}")
        samples = load_audio(path, model.sample_rate)
        if not samples.any():
            raise InputError(f"{path}: a voice sample must not be silent")
        with torch.inference_mode():
            mean = encode_samples(model.acoustic, normalize_loudness(samples).astype("float32"), device, dtype=dtype)
            voices.append(model.acoustic.sample(mean.float().unsqueeze(0), generator)[0])
    return voices


def script_prompts(
    model: VibeVoice,
    encode: TextEncoder,
    turns: Sequence[Turn],
    voices: Sequence[Tensor],
    seed: int = 0,
    temperature: float = 1.0,
    max_seconds: float | None = None,
) -> GenerationPrompts:
    """What the decoder needs to say a script.

    Args:
        model: Who says it.
        encode: Its tokenizer.
        turns: What is said by whom.
        voices: From `sample_voices`, one for each speaker, or none.
        seed: Of all noise.
        temperature: Factor of the noise that a latent is drawn from.
        max_seconds: Audio after which it is cut; default: twice what the text should take, and ten seconds.

    Raises:
        InputError: voices and speakers do not match, or the model has no room for so much.
    """
    check_voices(turns, len(voices))
    tokens, size = model.config.tokens, model.language.config.latent_size
    switches: dict[SwitchName, int] = {"latent": tokens.latent, "end": tokens.end, "start": tokens.start}
    conditional = prompt_sequence(turns, voices, encode, switches, size)
    frame_rate = model.acoustic.frame_rate
    room = model.language.config.max_positions - conditional.tokens.shape[1]
    if max_seconds is None:
        expected = sum(len(turn.text) for turn in turns) / _CHARACTERS_PER_SECOND
        most = min(room, math.ceil((_LENGTH_FACTOR * expected + _LENGTH_SECONDS) * frame_rate))
    else:
        most = math.ceil(max_seconds * frame_rate)
    if not 1 <= most <= room:
        raise InputError(
            f"the model has room for {max(0, room) / frame_rate:.1f} s after this script and these voices, "
            f"{most / frame_rate:.1f} s are asked for"
        )
    nothing = torch.empty(0, dtype=torch.int64)
    start = torch.tensor([[tokens.start]])
    return GenerationPrompts(
        conditional=conditional,
        unconditional=MixedSequences(["start"], start, torch.tensor([1]), torch.empty(0, size), nothing),
        latent_token=tokens.latent,
        end_token=tokens.end,
        seeds=[seed],
        temperatures=torch.tensor([temperature]),
        max_frames=[most],
    )


def write_speech(
    model: VibeVoice, decoder: VibeVoiceDecoder, prompts: GenerationPrompts, output: Path, tags: dict[str, str]
) -> Spoken:
    """Say prompts of one row into a file, which grows as the audio is made.

    Raises:
        InputError: the file cannot be written, or its suffix is unknown.
    """
    if output.suffix.lower() not in FORMATS:
        raise InputError(f"{output}: the suffix must be one of {', '.join(FORMATS)}, found {output.suffix!r}")
    device = next(model.language.parameters()).device
    most, ended = prompts.max_frames[0] / model.acoustic.frame_rate, False
    with Meter(most, True, "synthesized", audio) as meter, AudioWriter(output, model.sample_rate, tags) as writer:
        for step in decoder.stream(model, prompts.to(device)):
            for samples in step.audio.float().cpu().numpy():
                writer.write(samples)
                meter.advance(len(samples) / model.sample_rate)
            ended = step.ended.get(0, ended)
    if not ended:
        logger.warning(f"{output}: did not end by itself and was cut after {meter.done:.1f} s")
    return Spoken(meter.done, meter.seconds_per_unit, ended)
