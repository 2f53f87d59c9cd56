"""A recognizer of one's own: a run of the task `speech_recognition` with what makes its latents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent.recognition.hearing import Hearing, open_hearing
from latent.recognition.recognizer import RecognitionRequest, Recognizer
from latent.recognition.transcript import Segment, Transcript
from latent.tasks.speech_recognition import HeardSource, SpeechRecognition
from s2s import checkpoint
from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.generation.generator import Generator
from s2s.nn.packed import Precision, noted_precision

_CHUNK_SECONDS = 30


class TrainedRecognizer(Recognizer):
    """Writes down what is said in recordings as short as those that it learned from; it knows no times or speakers.

    Args:
        run: The run folder.
        generator: Its model and search; the task is `SpeechRecognition`.
        hearing: What makes its latents.
        weights: The file of its weights.
    """

    finds_language = False

    def __init__(self, run: Path, generator: Generator, hearing: Hearing, weights: Path) -> None:
        assert isinstance(generator.task, SpeechRecognition)
        self._generator, self._task, self._hearing = generator, generator.task, hearing
        self._hashes = [fingerprint(weights)["sha256"][:16], hearing.sha256[:16]]
        self.name, self.sample_rate = run.resolve().name, hearing.sample_rate
        self.max_seconds = self._task.max_frames / hearing.frame_rate

    @classmethod
    def open(
        cls,
        run: Path,
        tokenizer: str | Path | None,
        device: torch.device,
        overrides: Iterable[str],
        checkpoint_name: str | None,
        precision: Precision | None = None,
    ) -> TrainedRecognizer:
        """The recognizer of a run folder, without its training data.

        Raises:
            InputError: the run lacks weights, or an audio tokenizer or a speech encoder that fits.
            ConfigError: an override does not fit.
        """
        hearing = open_hearing(run, tokenizer, device)
        of_text = precision or "float32"
        generator = Generator.load(run, checkpoint_name, device=device, precision=of_text, overrides=overrides)
        recognizer = cls(run, generator, hearing, checkpoint.weights_path(run, checkpoint_name))
        recognizer.precision = precision
        return recognizer

    def fingerprint(self) -> dict[str, Any]:
        return {
            "weights": self._hashes,
            "decoder": self._generator.settings["decoder"],
            **noted_precision(self.precision),
        }

    def check_context(self, context: str) -> None:
        if context:
            raise InputError(f"{self.name}: knows no hot words; leave --hotwords out")

    @torch.inference_mode()
    def recognize(self, requests: Sequence[RecognitionRequest]) -> Iterator[tuple[int, Transcript]]:
        heard = [self._hear(request) for request in requests]
        sources = self._task.collate_sources(heard).to(self._generator.device)
        found = self._generator.search(self._generator.model, sources)
        for index, (request, hypotheses) in enumerate(zip(requests, found, strict=True)):
            text = self._task.text(hypotheses[0].tokens)
            warnings = [] if hypotheses[0].finished else ["the text was cut at decoder.max_length"]
            segments = [Segment(text, 0.0, round(request.seconds, 2))] if text else []
            yield index, Transcript(segments, request.seconds, request.language, warnings)

    def _hear(self, request: RecognitionRequest) -> HeardSource:
        """The latents of a recording, encoded alone, so that others beside it change nothing."""
        if request.seconds > self.max_seconds:
            raise InputError(
                f"{request.id}: lasts {request.seconds:.1f} s, {self.name} hears at most {self.max_seconds:.1f} s; "
                "cut it in silence"
            )
        size = int(_CHUNK_SECONDS * self.sample_rate)
        samples = np.concatenate(list(request.recording.blocks(self.sample_rate, size)))
        return self._task.heard(request.id, self._hearing.encode(samples)[: self._task.max_frames])
