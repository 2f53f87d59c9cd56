"""VibeVoice-ASR-Streaming: text with speakers while the audio arrives, or of a file in the same windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from latent.audio.files import Samples
from latent.data.recognition_prompt import CHUNK_END, END, FRAME, START, streaming_prompt
from latent.decoding.live_transcription import ChunkText, LiveDecoder, LiveText, Windows, WindowSizes
from latent.models.families import preprocessor_facts
from latent.models.vibevoice_asr import VibeVoiceASR
from latent.recognition.chunk_texts import UNKNOWN, segments_of, turns_of
from latent.recognition.live import LiveChunk, LiveTranscript, followed
from latent.recognition.recognizer import RecognitionRequest
from latent.recognition.released import TEXT_END, ReleasedRecognizer
from latent.recognition.transcript import Transcript, timed
from latent.text.text_encoder import TextEncoder
from s2s.errors import InputError

_LEFTOVERS = re.compile(
    "|".join(map(re.escape, (CHUNK_END, START, END, FRAME, "<|speech_start|>", "<|speech_end|>", "<|speech_pad|>")))
)
_TAG = re.compile(r"\[[^\[\]]*\]|Speaker\s*\d+\s*:")
_SENTENCE_BYTES = 16
"""Letters of what is more than "yes, exactly", an ideograph being three."""
_POSITIONS_PER_SECOND = 16
"""Of windows and text, as a rule."""


class LiveVibeVoiceRecognizer(ReleasedRecognizer):
    """Hears windows of a few seconds as they come; it knows no loudness of the whole, so it changes none."""

    decoder_class, decoder_name = LiveDecoder, "live_transcription"
    needed, is_live = (CHUNK_END,), True

    def __init__(self, folder: Path, model: VibeVoiceASR, decoder: LiveDecoder, encoder: TextEncoder) -> None:
        super().__init__(folder, model, decoder, encoder)
        self._sizes = window_sizes(folder)
        self.max_seconds = self.max_positions / _POSITIONS_PER_SECOND
        self.chunk_seconds = self._sizes.new * model.hop_length / self.sample_rate

    def recognize(self, requests: Sequence[RecognitionRequest]) -> Iterator[tuple[int, Transcript]]:
        for index, request in enumerate(requests):
            live = self.follow(self.sample_rate, request.context)
            for _ in followed(live, request.recording, self.sample_rate):
                pass
            transcript = live.transcript()
            yield index, Transcript(transcript.segments, transcript.seconds, request.language, transcript.warnings)

    def follow(self, sample_rate: int, context: str = "") -> LiveVibeVoiceTranscript:
        prompt, stops = self._tokens(streaming_prompt(context)), self._writer(CHUNK_END, TEXT_END).stops
        marks = (self._id(START), self._id(END))
        text = self._decoder.follow(self._model, prompt, marks, stops, self._sizes, self._is_sentence)
        windows = Windows(self._model.hop_length, self._sizes)
        rates = (sample_rate, self.sample_rate)
        return LiveVibeVoiceTranscript(text, windows, self._plain, rates, self.chunk_seconds)

    def _plain(self, tokens: Sequence[int]) -> str:
        return _LEFTOVERS.sub("", self._encoder.decode(tokens))

    def _is_sentence(self, tokens: Sequence[int]) -> bool:
        letters = "".join(filter(str.isalnum, _TAG.sub("", self._plain(tokens))))
        return len(letters.encode()) >= _SENTENCE_BYTES


def window_sizes(folder: Path) -> WindowSizes:
    """The windows that a streaming model was trained with; raises InputError if the folder does not say."""
    facts = preprocessor_facts(folder)
    found = [facts.get(name) for name in ("chunk_frames", "lookahead_frames")]
    if not all(isinstance(value, int) for value in found) or found[0] < 1 or found[1] < 0:  # type: ignore[operator]
        raise InputError(
            f"{folder / 'preprocessor_config.json'}: 'chunk_frames' and 'lookahead_frames' must be whole numbers, "
            f"found {found[0]!r} and {found[1]!r}; without them this is no streaming model"
        )
    return WindowSizes(*found)  # type: ignore[arg-type]


class LiveVibeVoiceTranscript(LiveTranscript):
    """The transcript of one stream; see `LiveTranscript`."""

    def __init__(
        self,
        text: LiveText,
        windows: Windows,
        plain: Callable[[Sequence[int]], str],
        rates: tuple[int, int],
        advance: float,
    ) -> None:
        super().__init__(*rates)
        self._text, self._windows, self._plain, self._advance = text, windows, plain, advance
        self._texts: list[str] = []
        self._speaker = UNKNOWN
        self._warnings: list[str] = []

    def transcript(self) -> Transcript:
        segments = segments_of(self._texts, self._advance, self.seconds)
        return Transcript(timed(segments, self.seconds), self.seconds, None, tuple(self._warnings))

    def _hear(self, samples: Samples) -> Iterator[LiveChunk]:
        yield from map(self._chunk, self._windows.push(samples))

    def _end(self) -> Iterator[LiveChunk]:
        yield from map(self._chunk, self._windows.close())

    def _chunk(self, window: Samples) -> LiveChunk:
        number = len(self._texts)
        warnings = self._make_room()
        written = self._text.hear(torch.from_numpy(window))
        text = self._plain(written.tokens)
        self._texts.append(text)
        warnings += self._faults(written)
        turns, self._speaker = turns_of(text, self._speaker)
        start = number * self._advance
        self._warnings += [f"{start:.1f} s: {warning}" for warning in warnings]
        return LiveChunk(start, min(start + self._advance, self.seconds), text, turns, warnings, 0.0)

    def _make_room(self) -> list[str]:
        if not self._text.is_full:
            return []
        self._text.restart()
        return ["the model's memory was full and began again; speakers are numbered anew"]

    def _faults(self, written: ChunkText) -> list[str]:
        if written.ending == "repetition":
            return [f"the model repeated itself; left out: {self._plain(written.repeated).strip()!r}"]
        if written.ending == "limit":
            return [f"the text of a chunk was cut after {len(written.tokens)} tokens; see decoder.max_tokens"]
        return []
