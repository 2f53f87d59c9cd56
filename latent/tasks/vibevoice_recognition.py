"""The data of fine-tuning a VibeVoice-ASR: its prompt with a recording, then the answer, which alone is predicted.

    <|im_start|>system ...<|im_end|> <|im_start|>user <start> ⟂ ⟂ ⟂ <end> This is a 2.50 seconds audio, ...<|im_end|>
    <|im_start|>assistant [{"Start":0.0,"End":2.53,"Speaker":0,"Content":"Good morning."}]<|im_end|>

⟂ holds a frame: a sampled latent, not scaled, and its semantic features (`latent.data.recognition_prompt`).

Source: `microsoft/VibeVoice: finetuning-asr/`, for the form of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latent.data.batch import MixedBatch
from latent.data.latent_store import Latents, LatentStore, StoredUtterance
from latent.data.recognition_prompt import (
    FRAME,
    TURN_END,
    TURN_START,
    Piece,
    Special,
    after_audio,
    before_audio,
    tokenized,
)
from latent.data.speech_prompts import padded_sequences
from latent.data.turns import Turns, numbered
from latent.text.text_encoder import load_text_encoder
from s2s import hub
from s2s.config import Section
from s2s.errors import ConfigError, InputError
from s2s.models.pretrained import locate
from s2s.registry import register_task
from s2s.tasks.base import Task


@dataclass(frozen=True)
class HeardExample:
    """A sequence: `tokens` with ⟂ where `latents` `(F, L)` and `features` `(F, S)` stand; from `start` an answer."""

    id: str
    tokens: list[int]
    latents: Latents
    features: Latents
    start: int


class HeardDataset:
    """Utterances of a store; the noise of latents depends only on the seed, the epoch and the index."""

    def __init__(self, store: LatentStore, rows: Sequence[tuple[list[int], int]], seed: int, fixed: bool) -> None:
        self._store, self._rows, self._seed, self._fixed = store, rows, seed, fixed
        self.lengths: NDArray[np.int64] = np.array([len(tokens) for tokens, _ in rows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._store)

    def example(self, index: int, epoch: int) -> HeardExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        size, stored = self._store.facts.latent_size, self._store.frames(index)
        latents = self._store.facts.sample(stored[:, :size], generator)
        tokens, start = self._rows[index]
        return HeardExample(self._store.utterances[index].id, tokens, latents, stored[:, size:], start)


@register_task("vibevoice_recognition")
class VibeVoiceRecognition(Task):
    """Fine-tuning of a released VibeVoice-ASR on recordings with transcripts."""

    model, criterion = "vibevoice_listener", "next_token"
    has_tokenizer = True

    class Config(Section):
        """Options of fine-tuning a VibeVoice-ASR."""

        train: str
        """Store of latents to learn from, encoded with the checkpoint (`unilatent encode --tokenizer CHECKPOINT`)."""
        valid: str
        """Store of latents to validate with."""
        tokenizer: hub.Name = None
        """Folder with the text tokenizer. Default: the model's checkpoint."""
        context: str = ""
        """Names and terms that every prompt tells, as `--hotwords` does."""

    config: VibeVoiceRecognition.Config

    def __init__(self, config: VibeVoiceRecognition.Config) -> None:
        super().__init__(config)
        if config.tokenizer is None:
            raise ConfigError("task.tokenizer: must be given, or model.init, the checkpoint that brings it")
        self._encode = load_text_encoder(locate(config.tokenizer), None)
        self._stores = {split: LatentStore(getattr(config, split)) for split in ("train", "valid")}
        first = self._stores["train"].facts
        for split, store in self._stores.items():
            where = getattr(config, split)
            if not store.facts.semantic_size:
                raise InputError(f"{where}: has no semantic features; encode it with --tokenizer {config.tokenizer}")
            if (store.facts.frame_size, store.facts.hop_length) != (first.frame_size, first.hop_length):
                raise ConfigError(f"task.{split}: {where}: has other latents than task.train; encode both alike")
            for said in store.utterances:
                if any(turn.end is None for turn in said.turns):
                    raise InputError(f"{where}: 'segments' of {said.id!r} lack times, which the answer tells")

    def inputs(self) -> list[Path]:
        return [store.folder for store in self._stores.values()]

    def dataset(self, split: str, seed: int) -> HeardDataset:
        store = self._stores[split]
        rows = [self._row(said, store) for said in store.utterances]
        return HeardDataset(store, rows, seed, fixed=split == "valid")

    def _row(self, said: StoredUtterance, store: LatentStore) -> tuple[list[int], int]:
        """The tokens of an utterance, and where its answer starts."""
        seconds = said.frames * store.facts.hop_length / store.facts.sample_rate
        frames: list[Piece] = [Special(FRAME)] * said.frames
        prompt = self._tokens([*before_audio(), *frames, *after_audio(seconds, self.config.context)])
        text = f"assistant\n{answer(said.script, seconds)}"
        return [*prompt, *self._tokens([Special(TURN_START), text, Special(TURN_END)])], len(prompt)

    def _tokens(self, pieces: Sequence[Piece]) -> list[int]:
        return tokenized(pieces, self._encode, self._special)

    def _special(self, token: str) -> int:
        found = self._encode.special(token)
        if found is None:
            raise InputError(f"{self.config.tokenizer}: its tokenizer lacks {token}; give task.tokenizer")
        return found

    def collate(self, examples: Sequence[Any]) -> MixedBatch:
        ids, tokens = [example.id for example in examples], [example.tokens for example in examples]
        size = self._stores["train"].facts.latent_size
        latents = [example.latents for example in examples]
        sequences = padded_sequences(ids, tokens, latents, size, self._special(FRAME))
        width = sequences.tokens.shape[1]
        slots = torch.tensor(
            [
                row * width + place - 1
                for row, example in enumerate(examples)
                for place in range(example.start, len(example.tokens))
            ]
        )
        features = torch.from_numpy(np.concatenate([example.features for example in examples]))
        sequences = replace(sequences, features=features, feature_slots=sequences.latent_slots)
        labels = sequences.tokens.flatten()[slots + 1]
        nothing = torch.empty(0, dtype=torch.int64)
        return MixedBatch(**vars(sequences), slots=slots, labels=labels, predicted=nothing, pad_id=0)

    def model_defaults(self) -> dict[str, Any]:
        facts = self._stores["train"].facts
        longest = max(int(self.dataset(split, 0).lengths.max()) for split in self._stores)
        sizes = {"latent_size": facts.latent_size, "semantic_size": facts.semantic_size, "num_positions": longest}
        return {"vocab_size": len(self._encode), **sizes}

    def save(self, folder: Path) -> None:
        self._encode.save(folder)


def answer(turns: Turns, seconds: float) -> str:
    """What the model writes of a recording of that many seconds: JSON without spaces."""
    segments = [
        {
            "Start": round(turn.start or 0.0, 2),
            "End": round(seconds if turn.end is None else turn.end, 2),
            "Speaker": number,
            "Content": " ".join(turn.text.split()),
        }
        for number, turn in zip(numbered(turns), turns, strict=True)
    ]
    return json.dumps(segments, ensure_ascii=False, separators=(",", ":"))
