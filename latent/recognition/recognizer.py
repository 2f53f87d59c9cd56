"""What every recognizer can do, whatever model listens: released VibeVoice-ASR weights, or others.

recognizer = Recognizer.load("microsoft/VibeVoice-ASR")
transcript = recognizer.transcribe("talk.wav", hot_words=["Tea Brew", "Aiden Host"])
for segment in transcript.segments:
    print(segment.start, segment.end, segment.speaker, segment.text)
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from latent.audio.files import Samples, Source
from latent.audio.recording import Recording
from latent.data.recognition_prompt import hot_words as joined_words
from latent.recognition.live import LiveTranscript
from latent.recognition.transcript import Transcript
from latent.recognition.words import WordAligner, with_words
from s2s.errors import InputError
from s2s.json_files import dump_json
from s2s.nn.packed import Precision

BATCH_SECONDS = 3600.0
"""Longest recording of a batch times its rows: as much memory as an hour alone takes."""


@dataclass(frozen=True)
class RecognitionRequest:
    """A recording to transcribe.

    Args:
        id: For messages and files.
        recording: Where its samples are.
        context: Names and terms that may occur, for the model; empty for none.
        language: Code of two letters, if it is known.
        seconds: Its length.
    """

    id: str
    recording: Recording
    context: str
    language: str | None
    seconds: float


class Recognizer(ABC):
    """Turns audio into text. It hears many recordings at once, each as it would be alone."""

    name: str
    """The name of its folder."""
    sample_rate: int
    """Of the audio that its model hears, in Hz; other rates are converted."""
    max_seconds: float
    """About the longest recording."""
    precision: Precision | None = None
    """Of the weights, if it was chosen."""
    is_live: ClassVar[bool] = False
    """Whether it can follow audio that is still arriving, see `follow`."""
    chunk_seconds: float = 0.0
    """Seconds of audio that a chunk of such text adds."""
    finds_language: ClassVar[bool] = True
    """Whether the model needs no language; a given one is then only noted in the transcript."""

    @staticmethod
    def load(
        recognizer: str | Path,
        checkpoint: str | None = None,
        revision: str | None = None,
        *,
        tokenizer: str | Path | None = None,
        device: str | torch.device = "auto",
        overrides: Iterable[str] = (),
        precision: Precision | None = None,
        **decoder_options: Any,
    ) -> Recognizer:
        """A recognizer of any kind.

        Args:
            recognizer: Released VibeVoice-ASR weights, a folder or USER/NAME on the hub.
            checkpoint: Of a run: a step, or a safetensors file; the best weights by default.
            revision: A commit, branch or tag, for a name on the hub.
            tokenizer: The text tokenizer, a folder or a name on the hub, instead of what the weights bring or name.
            device: "auto" (a GPU if there is one), "cpu", "cuda", "mps", or a device of torch.
            overrides: Options of the decoder as the command line takes them.
            precision: See `latent.recognition.recognizers.open_recognizer`.
            decoder_options: The same as keywords, such as `beam_size=4`.

        Raises:
            InputError: it cannot be found or opened, or is no recognizer.
            ConfigError: an option is unknown or its value does not fit.
        """
        # by name, since every kind of recognizer, which that module knows, imports this one
        recognizers = importlib.import_module("latent.recognition.recognizers")
        options = [*overrides, *(f"decoder.{name}={dump_json(value)}" for name, value in decoder_options.items())]
        where: Any = {"device": device, "revision": revision, "precision": precision}
        opened: Recognizer = recognizers.open_recognizer(
            recognizer, tokenizer, overrides=options, checkpoint_name=checkpoint, **where
        )
        return opened

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What transcripts depend on besides the request: a hash of the weights, and the decoder's options."""

    @abstractmethod
    def recognize(self, requests: Sequence[RecognitionRequest]) -> Iterator[tuple[int, Transcript]]:
        """Transcribe one of the `batches` together; yields the transcript of each request by its index.

        Raises:
            InputError: a recording cannot be read, or is too long for the model.
        """

    def check_context(self, context: str) -> None:  # noqa: B027 (only some recognizers have limits)
        """Raise InputError if a context is too long for the model."""

    def follow(self, sample_rate: int, context: str = "") -> LiveTranscript:
        """The transcript of audio that is arriving, at a rate in Hz.

        Raises:
            InputError: this recognizer needs whole recordings.
        """
        raise InputError(
            f"{self.name}: hears whole recordings only; leave --stream out, or use VibeVoice-ASR-Streaming"
        )

    def request(
        self, id: str, recording: Recording, context: str = "", language: str | None = None
    ) -> RecognitionRequest:
        """A recording to transcribe; raises InputError if it cannot be read."""
        return RecognitionRequest(id, recording, context, language, recording.seconds)

    def batches(self, requests: Sequence[RecognitionRequest], max_rows: int) -> Iterator[list[int]]:
        """Indices of requests that can be heard together, at most `max_rows`: longest first, of similar length."""
        order = sorted(range(len(requests)), key=lambda index: -requests[index].seconds)
        batch: list[int] = []
        for index in order:
            longest = requests[batch[0]].seconds if batch else 0.0
            if batch and (len(batch) == max_rows or longest * (len(batch) + 1) > BATCH_SECONDS):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def transcribe(
        self,
        audio: Source | Samples,
        sample_rate: int | None = None,
        *,
        hot_words: Iterable[str] = (),
        language: str | None = None,
        words: WordAligner | None = None,
    ) -> Transcript:
        """The transcript of a recording.

        Args:
            audio: A file, or samples `(L,)` or `(L, channels)` at `sample_rate` Hz.
            sample_rate: Of samples; a file knows its own.
            hot_words: Names and terms that may occur.
            language: Code of two letters, if it is known.
            words: What finds when each word is said, as `data_prep.aligners.spoken_words.open_word_aligner` opens it.

        Raises:
            InputError: the audio cannot be read, is empty, or is too long for the model.
        """
        if isinstance(audio, np.ndarray) and not sample_rate:
            raise InputError("sample_rate: must be given for samples, in Hz")
        context = joined_words(hot_words)
        self.check_context(context)
        request = self.request("recording", Recording(audio, sample_rate or 0), context, language)
        ((_, transcript),) = self.recognize([request])
        return transcript if words is None else with_words(transcript, request.recording, words)
