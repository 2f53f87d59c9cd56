"""The recognizer of a LatentLM that both speaks and listens: a run of the task `speech_and_text`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent.audio_tokenizer import encode_samples, matching_tokenizer
from latent.data.latent_store import TOKENIZER
from latent.data.speech_prompts import mixed_sequences
from latent.data.vocabulary import SPEECH_START, SpeechVocabulary, heard_tokens
from latent.decoding.text_writer import ReadPrompts, TextWriter
from latent.decoding.transcription import Dictated, TranscriptionDecoder
from latent.models.latent_lm import LatentLM
from latent.models.sigma_vae import SigmaVAE
from latent.nn.writing import TextState
from latent.recognition.recognizer import RecognitionRequest, Recognizer
from latent.recognition.transcript import Segment, Transcript
from s2s import checkpoint
from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.hub import repository_of
from s2s.nn.packed import Precision, noted_precision
from s2s.run import build_decoder, build_model, load_weights, read_run

_CHUNK_SECONDS = 30


class LatentLMRecognizer(Recognizer):
    """Writes down what is said in recordings as long as those that it learned from; it knows no times or speakers.

    Args:
        name: Of its run folder.
        model: In evaluation mode.
        tokenizer: The σ-VAE of its latents.
        weights: Files of the weights of both.
    """

    finds_language = False

    def __init__(
        self,
        name: str,
        model: LatentLM,
        tokenizer: SigmaVAE,
        vocabulary: SpeechVocabulary,
        decoder: TranscriptionDecoder,
        weights: Sequence[Path],
    ) -> None:
        self._model, self._tokenizer, self._vocabulary, self._decoder = model, tokenizer, vocabulary, decoder
        self._hashes = [fingerprint(path)["sha256"][:16] for path in weights]
        self.name, self.sample_rate = name, int(tokenizer.config.sample_rate)
        unwritten = sorted({*range(model.config.vocab_size)} - {SPEECH_START, *vocabulary.text_tokens})
        self._writer = TextWriter(model, [SPEECH_START], unwritten)
        per_second = tokenizer.frame_rate + decoder.config.tokens_per_second
        self.max_seconds = (model.config.max_positions - 2) / per_second

    @classmethod
    def open(
        cls,
        run: Path,
        tokenizer: str | Path | None,
        device: torch.device,
        overrides: Iterable[str],
        checkpoint_name: str | None,
        precision: Precision | None = None,
    ) -> LatentLMRecognizer:
        """The recognizer in a run folder, without its training data.

        Raises:
            InputError: the run lacks weights, or an audio tokenizer that fits.
            ConfigError: an override does not fit.
        """
        config = read_run(run, ["decoder.name=transcription", *overrides])
        codec, model = matching_tokenizer(run, tokenizer), build_model(config, fresh=False)
        assert isinstance(model, LatentLM), "the task has no other model"
        load_weights(model, run, checkpoint_name)
        for part in (model, codec):
            part.eval().requires_grad_(False).to(device).prepare(precision or "float32")
        folder = run / TOKENIZER if tokenizer is None else Path(tokenizer)
        weights = [checkpoint.weights_path(run, checkpoint_name), checkpoint.weights_path(folder, None)]
        decoder = build_decoder(config, TranscriptionDecoder)
        name = repository_of(run) or run.resolve().name
        recognizer = cls(name, model, codec, SpeechVocabulary.load(run), decoder, weights)
        recognizer.precision = precision
        return recognizer

    def fingerprint(self) -> dict[str, Any]:
        decoder = self._decoder.config.model_dump(mode="json")
        return {"weights": self._hashes, "decoder": decoder, **noted_precision(self.precision)}

    def check_context(self, context: str) -> None:
        if context:
            raise InputError(f"{self.name}: knows no hot words; leave --hotwords out")

    @torch.inference_mode()
    def recognize(self, requests: Sequence[RecognitionRequest]) -> Iterator[tuple[int, Transcript]]:
        heard = [self._hear(request) for request in requests]
        ids = [request.id for request in requests]
        states, limits = [state for state, _ in heard], [limit for _, limit in heard]
        prompts = ReadPrompts.of(ids, states, limits, SPEECH_START)
        texts: list[Dictated] = [text for (text,) in self._decoder(self._writer, prompts)]  # type: ignore[misc]
        for index, (request, text) in enumerate(zip(requests, texts, strict=True)):
            said = self._vocabulary.written(text.tokens[: len(text.tokens) - text.loop]).strip()
            segments = [Segment(said, 0.0, round(request.seconds, 2))] if said else []
            yield index, Transcript(segments, request.seconds, request.language, text.warnings)

    def _hear(self, request: RecognitionRequest) -> tuple[TextState, int]:
        """Read a recording, alone, so that others beside it change nothing; and how many tokens its text may have."""
        if request.seconds > self.max_seconds:
            raise InputError(
                f"{request.id}: lasts {request.seconds:.1f} s, {self.name} hears at most {self.max_seconds:.1f} s; "
                "cut it in silence"
            )
        size, device = int(_CHUNK_SECONDS * self.sample_rate), self._model.embeddings.weight.device
        samples = np.concatenate(list(request.recording.blocks(self.sample_rate, size)))
        means = encode_samples(self._tokenizer, samples, device).numpy()
        given = ([request.id], [heard_tokens(len(means))], [means], means.shape[1], self._vocabulary)
        prompt = mixed_sequences(*given).to(device)
        count = prompt.tokens.shape[1]
        limit = self._decoder.limit(request.seconds, self._model.config.max_positions - count)
        state = self._writer.empty(count + limit // 2)
        self._writer.read(state, self._model.embed(prompt))
        return state, limit
