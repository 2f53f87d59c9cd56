"""What every voice can do, whatever model speaks: a trained LatentLM or released VibeVoice weights.

voice = Voice.load("runs/voice")
speech = voice.say("Good morning.", speaker="ann", seed=7)
speech.save("morning.wav")
for samples in voice.chunks("Good morning.", speaker="ann"):  # piece by piece, while they are generated
    player.write(samples)
"""

from __future__ import annotations

import hashlib
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from latent.audio.files import AudioBytes, Samples, Source
from latent.data.latent_store import Latents
from latent.data.speech_prompts import SpeechRequest, derived_seed
from latent.decoding.audio import AudioChunk
from latent.subtitles import Subtitle, Word
from latent.subtitling import subtitles_of
from latent.synthesis.consent import read_with_consent
from latent.synthesis.provenance import synthetic_tags
from latent.synthesis.saying import Saying, Utterance
from latent.synthesis.session import OneByOne, SpeechSession
from latent.synthesis.speech import Speech
from latent.synthesis.takes import Take, TooLong, Turn, said_parts
from latent.text.arriving import ArrivingText, arriving_sentences
from latent.text.front_end import NothingToSay
from latent.text.splitting import split_text
from s2s.errors import InputError
from s2s.json_files import dump_json
from s2s.nn.packed import Precision
from s2s.registry import nearest


class Voice(ABC):
    """Turns text into audio. It speaks many requests at once, each as it would be alone."""

    name: str
    """The name of its folder, for the metadata of its audio."""
    weights: str
    """Hash of its weights."""
    sample_rate: int
    """Of its audio, in Hz."""
    frame_rate: float
    """Latents per second."""
    max_positions: int
    """Tokens and latents of the longest sequence."""
    voice_frames: int = 0
    """Latents of the longest voice prompt that a request may continue from (see `continued`); 0: none."""
    precision: Precision | None = None
    """Of the weights, if it was chosen."""
    speakers: Sequence[str] = ()
    """Speakers of the model, whom a request may name."""
    names_speakers: ClassVar[bool] = False
    """Whether a script's "Speaker 1" needs neither a speaker of the model nor a voice prompt."""
    _decoder: Any
    """How latents are drawn."""

    @staticmethod
    def load(
        voice: str | Path,
        checkpoint: str | None = None,
        revision: str | None = None,
        *,
        tokenizer: str | Path | None = None,
        device: str | torch.device = "auto",
        overrides: Iterable[str] = (),
        lexicon: str | Path | None = None,
        precision: Precision | None = None,
        **decoder_options: Any,
    ) -> Voice:
        """A voice of any kind.

        Args:
            voice: The run of a voice or released VibeVoice weights, a folder or USER/NAME on the hub; or `demo`, the
                shipped voice.
            checkpoint: A step of a run, or a safetensors file; the best weights by default.
            revision: A commit, branch or tag, for a name on the hub.
            tokenizer: Instead of what the voice brings: the run of an audio tokenizer, or VibeVoice's text tokenizer.
            device: "auto" (a GPU if there is one), "cpu", "cuda", "mps", or a device of torch.
            overrides: Options of the decoder as the command line takes them.
            lexicon: A file of words and their pronunciations, see `use_lexicon`.
            precision: See `latent.synthesis.voices.open_voice`.
            decoder_options: The same as keywords, such as `guidance_scale=1.5, num_inference_steps=8`.

        Raises:
            InputError: the voice cannot be found or opened.
            ConfigError: an option is unknown or its value does not fit.
        """
        # by name, since every kind of voice, which that module knows, imports this one
        voices = importlib.import_module("latent.synthesis.voices")
        options = [*overrides, *(f"decoder.{name}={dump_json(value)}" for name, value in decoder_options.items())]
        where: Any = {"device": device, "revision": revision, "precision": precision}
        opened: Voice = voices.open_voice(voice, tokenizer, overrides=options, checkpoint_name=checkpoint, **where)
        if lexicon is not None:
            opened.use_lexicon(lexicon)
        return opened

    def use_lexicon(self, path: str | Path) -> None:
        """Say words as a file has them, see `latent.text.lexicon`; InputError if it does not fit the voice."""
        raise InputError(f"{path}: a lexicon needs a voice that reads phonemes, which {self.name} does not")

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What speech depends on besides the request: hashes of all weights, and the decoder's options."""

    def former_fingerprint(self) -> dict[str, Any]:
        """The fingerprint as former versions recorded it, to recognize their jobs."""
        return self.fingerprint()

    def request(
        self,
        id: str,
        text: str,
        speaker: str | None = None,
        prompt: Any = None,
        seed: int = 0,
        temperature: float | None = None,
        speed: float = 1.0,
    ) -> SpeechRequest:
        """A text to speak, checked and tokenized.

        Args:
            id: For messages and files.
            text: What to say.
            speaker: One of `speakers`. It may be left out where there is only one, or with a voice prompt.
            prompt: A voice prompt, from `prompt`.
            seed: Of all noise: the same request gives the same speech, alone or among others.
            temperature: Factor of the noise; None: `decoder.temperature`.
            speed: 1 is the voice's own, 2 twice as fast; see `paced`.

        Raises:
            InputError: the text is empty or not Unicode, a value is out of range, or the speaker is unknown.
            TooLong: the text does not fit into `max_positions`.
        """
        text, temperature = readable(text), self._temperature(temperature)
        if speaker is not None:
            self.check_speaker(speaker)
        if not 0 <= seed < 2**63:
            raise InputError(f"'seed' must be from 0 to 2^63 - 1, found {seed}")
        if not 0 <= temperature < math.inf:
            raise InputError(f"'temperature' must be 0 or more, found {temperature}")
        return self.paced(self._tokenized(SpeechRequest(id, text, speaker, [], prompt, seed, temperature, 0, 0)), speed)

    @abstractmethod
    def _tokenized(self, request: SpeechRequest) -> SpeechRequest:
        """A checked request with its tokens and lengths."""

    def prompt(self, recording: Source, consent: bool = False) -> Any:
        """A recording as a voice prompt.

        Args:
            recording: A file, or its bytes from `read_with_consent`.
            consent: Whether you confirm that the person who speaks in it agrees; it is noted beside the recording.

        Raises:
            NoConsent: consent was confirmed neither now nor before.
            InputError: it cannot be read, or cannot be a voice prompt of this voice.
        """
        self.check_prompts(recording)
        given = recording if isinstance(recording, AudioBytes) else read_with_consent(Path(recording), consent)
        return self._prompt(given)

    @abstractmethod
    def _prompt(self, recording: AudioBytes) -> Any:
        """A recording that may be used as a voice prompt."""

    def takes(
        self,
        turns: Sequence[Turn],
        pause_seconds: float,
        temperature: float | None,
        context_seconds: float | None = None,
    ) -> Iterator[Take]:
        """A script in the pieces that this voice generates in one go: here every turn alone.

        Args:
            context_seconds: About how long a speaker continues from what was said before; None: always.

        Raises:
            InputError: a turn cannot be said; names its place.
        """
        said: dict[str, float] = {}
        for turn in turns:
            for part, request in said_parts(turn, lambda turn: self._turn_request(turn, temperature)):
                seconds = self.expected_seconds(request)
                whole = said.get(part.name, 0.0) + seconds
                fresh = context_seconds is not None and whole > context_seconds
                said[part.name] = seconds if fresh else whole
                yield Take(request, [part], pause_seconds if part.pause is None else part.pause, fresh)

    def _turn_request(self, turn: Turn, temperature: float | None) -> SpeechRequest:
        return self.request(turn.where, turn.text, turn.speaker, turn.prompt, turn.seed, temperature, turn.speed)

    @abstractmethod
    def generate(self, requests: Sequence[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        """Say one of the `batches`; see `stream`."""

    def check_speaker(self, name: str) -> None:
        """Raise InputError for a name that is not one of `speakers`."""
        if name not in self.speakers:
            known = nearest(name, self.speakers) or "; this voice has none, give a voice prompt"
            raise InputError(f"no speaker is called {name!r}{known}")

    def check_prompts(self, recording: object) -> None:  # noqa: B027 (only some voices take none)
        """Raise InputError if this voice takes no voice prompts; called before anybody is asked for consent."""

    def fits(self, text: str, max_characters: int | None) -> bool:
        """Whether a line of a script can be said without a break; None: if the voice says lines of that length well."""
        return max_characters is None or len(text) <= max_characters

    def continued(self, request: SpeechRequest, said: Latents | None) -> SpeechRequest:
        """The request as a continuation of what its speaker said before, latents `(F, L)`."""
        return request

    def paced(self, request: SpeechRequest, speed: float) -> SpeechRequest:
        """The request at another speed, 1 is the voice's own; InputError if the voice cannot."""
        if speed != 1:
            raise InputError(f"speed: must be 1, this voice has no other; found {speed:g}")
        return request

    def tags(self, seed: int) -> dict[str, str]:
        """Metadata of a file of this voice; see `synthetic_tags`."""
        return synthetic_tags(self.name, self.weights, seed)

    def word_times(self, request: SpeechRequest) -> list[Word]:
        """When each word of a request is said, as it is spoken ("five dollars"); empty if the voice does not know."""
        return []

    def expected_seconds(self, request: SpeechRequest) -> float:
        """About how long the audio will be."""
        return request.expected_frames / self.frame_rate

    def stream(self, requests: Sequence[SpeechRequest], chunk_frames: int = 8) -> Iterator[AudioChunk]:
        """Say all requests, as many at once as the model has room for, and yield the audio of each as it is made.

        Args:
            requests: Those of a batch start together and end one by one; see `batches`.
            chunk_frames: Latents that are decoded together: 1 is heard soonest, more is faster.

        Yields:
            Samples of some requests, by their index; and which have ended: True, or False if truncated at `max_frames`.
        """
        for batch in self.batches(requests, len(requests)):
            for chunk in self.generate([requests[index] for index in batch], chunk_frames):
                ended = {batch[row]: by_model for row, by_model in chunk.ended.items()}
                yield AudioChunk([batch[row] for row in chunk.rows], chunk.audio, ended, frames=chunk.frames)

    def session(self, max_rows: int) -> SpeechSession:
        """A session of at most `max_rows` requests at a time, which come and go; here one at a time."""
        return OneByOne(lambda request: self.generate([request], 1))

    def saying(
        self,
        said: str | SpeechRequest | Iterable[str],
        speaker: str | None = None,
        *,
        prompt: Any = None,
        seed: int = 0,
        temperature: float | None = None,
        speed: float = 1.0,
        chunk_frames: int = 8,
    ) -> Saying:
        """A text or request while it is said: iterating gives its samples, `(S,)` float32 each, as they are made.

        Args:
            said: A text; what is too long for one sequence is split into parts, with `PART_PAUSE` seconds of silence
                between them. Or pieces of a text that is still being written, such as the output of a language model:
                sentence by sentence, or by VibeVoice-Realtime word by word. Or a request, whose options are its own.
            chunk_frames: Latents that are decoded together: 1 is heard soonest, more is faster.

        The other arguments, and errors, as for `request`.
        """
        if isinstance(said, SpeechRequest):
            return self._saying([said], said.seed, chunk_frames)
        temperature = self._temperature(temperature)
        whole = said if isinstance(said, str) else ""
        turn = Turn("text", 0, "", whole, speaker, prompt, seed, None, speed)
        if not isinstance(said, str):
            text = ArrivingText(said)
            return Saying(self._arriving(text, turn, temperature, chunk_frames), self.sample_rate, seed, text=text)
        return self._said(said, turn, temperature, chunk_frames)

    def chunks(
        self,
        said: str | SpeechRequest | Iterable[str],
        speaker: str | None = None,
        *,
        prompt: Any = None,
        seed: int = 0,
        temperature: float | None = None,
        speed: float = 1.0,
        chunk_frames: int = 4,
    ) -> Iterator[Samples]:
        """The audio of a text, while it is generated; warns if it was truncated. Arguments and errors as `saying`."""
        options = {"prompt": prompt, "seed": seed, "temperature": temperature, "speed": speed}
        return iter(self.saying(said, speaker, chunk_frames=chunk_frames, **options))

    def say(
        self,
        said: str | SpeechRequest | Iterable[str],
        speaker: str | None = None,
        *,
        prompt: Any = None,
        seed: int = 0,
        temperature: float | None = None,
        speed: float = 1.0,
        chunk_frames: int = 8,
    ) -> Speech:
        """The audio of a text as a whole; warns if it was truncated. Arguments and errors as for `saying`."""
        options = {"prompt": prompt, "seed": seed, "temperature": temperature, "speed": speed}
        saying = self.saying(said, speaker, chunk_frames=chunk_frames, **options)
        samples = np.concatenate([np.empty(0, np.float32), *saying])
        spelled = tuple(word for request in saying.requests for word in request.spelled)
        guessed = {word: said for request in saying.requests for word, said in request.guessed.items()}
        timed = tuple(sentence for part in saying.parts for sentence in self.subtitles(*part))
        return Speech(samples, self.sample_rate, saying.ended, spelled, guessed, self.tags(saying.seed), timed)

    def subtitles(self, request: SpeechRequest, start: float, end: float, who: str | None = None) -> list[Subtitle]:
        """The sentences of a request that is heard from `start` to `end` (seconds), and its words if it knows when."""
        return subtitles_of(request.text, start, end, self.word_times(request), who)

    def _said(self, text: str, turn: Turn, temperature: float, chunk_frames: int) -> Saying:
        """Say a text as the speaker of `turn`, whose text it is."""
        try:
            requests = [self._turn_request(turn, temperature)]
        except TooLong:
            requests = [part for _, part in said_parts(turn, lambda turn: self._turn_request(turn, temperature))]
        return self._saying(requests, turn.seed, chunk_frames)

    def _saying(self, requests: Sequence[SpeechRequest], seed: int, chunk_frames: int) -> Saying:
        utterances = (Utterance(request, self.stream([request], chunk_frames)) for request in requests)
        return Saying(utterances, self.sample_rate, seed, sum(map(self.expected_seconds, requests)))

    def _arriving(self, text: Iterable[str], turn: Turn, temperature: float, chunk_frames: int) -> Iterator[Utterance]:
        """Say a text while it is written, as the speaker of `turn`: here each sentence alone."""
        pieces = (piece for sentence in arriving_sentences(text) for piece in split_text(sentence, self._fits_alone))
        empty = True
        for number, piece in enumerate(pieces):
            part = replace(turn, text=piece, seed=derived_seed(turn.seed, number) if number else turn.seed)
            for _, request in said_parts(part, lambda turn: self._turn_request(turn, temperature)):
                empty = False
                yield Utterance(request, self.stream([request], chunk_frames))
        if empty:
            raise NothingToSay("the text is empty; expected something to say")

    def _fits_alone(self, text: str) -> bool:
        return self.fits(text, None)

    def batches(self, requests: Sequence[SpeechRequest], max_rows: int) -> Iterator[list[int]]:
        """Indices of requests that can be said together, at most `max_rows`: longest first, of similar length."""
        order = sorted(range(len(requests)), key=lambda index: -requests[index].max_frames)
        batch: list[int] = []
        width = 0
        for index in order:
            wider = max(width, len(requests[index].tokens))
            room = self.max_positions - wider
            if batch and (len(batch) == max_rows or requests[batch[0]].max_frames > room):
                yield batch
                batch, wider = [], len(requests[index].tokens)
            batch.append(index)
            width = wider
        if batch:
            yield batch

    def _temperature(self, given: float | None) -> float:
        return float(self._decoder.config.temperature) if given is None else given


def prompt_digest(prompt: Any) -> str:
    """What identifies a voice prompt: a hash of its latents, or of the file of a preset."""
    is_preset = not isinstance(prompt, np.ndarray)
    return str(prompt.digest) if is_preset else hashlib.sha256(prompt.astype("<f4").tobytes()).hexdigest()


def readable(text: str) -> str:
    """A text without white space around it.

    Raises:
        NothingToSay: nothing is left.
        InputError: it is not Unicode.
    """
    text = text.strip()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"'text' holds half a surrogate pair at character {error.start + 1}") from error
    if not text:
        raise NothingToSay("'text' is empty; expected something to say")
    return text
