"""The data of fine-tuning a VibeVoice: its own prompt, then the latents of the speech.

    <task> Voice input: Speaker 0:<start> ⟂ ⟂ <end> Text input: Speaker 0: text Speech output:<start> ⟂ ⟂ ⟂ <end> <stop>

⟂ holds a latent (`latent.data.vibevoice_prompt`). A recording of several speakers has a voice for each of them, and a
line of text for each turn. Voices come from other recordings of the same speakers; some examples have none
(`task.voice_prompt_drop`), and in some nothing stands before the last <start>, for guidance (`task.condition_dropout`).
Every token but those of voices is predicted, and by diffusion every latent of the speech. As at synthesis, latents of
the speech enter with their semantic features, those of voices without.

Unlike in the released training code, "a latent follows" is predicted too: otherwise a model would never learn to stop
elsewhere than before.

Source: `vibevoice-community/VibeVoice: vibevoice/finetune/train_vibevoice.py`, for losses and their weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from latent.data.batch import MixedBatch
from latent.data.latent_store import Latents, LatentStore, StoredUtterance
from latent.data.speech_prompts import padded_sequences
from latent.data.turns import Turns, numbered
from latent.data.vibevoice_prompt import TAIL, SwitchName, head_pieces, plain_text, tokenized, turn_piece
from latent.model_card import write_model_card
from latent.models.vibevoice import SwitchTokens
from latent.models.vibevoice_language import read_config
from latent.text.text_encoder import load_text_encoder
from s2s import hub
from s2s.config import Section
from s2s.errors import ConfigError, InputError
from s2s.models.pretrained import locate
from s2s.registry import register_task
from s2s.tasks.base import Task

_UNKNOWN = "unknown"
"""The speaker of lines of a manifest that name none."""


@dataclass(frozen=True)
class TunedExample:
    """A sequence: `tokens` with ⟂ where `latents` `(M, L)` stand.

    Args:
        id: Of the utterance.
        tokens: All of them.
        latents: Those of the voices, then those of the speech.
        voice: Number of latents of the voices.
        features: Semantic features of the speech, `(F, S)`.
    """

    id: str
    tokens: list[int]
    latents: Latents
    voice: int
    features: Latents


class Script:
    """Makes the tokens of examples."""

    def __init__(self, folder: Path, tokens: SwitchTokens) -> None:
        self.encode, self.tokens = load_text_encoder(folder, None), tokens
        self._switches: dict[SwitchName, int] = {"latent": tokens.latent, "end": tokens.end, "start": tokens.start}

    def example(self, turns: Turns, voices: Sequence[int], frames: int) -> list[int]:
        """The tokens of an utterance of so many latents, with voices of so many; no turns: nothing before the start."""
        before = [self.tokens.start]
        if turns:
            texts = [plain_text(" ".join(turn.text.split())) for turn in turns]
            said = [turn_piece(number, text) for number, text in zip(numbered(turns), texts, strict=True)]
            before = tokenized([*head_pieces(voices), *said, *TAIL], self.encode, self._switches)
        return [*before, *[self.tokens.latent] * frames, self.tokens.end, self.tokens.stop]


@dataclass(frozen=True)
class Stretch:
    """A part of a recording in which one speaker is heard, from one latent to another; the last ones by default."""

    store: LatentStore
    index: int
    start: int = 0
    end: int | None = None


class TuningDataset:
    """Utterances of a store. Noise, voices and dropout depend only on the seed, the epoch and the index.

    Args:
        store: Read here.
        voices: What voices of each speaker come from.
        fixed: The same examples in every epoch, none of them without text, as validation needs.
    """

    def __init__(
        self,
        store: LatentStore,
        voices: dict[str, list[Stretch]],
        script: Script,
        config: Any,
        seed: int,
        fixed: bool,
    ) -> None:
        self._store, self._voices, self._script = store, voices, script
        self._config, self._seed, self._fixed = config, seed, fixed
        self.lengths: NDArray[np.int64] = np.array([self._longest(said) for said in store.utterances], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._store)

    def _longest(self, said: StoredUtterance) -> int:
        """The length of an example with the longest voices."""
        voices = [] if self._config.voice_prompt_drop == 1 else [self._config.voice_frames] * len(_names(said))
        return len(self._script.example(said.script, voices, said.frames))

    def example(self, index: int, epoch: int) -> TunedExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        said, facts, config = self._store.utterances[index], self._store.facts, self._config
        stored = self._store.frames(index)
        sound = facts.sample(stored[:, : facts.latent_size], generator)
        untold = generator.random() < config.condition_dropout and not self._fixed
        unheard = generator.random() < config.voice_prompt_drop
        names = [] if untold or unheard else _names(said)
        voices = [self._voice(name, index, generator) for name in names]
        counts = [len(voice) for voice in voices]
        tokens = self._script.example(() if untold else said.script, counts, len(sound))
        features = stored[:, facts.latent_size :]
        return TunedExample(said.id, tokens, np.concatenate([*voices, sound]), sum(counts), features)

    def _voice(self, speaker: str, index: int, generator: np.random.Generator) -> Latents:
        """A piece of another recording of a speaker."""
        candidates = _others(self._voices[speaker], self._store, index)
        found = candidates[generator.integers(len(candidates))]
        mean, most = found.store.mean(found.index)[found.start : found.end], self._config.voice_frames
        frames = int(generator.integers(min(self._config.min_voice_frames, most), most, endpoint=True))
        start = int(generator.integers(max(1, len(mean) - frames + 1)))
        return found.store.facts.sample(mean[start : start + frames], generator)


@register_task("vibevoice_synthesis")
class VibeVoiceSynthesis(Task):
    """Fine-tuning of a released VibeVoice on recordings of some speakers."""

    model, criterion, decoder = "vibevoice_language", "next_token_diffusion", "vibevoice"
    has_tokenizer = True

    class Config(Section):
        """Options of fine-tuning a VibeVoice."""

        train: str
        """Store of latents to learn from, encoded with the checkpoint (`unilatent encode --tokenizer CHECKPOINT`)."""
        valid: str
        """Store of latents to validate with."""
        tokenizer: hub.Name = None
        """Folder with the text tokenizer and config.json. Default: the model's checkpoint."""
        voice_prompt_drop: float = Field(0.2, ge=0, le=1)
        """Share of examples without a voice. 1: the model learns voices without prompts, best for a single one."""
        voice_frames: PositiveInt = 112
        """Longest voice, in latents; 112 are 15 seconds."""
        min_voice_frames: PositiveInt = 37
        """Shortest voice, in latents, where the recording is as long; 37 are 5 seconds."""
        condition_dropout: float = Field(0.1, ge=0, lt=1)
        """Share of examples with nothing but the speech, for guidance."""

    config: VibeVoiceSynthesis.Config

    @classmethod
    def implied(cls, config: VibeVoiceSynthesis.Config) -> dict[str, dict[str, Any]]:
        """The published weights of the losses."""
        return {"criterion": {"token_weight": 0.04, "latent_weight": 1.4, "noise_draws": 4}}

    def __init__(self, config: VibeVoiceSynthesis.Config) -> None:
        super().__init__(config)
        if config.tokenizer is None:
            raise ConfigError("task.tokenizer: must be given, or model.init, the checkpoint that brings it")
        tokens = read_config(config.tokenizer).tokens
        self._script = Script(locate(config.tokenizer), tokens if isinstance(tokens, SwitchTokens) else SwitchTokens())
        self._stores = {split: LatentStore(getattr(config, split)) for split in ("train", "valid")}
        for split, store in self._stores.items():
            self._check(split, store)
        self._voices = {split: self._voices_of(split) for split in self._stores}

    def _check(self, split: str, store: LatentStore) -> None:
        """What would otherwise fail in training, or train something else."""
        where, facts = getattr(self.config, split), store.facts
        if not facts.semantic_size:
            raise InputError(f"{where}: has no semantic features; encode it with --tokenizer {self.config.tokenizer}")
        first = self._stores["train"].facts
        if (facts.frame_size, facts.hop_length) != (first.frame_size, first.hop_length):
            raise ConfigError(
                f"task.valid: {where}: has other latents than task.train; encode both with one checkpoint"
            )
        names = {name for said in store.utterances for name in _names(said)}
        if names == {_UNKNOWN} and self.config.voice_prompt_drop < 1:
            raise InputError(
                f"{where}: no line of its manifest names a 'speaker', so no other recording of the speaker can be the "
                "voice; name them, or train without voices: task.voice_prompt_drop=1"
            )

    def _voices_of(self, split: str) -> dict[str, list[Stretch]]:
        """What the voices of a split come from, by speaker: recordings of training, or else its own.

        Raises:
            InputError: a speaker has one recording alone.
        """
        store = self._stores[split]
        found = {**_by_speaker(store), **_by_speaker(self._stores["train"])}
        for index, said in enumerate(() if self.config.voice_prompt_drop == 1 else store.utterances):
            for name in _names(said):
                if not _others(found.get(name, []), store, index):
                    untimed = " with times of turns or with no other speaker" if said.turns else ""
                    raise InputError(
                        f"{getattr(self.config, split)}: speaker {name!r} has one recording, {said.id!r}; the voice "
                        f"comes from another one{untimed}: add one, leave this one out, or train without voices: "
                        "task.voice_prompt_drop=1"
                    )
        return found

    def inputs(self) -> list[Path]:
        return [store.folder for store in self._stores.values()]

    def dataset(self, split: str, seed: int) -> TuningDataset:
        fixed = split == "valid"
        return TuningDataset(self._stores[split], self._voices[split], self._script, self.config, seed, fixed)

    def collate(self, examples: Sequence[Any]) -> MixedBatch:
        return tuning_batch(examples, self._script.tokens.latent, self._stores["train"].facts.latent_size)

    def model_defaults(self) -> dict[str, Any]:
        facts = self._stores["train"].facts
        longest = max(int(self.dataset(split, 0).lengths.max()) for split in self._stores)
        sizes = {"latent_size": facts.latent_size, "semantic_size": facts.semantic_size, "num_positions": longest}
        return {"vocab_size": len(self._script.encode), **sizes}

    def save(self, folder: Path) -> None:
        store = self._stores["train"]
        self._script.encode.save(folder)
        learned = replace(store.facts, num_frames=sum(said.frames for said in store.utterances))
        write_model_card(folder, learned, sorted({name for said in store.utterances for name in _names(said)}))


def tuning_batch(examples: Sequence[TunedExample], latent: int, latent_size: int) -> MixedBatch:
    """Padded examples: each latent of the speech, and each token after one that is not of a voice, is predicted."""
    tokens = [example.tokens for example in examples]
    ids = [example.id for example in examples]
    sequences = padded_sequences(ids, tokens, [example.latents for example in examples], latent_size, latent)
    width = sequences.tokens.shape[1]
    slots: list[int] = []
    predicted: list[int] = []
    before = 0
    for row, example in enumerate(examples):
        heard = 0
        for place, token in enumerate(example.tokens[1:], start=1):
            heard += token == latent
            if token != latent or heard > example.voice:
                slots.append(row * width + place - 1)
        predicted += range(before + example.voice, before + len(example.latents))
        before += len(example.latents)
    chosen, spoken = torch.tensor(slots), torch.tensor(predicted, dtype=torch.int64)
    sequences = replace(
        sequences,
        features=torch.from_numpy(np.concatenate([example.features for example in examples])),
        feature_slots=sequences.latent_slots[spoken],
    )
    labels = sequences.tokens.flatten()[chosen + 1]
    return MixedBatch(**vars(sequences), slots=chosen, labels=labels, predicted=spoken, pad_id=0)


def _names(said: StoredUtterance) -> list[str]:
    """The speakers of an utterance, in the order of their numbers."""
    return list(dict.fromkeys(turn.speaker for turn in said.script))


def _others(stretches: Sequence[Stretch], store: LatentStore, index: int) -> list[Stretch]:
    """Those of other recordings than one."""
    return [one for one in stretches if one.store is not store or one.index != index]


def _by_speaker(store: LatentStore) -> dict[str, list[Stretch]]:
    """Where each speaker is heard alone: whole recordings, and turns whose times are known."""
    places: dict[str, list[Stretch]] = {}
    rate = store.facts.sample_rate / store.facts.hop_length
    for index, said in enumerate(store.utterances):
        if len(names := _names(said)) == 1:
            places.setdefault(names[0], []).append(Stretch(store, index))
            continue
        for turn in said.turns:
            if turn.start is not None and turn.end is not None:
                start, end = math.ceil(turn.start * rate), math.floor(turn.end * rate)
                places.setdefault(turn.speaker, []).extend([Stretch(store, index, start, end)] * (start < end))
    return places
