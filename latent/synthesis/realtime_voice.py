"""The voice of released VibeVoice-Realtime weights: one speaker, by a preset that its makers prepared."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from latent.audio.files import AudioBytes, Source
from latent.data.speech_prompts import SpeechRequest, derived_seed
from latent.data.vibevoice_prompt import straight_quotes
from latent.decoding.audio import AudioChunk
from latent.decoding.vibevoice_realtime import RealtimeDecoder, RealtimePrompt
from latent.models.checkpoints import load_acoustic, load_realtime
from latent.models.vibevoice_realtime import VibeVoiceRealtime, VoicePreset
from latent.models.voice_presets import looks_like_preset, read_preset
from latent.synthesis.consent import read_with_consent
from latent.synthesis.realtime_text import ArrivingSequence, next_sequence
from latent.synthesis.released import ReleasedVoice, speakable, voice_sample
from latent.synthesis.saying import Saying, Utterance
from latent.synthesis.session import Sharing, SpeechSession
from latent.synthesis.takes import TooLong, Turn
from latent.text.arriving import arriving_words
from latent.text.front_end import NothingToSay
from latent.text.text_encoder import TextEncoder
from s2s.errors import InputError

_TOKENS_A_CHARACTER = 1 / 3
_SEQUENCE_PART = 0.5  # of the model's positions; the rest is room for a sentence to end, and for slow speech
_SILENT = "<|image_pad|>"  # begins the unconditional stream


class PresetPrompt(NamedTuple):
    """A preset as a voice prompt, and the hash of its file."""

    preset: VoicePreset
    digest: str


class RealtimeVoice(ReleasedVoice):
    """Speaks each text by itself, while it is read."""

    decoder_class, load_weights = RealtimeDecoder, staticmethod(load_realtime)

    def __init__(self, folder: Path, model: VibeVoiceRealtime, decoder: RealtimeDecoder, encode: TextEncoder) -> None:
        super().__init__(folder, model, decoder, encode)
        self._folder = folder
        self.sample_rate = model.config.acoustic.sample_rate
        self.frame_rate = self.sample_rate / math.prod(model.config.acoustic.ratios)
        positions = _TOKENS_A_CHARACTER + self.frames_of(1000) / 1000
        self._sequence_characters = int(_SEQUENCE_PART * self.max_positions / positions)

    def _tokenized(self, request: SpeechRequest) -> SpeechRequest:
        text = straight_quotes(speakable(request.text))
        if request.voice is None:
            raise InputError("a voice must be given: --voice with a preset of VibeVoice-Realtime (.pt or .safetensors)")
        tokens, expected = list(self._encode(f"{text}\n")), self.expected_frames(text)
        room = self.max_positions - len(tokens)
        if room < expected:
            raise TooLong(f"'text' is too long: {len(tokens)} tokens, the model has {self.max_positions} positions")
        most = self.most_frames(expected, room)
        return replace(request, tokens=tokens, expected_frames=expected, max_frames=most)

    def _said(self, text: str, turn: Turn, temperature: float, chunk_frames: int) -> Saying:
        """A text at once is said as one that arrives word by word."""
        with contextlib.suppress(TooLong):
            self._turn_request(turn, temperature)  # raises what is wrong with it now
        seconds = self.expected_frames(text) / self.frame_rate
        return Saying(self._arriving([text], turn, temperature, chunk_frames), self.sample_rate, turn.seed, seconds)

    def _arriving(self, text: Iterable[str], turn: Turn, temperature: float, chunk_frames: int) -> Iterator[Utterance]:
        checked = self._turn_request(replace(turn, text="x"), temperature)
        words, number = arriving_words(map(straight_quotes, text)), 0
        while (sequence := next_sequence(words, self._encode, self._sequence_characters)) is not None:
            seed = derived_seed(turn.seed, number) if number else turn.seed
            request = replace(checked, text=sequence.opening, seed=seed)
            yield Utterance(request, self._decoder.stream(self._model, self._arriving_prompt(request, sequence)))
            for _ in sequence:  # words that the model did not wait for
                pass
            number += 1
        if not number:
            raise NothingToSay("the text is empty; expected something to say")

    def _arriving_prompt(self, request: SpeechRequest, sequence: ArrivingSequence) -> RealtimePrompt:
        def most() -> int:
            return self.most_frames(self.frames_of(sequence.characters), self.max_positions)

        longest = self.max_positions if self._decoder.config.max_seconds is None else most()
        preset = request.voice.preset
        return RealtimePrompt(preset, sequence, longest, request.seed, request.temperature, most)

    def prompt(self, recording: Source, consent: bool = False) -> PresetPrompt:
        """A preset from its file, which needs no consent: whoever made it had it."""
        content = recording.getvalue() if isinstance(recording, AudioBytes) else _read(Path(recording))
        if not looks_like_preset(content):
            raise InputError(
                f"{recording}: expected a voice preset of VibeVoice-Realtime (.pt or .safetensors); "
                "`unilatent convert RECORDING OUTPUT --voice-model CHECKPOINT --transcript TEXT` makes one, if the "
                "checkpoint holds an acoustic encoder"
            )
        weight = self._model.language.embeddings.weight
        preset = read_preset(content, str(recording), weight.device, weight.dtype)
        return PresetPrompt(preset, hashlib.sha256(content).hexdigest())

    def _prompt(self, recording: AudioBytes) -> PresetPrompt:
        return self.prompt(recording)

    def preset_of(self, recording: Source, transcript: str, consent: bool = False) -> VoicePreset:
        """The preset of a recording.

        Args:
            recording: 0.5 to 120 s of one speaker.
            transcript: What is said in it.
            consent: As for `Voice.prompt`.

        Raises:
            InputError: the checkpoint has no acoustic encoder (the released one has none), or the recording cannot be
                used.
        """
        silent = self._encode.special(_SILENT)
        if silent is None:
            raise InputError(f"the text tokenizer must have the token {_SILENT}; give --tokenizer (Qwen/Qwen2.5-0.5B)")
        weight = self._model.language.embeddings.weight
        codec = load_acoustic(self._folder, weight.dtype).to(weight.device)
        given = recording if isinstance(recording, AudioBytes) else read_with_consent(Path(recording), consent)
        latents = torch.from_numpy(voice_sample(codec, given, weight)).to(weight)
        tokens = self._encode(f"{straight_quotes(speakable(transcript))}\n")
        preset: VoicePreset = self._model.preset(tokens, self._model.language.normalize(latents), silent)
        return preset

    def generate(self, requests: Sequence[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        telling = self._decoder.start(self._model)
        telling.add(_prompts(requests))
        while len(telling):
            yield telling.step()

    def session(self, max_rows: int) -> SpeechSession:
        """A session in which requests join a running batch, with as many positions together as one of them may have."""
        return Sharing(self._decoder.start(self._model), _prompts, max_rows, self.max_positions)


def _prompts(requests: Sequence[SpeechRequest]) -> list[RealtimePrompt]:
    return [
        RealtimePrompt(request.voice.preset, request.tokens, request.max_frames, request.seed, request.temperature)
        for request in requests
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
