"""A voice: a trained LatentLM and the audio tokenizer of its latents, ready to speak.

voice = Voice.load("runs/voice")
request = voice.request("greeting", "Good morning.", speaker="ann", seed=7)
audio = voice.say(request)                     # the whole, (S,) float32
for samples in voice.chunks(request):          # or piece by piece, while it is made
    player.write(samples)
"""

from __future__ import annotations

import logging
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latent.audio.files import audio_info, load_audio
from latent.audio.levels import normalize_loudness, trim_silence
from latent.audio_tokenizer import encode_samples, load_tokenizer
from latent.data.latent_store import TOKENIZER, Latents, StoreFacts
from latent.data.vocabulary import NOTHING, SpeechVocabulary, prompt_tokens
from latent.decoding.audio import AudioChunk, audio_chunks
from latent.decoding.next_token_diffusion import Frames, NextTokenDiffusionDecoder
from latent.models.latent_lm import LatentLM
from latent.models.sigma_vae import SigmaVAE
from latent.models.timed_latent_lm import TimedLatentLM
from latent.synthesis.provenance import synthetic_tags
from latent.tasks.speech_synthesis import SpeechRequest, generation_prompts
from latent.text.spoken import spoken
from s2s import checkpoint
from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.json_files import describe
from s2s.run import RunConfig, build_decoder, build_model, read_run

logger = logging.getLogger(__name__)

Samples = NDArray[np.float32]

PROMPT_SECONDS = (0.5, 60.0)
"""Shortest and longest recording that may be a voice prompt."""
LENGTH_FACTOR, LENGTH_SECONDS = 3.0, 2.0
"""Speech is cut at this many times its expected length, and so many seconds more."""


class Voice:
    """Turns text into audio; many requests at once, each as it would be alone.

    Args:
        name: What it is called: the name of the LatentLM's run folder.
        config: Of that run.
        model: The LatentLM, in evaluation mode.
        tokenizer: The σ-VAE that made the latents which the model was trained on.
        vocabulary: Of the model.
        decoder: How latents are drawn.
        weights: Hashes of the weights of "model" and "tokenizer".
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
        weights: Mapping[str, str],
        device: str | torch.device,
    ) -> None:
        self.name, self.config = name, config
        self.vocabulary = vocabulary
        self.sample_rate: int = tokenizer.config.sample_rate
        self.hop_length: int = tokenizer.hop_length
        self.frame_rate: float = tokenizer.frame_rate
        self._model, self._tokenizer, self._decoder, self._weights = model, tokenizer, decoder, dict(weights)
        self._device = device

    @classmethod
    def load(
        cls,
        run: str | Path,
        tokenizer: str | Path | None = None,
        *,
        device: str | torch.device = "cpu",
        overrides: Iterable[str] = (),
        checkpoint_name: str | None = None,
    ) -> Voice:
        """The voice in a run folder; the data that it was trained on is not needed.

        Args:
            run: Run folder of a LatentLM.
            tokenizer: Run folder of a σ-VAE; the copy in the LatentLM's folder by default.
            device: Where to compute.
            overrides: Options that replace those of the run, as `decoder.guidance_scale=1.5`.
            checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the best weights by default.

        Raises:
            InputError: a folder is no such run, or the tokenizer is not that of the model's latents.
            ConfigError: an override does not fit.
        """
        run = Path(run)
        config = _read(run, list(overrides))
        codec_run = run / TOKENIZER if tokenizer is None else Path(tokenizer)
        codec = _matching_tokenizer(run, codec_run)
        model = build_model(config)
        assert isinstance(model, LatentLM)
        files = {
            "model": checkpoint.weights_path(run, checkpoint_name),
            "tokenizer": checkpoint.weights_path(codec_run),
        }
        checkpoint.load_weights(model, files["model"])
        decoder = build_decoder(config, NextTokenDiffusionDecoder)
        for part in (model, codec):
            part.eval().requires_grad_(False).to(device).prepare()
        hashes = {name: fingerprint(path)["sha256"][:16] for name, path in files.items()}
        return cls(run.resolve().name, config, model, codec, SpeechVocabulary.load(run), decoder, hashes, device)

    @property
    def speakers(self) -> list[str]:
        """Names that a request may give."""
        return self.vocabulary.speakers

    @property
    def voice_frames(self) -> int:
        """Latents of the longest voice prompt in training; 0 if there were none."""
        task: Any = self.config.task.config
        return int(task.voice_frames) if task.voice_prompt_prob else 0

    def tags(self, seed: int) -> dict[str, str]:
        """Metadata of a file of this voice: that it is synthetic, and by whom, with which seed, and when."""
        return synthetic_tags(self.name, self._weights["model"], seed)

    def fingerprint(self) -> dict[str, Any]:
        """What speech depends on besides the request: hashes of all weights, and the decoder's options."""
        return {**self._weights, "decoder": self.config.tree()["decoder"]}

    def request(
        self,
        id: str,
        text: str,
        speaker: str | None = None,
        prompt: Latents | None = None,
        seed: int = 0,
        temperature: float | None = None,
    ) -> SpeechRequest:
        """Something to say, checked.

        Args:
            id: For messages and files.
            text: What to say.
            speaker: One of `speakers`. It may be left out where there is only one, or with a voice prompt.
            prompt: Latents of a voice prompt, from `prompt`.
            seed: Of all noise: the same request gives the same speech, alone or among others.
            temperature: Factor of the noise; None: `decoder.temperature`.

        Raises:
            InputError: the text holds nothing to say, is not Unicode or too long for the model; or there is no such
                speaker.
        """
        text = text.strip()
        self._check_text(text)
        if not 0 <= seed < 2**63:
            raise InputError(f"'seed' must be from 0 to 2^63 - 1, found {seed}")
        if temperature is None:
            temperature = self._decoder.config.temperature
        if not (0 <= temperature < math.inf):
            raise InputError(f"'temperature' must be 0 or more, found {temperature}")
        speaker = self._speaker(speaker, prompt)
        length = len(prompt_tokens(self.vocabulary, text, speaker, 0 if prompt is None else len(prompt)))
        room = self._model.config.max_positions - length
        durations = self._durations(text, speaker) if room > 0 else None  # a text of megabytes is refused, not read
        expected = self._expected_frames(text, durations)
        if room < expected:
            raise InputError(
                f"'text' is too long: {length} positions and about {expected} latents, the model has "
                f"{self._model.config.max_positions} (model.max_positions); split it, or speak it as a script"
            )
        most = math.ceil(LENGTH_FACTOR * expected + LENGTH_SECONDS * self.frame_rate)
        return SpeechRequest(id, text, speaker, prompt, seed, temperature, min(most, room), durations)

    def expected_seconds(self, request: SpeechRequest) -> float:
        """About how long it will be."""
        return self._expected_frames(request.text, request.durations) / self.frame_rate

    def prompt(self, path: str | Path) -> Latents:
        """A recording as a voice prompt: its latents `(F, L)`, no more of them than training prompts had.

        Recordings of any rate and number of channels are taken, and brought to the loudness of corpora; silence before
        and after is left out.

        Raises:
            InputError: the file cannot be read, is too short, too long or silent, has samples that are not finite, or
                the model was trained without voice prompts.
        """
        if not self.voice_frames:
            raise InputError(f"{path}: this model was trained without voice prompts (task.voice_prompt_prob is 0)")
        seconds, (least, most) = audio_info(path).seconds, PROMPT_SECONDS
        if not least <= seconds <= most:
            raise InputError(f"{path}: a voice prompt must last {least:g} to {most:g} seconds, found {seconds:.1f}")
        samples = trim_silence(load_audio(path, self.sample_rate), self.sample_rate)
        if (sound := len(samples) / self.sample_rate) < least:
            raise InputError(f"{path}: a voice prompt must not be silent, found {sound:.1f} seconds of sound")
        mean = encode_samples(self._tokenizer, normalize_loudness(samples), self._device)
        if len(mean) > self.voice_frames:
            logger.info(f"{path}: its first {self.voice_frames / self.frame_rate:.1f} s are used, as in training")
        mean = mean[: self.voice_frames].unsqueeze(0)
        return self._tokenizer.sample(mean, torch.Generator().manual_seed(0))[0].numpy()

    def frames(self, requests: Sequence[SpeechRequest]) -> Iterator[Frames]:
        """Say one of the `batches`: latents as they are drawn, which `audio` turns into samples."""
        prompts = generation_prompts(self.vocabulary, requests, self._model.config.latent_size).to(self._device)
        return self._decoder.stream(self._model, prompts)

    def audio(self, frames: Iterable[Frames], chunk_frames: int = 8) -> Iterator[AudioChunk]:
        """Samples of latents as they come; `chunk_frames` are decoded together."""
        return audio_chunks(self._tokenizer.decode_chunk, frames, chunk_frames)

    def stream(self, requests: Sequence[SpeechRequest], chunk_frames: int = 8) -> Iterator[AudioChunk]:
        """Say all requests at once, and give what is there of each as it comes.

        Args:
            requests: They start together, if the model has room for them, and leave one by one; see `batches`.
            chunk_frames: Latents that are decoded together: 1 is heard soonest, more is faster.

        Yields:
            Samples of some requests, by their index; and which have ended, True unless one was cut at `max_frames`.
        """
        for batch in self.batches(requests, len(requests)):
            for chunk in self.audio(self.frames([requests[index] for index in batch]), chunk_frames):
                ended = {batch[row]: by_model for row, by_model in chunk.ended.items()}
                yield AudioChunk([batch[row] for row in chunk.rows], chunk.audio, ended)

    def chunks(self, request: SpeechRequest, chunk_frames: int = 4) -> Iterator[Samples]:
        """The audio of one request, `(S,)` each, while it is made; a warning if it had to be cut."""
        for chunk in self.stream([request], chunk_frames):
            for samples in chunk.audio:
                yield samples.cpu().numpy()
            if not chunk.ended.get(0, True):
                warn_of_cut(request, self.frame_rate)

    def say(self, request: SpeechRequest, chunk_frames: int = 8) -> Samples:
        """The audio of one request, `(S,)`; a warning if it had to be cut."""
        return np.concatenate([np.empty(0, np.float32), *self.chunks(request, chunk_frames)])

    def batches(self, requests: Sequence[SpeechRequest], max_rows: int) -> Iterator[list[int]]:
        """Requests that can be said together, by their indices: longest first, of similar length.

        Args:
            requests: Any number.
            max_rows: Most requests of a batch.
        """
        order = sorted(range(len(requests)), key=lambda index: -requests[index].max_frames)
        batch: list[int] = []
        width = 0
        for index in order:
            wider = max(width, self._prompt_length(requests[index]))
            room = self._model.config.max_positions - wider
            if batch and (len(batch) == max_rows or requests[batch[0]].max_frames > room):
                yield batch
                batch, wider = [], self._prompt_length(requests[index])
            batch.append(index)
            width = wider
        if batch:
            yield batch

    def _check_text(self, text: str) -> None:
        if not text:
            raise InputError("'text' is empty; expected something to say")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"'text' holds half a surrogate pair at character {error.start + 1}") from error
        said = spoken(text, self.vocabulary.language)
        if all(unicodedata.category(character)[0] in "PZC" for character in said):
            raise InputError(f"'text' must hold more than punctuation, found {describe(text)}")

    def _durations(self, text: str, speaker: str | None) -> NDArray[np.float64] | None:
        if not isinstance(self._model, TimedLatentLM):
            return None
        tokens = torch.tensor([self.vocabulary.timed(text)], device=self._device)
        who = torch.tensor([NOTHING if speaker is None else self.vocabulary.speaker(speaker)], device=self._device)
        return self._model.predict_durations(tokens, who)[0].double().cpu().numpy()

    def _expected_frames(self, text: str, durations: NDArray[np.float64] | None) -> int:
        if durations is None:
            return self.vocabulary.expected_frames(text)
        return max(1, math.ceil(float(durations.sum())))

    def _prompt_length(self, request: SpeechRequest) -> int:
        voice_frames = 0 if request.voice is None else len(request.voice)
        return len(prompt_tokens(self.vocabulary, request.text, request.speaker, voice_frames))

    def _speaker(self, name: str | None, prompt: Latents | None) -> str | None:
        if name is not None:
            self.vocabulary.speaker(name)
            return name
        if len(self.speakers) == 1:
            return self.speakers[0]
        if prompt is None and self.speakers:
            shown = ", ".join(self.speakers[:8]) + (", ..." if len(self.speakers) > 8 else "")
            raise InputError(f"'speaker' must be given, one of {shown}; or a voice prompt")
        return None


def warn_of_cut(request: SpeechRequest, frame_rate: float) -> None:
    """Tell that speech did not end by itself."""
    seconds, text = request.max_frames / frame_rate, request.text
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    logger.warning(f"{request.id}: did not end by itself and was cut after {seconds:.1f} s: {shown!r}")


def _read(run: Path, overrides: list[str]) -> RunConfig:
    config = read_run(run)
    if config.model.name not in ("latent_lm", "timed_latent_lm") or config.task.name != "speech_synthesis":
        found = f"task {config.task.name!r} and model {config.model.name!r}"
        raise InputError(f"{run}: must be a run of the task 'speech_synthesis' and a LatentLM, found {found}")
    return read_run(run, overrides)


def _matching_tokenizer(run: Path, folder: Path) -> SigmaVAE:
    facts = StoreFacts.load(run)
    if folder == run / TOKENIZER and not folder.is_dir():
        raise InputError(f"{run}: holds no {TOKENIZER}/; name the run of its audio tokenizer ({facts.tokenizer})")
    tokenizer = load_tokenizer(folder)
    found = {
        "latent_size": tokenizer.config.latent_size,
        "sample_rate": tokenizer.config.sample_rate,
        "hop_length": tokenizer.hop_length,
    }
    for name, value in found.items():
        if value != getattr(facts, name):
            raise InputError(
                f"{folder}: is not the audio tokenizer of {run}: {name} must be {getattr(facts, name)}, found {value}"
            )
    return tokenizer
