"""The voice of a trained LatentLM, with the audio tokenizer of its latents."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from latent.audio.files import AudioBytes, Samples, audio_info, load_audio
from latent.audio.levels import normalize_loudness, trim_silence
from latent.audio.prompt_faults import prompt_faults
from latent.audio_tokenizer import encode_samples, matching_tokenizer
from latent.data.batch import GenerationPrompts
from latent.data.latent_store import TOKENIZER, Latents
from latent.data.speech_prompts import SpeechRequest, Timing, generation_prompts
from latent.data.vocabulary import (
    LATENT,
    NOTHING,
    VOICE_END,
    VOICE_START,
    SpeechVocabulary,
    prompt_tokens,
    timed_tokens,
)
from latent.decoding.audio import AudioChunk, AudioRows, audio_chunks
from latent.decoding.next_token_diffusion import NextTokenDiffusionDecoder
from latent.models.latent_lm import LatentLM
from latent.models.sigma_vae import SigmaVAE
from latent.subtitles import Word
from latent.synthesis.session import Joined, SpeechSession
from latent.synthesis.takes import TooLong, Turn
from latent.synthesis.voice import Voice
from latent.text.lexicon import Lexicon
from s2s import checkpoint
from s2s.durable import fingerprint, former_fingerprint
from s2s.errors import ConfigError, InputError
from s2s.hub import repository_of
from s2s.nn.packed import Precision, noted_precision
from s2s.registry import MODELS
from s2s.run import RunConfig, build_decoder, build_model, load_weights, read_run

logger = logging.getLogger(__name__)

PROMPT_SECONDS = (0.5, 60.0)
"""Shortest and longest recording that can be a voice prompt."""
SPEEDS = (0.5, 2.0)
"""Slowest and fastest speech of a voice with cues, as a factor of its own speed."""
LENGTH_FACTOR, LENGTH_SECONDS = 3.0, 2.0
"""Speech is truncated at this many times its expected length plus so many seconds."""
FIRST_FRAMES, CHUNK_FRAMES = 1, 8
"""Frames of a request in a session that are decoded together: at first, and at most."""
_TASKS = ("speech_synthesis", "speech_and_text")
_UNKNOWN_LONGEST = 200  # characters; about 15 s


class LatentVoice(Voice):
    """Speaks each text by itself; voice prompts from earlier turns tie the turns of a script together.

    Args:
        name: The name of the LatentLM's run folder.
        config: The configuration of that run.
        model: The LatentLM, in evaluation mode.
        tokenizer: The σ-VAE that made the latents which the model was trained on.
        weights: Files of the weights of "model" and "tokenizer".
        device: Where both are.
    """

    def __init__(
        self,
        name: str,
        config: RunConfig,
        model: LatentLM,
        tokenizer: SigmaVAE,
        vocabulary: SpeechVocabulary,
        decoder: NextTokenDiffusionDecoder,
        weights: Mapping[str, Path],
        device: str | torch.device,
    ) -> None:
        self._weights = weights
        self._hashes = {name: fingerprint(path)["sha256"][:16] for name, path in weights.items()}
        self.name, self.config, self.weights = name, config, self._hashes["model"]
        self.vocabulary, self.speakers = vocabulary, vocabulary.speakers
        self.max_positions = int(model.config.max_positions)
        self.sample_rate: int = tokenizer.config.sample_rate
        self.hop_length: int = tokenizer.hop_length
        self.frame_rate: float = tokenizer.frame_rate
        task = cast(Any, config.task.config)
        self.voice_frames = int(task.voice_frames) if task.voice_prompt_prob else 0
        self.min_voice_frames = int(task.min_voice_frames)
        self._model, self._tokenizer, self._decoder = model, tokenizer, decoder
        self._device = device
        self._lexicon: Lexicon | None = None

    @classmethod
    def open(
        cls,
        run: str | Path,
        tokenizer: str | Path | None = None,
        *,
        device: str | torch.device = "cpu",
        overrides: Iterable[str] = (),
        checkpoint_name: str | None = None,
        precision: Precision | None = None,
    ) -> LatentVoice:
        """The voice in a run folder, without its training data; see `latent.synthesis.voices.open_voice`.

        Raises:
            InputError: a folder is not such a run, or the tokenizer is not that of the model's latents.
            ConfigError: an override does not fit.
        """
        run = Path(run)
        config = _read(run, list(overrides))
        codec_run = run / TOKENIZER if tokenizer is None else Path(tokenizer)
        codec = matching_tokenizer(run, tokenizer)
        vocabulary, model = SpeechVocabulary.load(run), build_model(config, fresh=False)
        assert isinstance(model, LatentLM)
        if len(vocabulary) != model.config.vocab_size:
            size = model.config.vocab_size
            raise InputError(f"{run}: its vocabulary has {len(vocabulary)} tokens, its model {size}; they must agree")
        best, of_codec = checkpoint.weights_path(run, checkpoint_name), checkpoint.weights_path(codec_run)
        files = {"model": best, "tokenizer": of_codec}
        load_weights(model, run, checkpoint_name)
        decoder = build_decoder(config, NextTokenDiffusionDecoder)
        if decoder.config.speaker_guidance_scale is not None and not vocabulary.strangers:
            raise ConfigError(
                f"decoder.speaker_guidance_scale: must be null, as {run} was not trained with task.nameless_rate; "
                f"found {decoder.config.speaker_guidance_scale:g}"
            )
        for part in (model, codec):
            part.eval().requires_grad_(False).to(device).prepare(precision or "float32")
        name = repository_of(run) or run.resolve().name
        voice = cls(name, config, model, codec, vocabulary, decoder, files, device)
        voice.precision = precision
        return voice

    def fingerprint(self) -> dict[str, Any]:
        chosen = self.config.tree()["decoder"].items()
        # an option that is not set leaves no trace: a job that began before the option existed goes on
        options = {name: value for name, value in chosen if value is not None}
        lexicon = {} if self._lexicon is None else {"lexicon": self._lexicon.fingerprint}
        return {**self._hashes, "decoder": options, **lexicon, **noted_precision(self.precision)}

    def use_lexicon(self, path: str | Path) -> None:
        self._lexicon = Lexicon.read(path, self.vocabulary.front_end)

    def former_fingerprint(self) -> dict[str, Any]:
        hashes = {name: former_fingerprint(path)["sha256"][:16] for name, path in self._weights.items()}
        return self.fingerprint() | hashes

    def word_times(self, request: SpeechRequest) -> list[Word]:
        """With cues, as they were planned; without, none."""
        if request.timing is None:
            return []
        ends = np.concatenate([[0.0], np.cumsum(request.timing.durations)]) / self.frame_rate
        words = self.vocabulary.spoken_words(self._with_lexicon(request.text))
        # the first timed token is the silence before the text
        return [Word(word, float(ends[first + 1]), float(ends[last + 1])) for word, first, last in words]

    def _tokenized(self, request: SpeechRequest) -> SpeechRequest:
        speaker, prompt = request.speaker or self._default_speaker(request.voice), request.voice
        read = self.vocabulary.read(self._with_lexicon(request.text))
        tokens = prompt_tokens(self.vocabulary, read.tokens, speaker, 0)
        self._check_room(tokens, 1, prompt)  # a text of megabytes is refused, not planned
        timing = self._timing(read.tokens, speaker, prompt)
        if timing is None:
            expected = self.vocabulary.expected_frames(len(read.tokens))
        else:
            expected = max(1, math.ceil(float(timing.durations.sum())))
        bare = replace(request, speaker=speaker, tokens=tokens, expected_frames=expected, timing=timing)
        return self._prompted(replace(bare, spelled=read.spelled, dropped=read.dropped, guessed=read.guessed), prompt)

    def _with_lexicon(self, text: str) -> str:
        return text if self._lexicon is None else self._lexicon.apply(text)

    def continued(self, request: SpeechRequest, said: Latents | None) -> SpeechRequest:
        """The beginning of the given voice prompt and then `said`, together at most as long as in training."""
        if said is None or not self.voice_frames:
            return request
        given = said[:0] if request.voice is None else request.voice
        bare = request.tokens if request.voice is None else request.tokens[len(given) + 2 :]
        prompt = np.concatenate([given[: max(0, self.voice_frames - len(said))], said])
        return self._prompted(replace(request, tokens=bare, voice=None), prompt)

    def paced(self, request: SpeechRequest, speed: float) -> SpeechRequest:
        """With cues, each token lasts so much shorter or longer than planned."""
        if request.timing is None or speed == 1:
            return super().paced(request, speed)
        least, most = SPEEDS
        if not least <= speed <= most:
            raise InputError(f"speed: must be {least:g} to {most:g}, found {speed:g}")
        timing = replace(request.timing, durations=request.timing.durations / speed)
        expected = max(1, math.ceil(request.expected_frames / speed))
        bare = request.tokens if request.voice is None else request.tokens[len(request.voice) + 2 :]
        changed = replace(request, tokens=bare, voice=None, timing=timing, expected_frames=expected, speed=speed)
        return self._prompted(changed, request.voice)

    def _turn_request(self, turn: Turn, temperature: float | None) -> SpeechRequest:
        request = super()._turn_request(turn, temperature)
        longest = np.zeros((self.voice_frames, self._model.config.latent_size), np.float32)
        self.continued(request, longest)  # raises where there is no room for what will have been said
        return request

    def check_prompts(self, recording: object) -> None:
        if not self.voice_frames:
            raise InputError(f"{recording}: this model was trained without voice prompts (task.voice_prompt_prob is 0)")

    def _prompt(self, recording: AudioBytes) -> Latents:
        """Latents `(F, L)` of a recording, at most `voice_frames`, at the loudness of corpora, without silent ends."""
        seconds, (least, most) = audio_info(recording).seconds, PROMPT_SECONDS
        if not least <= seconds <= most:
            limits = f"{least:g} to {most:g} seconds"
            raise InputError(f"{recording}: a voice prompt must last {limits}, found {seconds:.1f}")
        samples = trim_silence(load_audio(recording, self.sample_rate), self.sample_rate)
        if (sound := len(samples) / self.sample_rate) < least:
            raise InputError(f"{recording}: a voice prompt must not be silent, found {sound:.1f} seconds of sound")
        self._warn_of_faults(recording, samples)
        mean = encode_samples(self._tokenizer, normalize_loudness(samples), self._device)
        if len(mean) > self.voice_frames:
            logger.info(f"{recording}: its first {self.voice_frames / self.frame_rate:.1f} s are used, as in training")
        mean = mean[: self.voice_frames].unsqueeze(0)
        return self._tokenizer.sample(mean, torch.Generator().manual_seed(0))[0].numpy()

    def _warn_of_faults(self, recording: AudioBytes, samples: Samples) -> None:
        """Say what a voice prompt will be followed in that nobody wants, and what it is too short for."""
        seconds, least = len(samples) / self.sample_rate, self.min_voice_frames / self.frame_rate
        if faults := prompt_faults(samples, self.sample_rate):
            logger.warning(f"{recording}: the voice will sound like this recording, which has {'; '.join(faults)}")
        if seconds < least:
            logger.warning(f"{recording}: has {seconds:.1f} s of sound; this voice follows {least:.1f} s or more well")

    def generate(self, requests: Sequence[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        frames = self._decoder.stream(self._model, self._prompts(requests))
        return audio_chunks(self._tokenizer.decode_chunk, frames, chunk_frames)

    def session(self, max_rows: int) -> SpeechSession:
        """A session in which requests join a running batch; each is heard after `FIRST_FRAMES`."""
        audio = AudioRows(self._tokenizer.decode_chunk, CHUNK_FRAMES, FIRST_FRAMES)
        return Joined(self._decoder.start(self._model), audio, self._prompts, max_rows)

    def fits(self, text: str, max_characters: int | None) -> bool:
        most, room = max_characters or self.vocabulary.longest_text, self.vocabulary.fixed_text_length
        return len(text) <= (most or _UNKNOWN_LONGEST) and not 0 < room < len(
            self.vocabulary.text(self._with_lexicon(text))
        )

    def _prompts(self, requests: Sequence[SpeechRequest]) -> GenerationPrompts:
        return generation_prompts(self.vocabulary, requests, self._model.config.latent_size).to(self._device)

    def _prompted(self, request: SpeechRequest, prompt: Latents | None) -> SpeechRequest:
        """A request without a voice prompt as one with it."""
        tokens = request.tokens
        if prompt is not None and len(prompt):
            tokens = [VOICE_START, *[LATENT] * len(prompt), VOICE_END, *tokens]
        room = self._check_room(tokens, request.expected_frames, None)
        most = math.ceil(LENGTH_FACTOR * request.expected_frames + LENGTH_SECONDS * self.frame_rate)
        return replace(request, tokens=tokens, voice=prompt, max_frames=min(most, room))

    def _check_room(self, tokens: Sequence[int], expected_frames: int, prompt: Latents | None) -> int:
        """Positions that are left for the speech after tokens and a voice prompt."""
        length = len(tokens) + (0 if prompt is None else len(prompt) + 2)
        if self.max_positions - length < expected_frames:
            raise TooLong(
                f"'text' is too long: {length} positions and about {expected_frames} latents, the model has "
                f"{self.max_positions} (model.max_positions); split it, or speak it as a script"
            )
        return self.max_positions - length

    def _timing(self, text: Sequence[int], speaker: str | None, prompt: Latents | None) -> Timing | None:
        tokens, stranger = timed_tokens(text), self.vocabulary.stranger
        if speaker is not None:
            durations = self._model.plan(tokens, self.vocabulary.speaker(speaker))
        else:
            durations = self._model.plan(tokens, NOTHING if stranger is None else stranger, prompt)
        return None if durations is None else Timing(tokens, durations)

    def _default_speaker(self, prompt: Latents | None) -> str | None:
        if not self.speakers or (prompt is not None and (len(self.speakers) > 1 or self.vocabulary.strangers)):
            return None
        if len(self.speakers) > 1:
            _say_default(tuple(self.speakers))
        return self.speakers[0]


@lru_cache  # once, not for every text
def _say_default(speakers: tuple[str, ...]) -> None:
    others = ", ".join(speakers[1:8]) + (", ..." if len(speakers) > 8 else "")
    logger.info("no speaker is given, so %s speaks; the others are %s", speakers[0], others)


def _read(run: Path, overrides: list[str]) -> RunConfig:
    config = read_run(run)
    if not issubclass(MODELS[config.model.name], LatentLM) or config.task.name not in _TASKS:
        found = f"task {config.task.name!r} and model {config.model.name!r}"
        raise InputError(f"{run}: must be a run of the task 'speech_synthesis' and a LatentLM, found {found}")
    if config.decoder is not None and config.decoder.name == "beam":  # former versions wrote it into every run
        overrides = ["decoder.name=next_token_diffusion", *overrides]
    return read_run(run, overrides)
