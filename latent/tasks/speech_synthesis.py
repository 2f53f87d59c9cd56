"""The data of LatentLM: text, speaker and sometimes a voice prompt, then the latents of what is said.

    [voice ⟂ ⟂ ⟂ end] speaker t e x t start ⟂ ⟂ ⟂ ⟂ end

⟂ holds a latent. Every ⟂ and the end after `start` are predicted as tokens, the latents by diffusion; text and voice
prompt are only read. Now and then all before `start` is replaced by one token that says nothing: this is what guidance
compares with. With `task.cues` each slot before a ⟂ is told which tokens sound then (`latent.data.cues`).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from latent.data.batch import GenerationPrompts, MixedBatch, MixedSequences
from latent.data.cues import NO_CUE, CueWindow, timed_text, token_durations
from latent.data.latent_store import (
    TOKENIZER,
    Latents,
    LatentStore,
    StoredUtterance,
    StoreFacts,
    copy_tokenizer,
)
from latent.data.vocabulary import (
    LATENT,
    NOTHING,
    PAD,
    SPEECH_END,
    SpeechVocabulary,
    empty_prompt_tokens,
    prompt_tokens,
)
from latent.model_card import write_model_card
from latent.text.front_end import FRONT_ENDS, FrontEnd
from latent.text.spoken import spoken as spoken_text
from s2s.config import Section
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.tasks.base import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpeechExample:
    """A sequence: `tokens` with ⟂ where `latents` `(M, L)` stand; from slot `start` on it is predicted.

    With cues: `cues` of the slots from `start - 1` on, `(N, C)`; and `timed`, the tokens of the text, the speaker, and
    how long the tokens last.
    """

    id: str
    tokens: list[int]
    latents: Latents
    start: int
    cues: NDArray[np.int64] | None = None
    timed: tuple[list[int], int, NDArray[np.float64]] | None = None


@dataclass(frozen=True)
class SpeechRequest:
    """Something to say.

    Args:
        id: For messages and files.
        text: What to say.
        speaker: A name of the vocabulary, or None.
        voice: Sampled latents of a voice prompt, `(F, L)`, or None.
        seed: Of all noise of this request.
        temperature: Factor of the initial noise of each latent.
        max_frames: Latents after which it is cut.
        durations: Of the timed tokens of the text, in latents, `(N,)`; None if the model has no cues.
    """

    id: str
    text: str
    speaker: str | None
    voice: Latents | None
    seed: int
    temperature: float
    max_frames: int
    durations: NDArray[np.float64] | None = None


class SpeechDataset:
    """Utterances of a store. Noise, voice prompt and dropout depend on the seed, the epoch and the index alone."""

    def __init__(self, store: LatentStore, vocabulary: SpeechVocabulary, config: Any, seed: int, fixed: bool) -> None:
        self._store, self._vocabulary, self._config, self._seed, self._fixed = store, vocabulary, config, seed, fixed
        self._by_speaker: dict[str, list[int]] = {}
        for index, utterance in enumerate(store.utterances):
            self._by_speaker.setdefault(utterance.speaker, []).append(index)
        voice = config.voice_frames + 2 if config.voice_prompt_prob else 0
        self.lengths: NDArray[np.int64] = np.array(
            [voice + len(vocabulary.text(spoken.text)) + 3 + spoken.frames for spoken in store.utterances],
            dtype=np.int64,
        )

    def __len__(self) -> int:
        return len(self._store)

    def example(self, index: int, epoch: int) -> SpeechExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        spoken, facts, config = self._store.utterances[index], self._store.facts, self._config
        sound = facts.sample(self._store.mean(index), generator)
        dropped = generator.random() < config.condition_dropout and not self._fixed
        voice = self._voice(index, generator) if generator.random() < config.voice_prompt_prob else sound[:0]
        if dropped:
            voice, before = voice[:0], list(empty_prompt_tokens())
        else:
            before = prompt_tokens(self._vocabulary, spoken.text, spoken.speaker, len(voice))
        tokens = [*before, *[LATENT] * len(sound), SPEECH_END]
        example = SpeechExample(spoken.id, tokens, np.concatenate([voice, sound]), len(before))
        return example if self._vocabulary.cues is None else self._with_cues(example, spoken, dropped)

    def _with_cues(self, example: SpeechExample, spoken: StoredUtterance, dropped: bool) -> SpeechExample:
        vocabulary, window = self._vocabulary, self._vocabulary.cues
        assert window is not None, "the task has cues"
        tokens, durations = vocabulary.timed(spoken.text), durations_of(spoken, vocabulary, self._store.facts)
        cues = window.cues(tokens, durations, spoken.frames + 1)
        return replace(
            example,
            cues=np.full_like(cues, NO_CUE) if dropped else cues,
            timed=(tokens, NOTHING if dropped else vocabulary.speaker(spoken.speaker), durations),
        )

    def _voice(self, index: int, generator: np.random.Generator) -> Latents:
        """A piece of another utterance of the speaker; nothing if there is no other."""
        speaker = self._store.utterances[index].speaker
        others = [other for other in self._by_speaker[speaker] if other != index]
        mean = self._store.mean(others[generator.integers(len(others))] if others else index)
        if not others:
            return mean[:0]
        frames = self._config.voice_frames
        start = int(generator.integers(max(1, len(mean) - frames + 1)))
        return self._store.facts.sample(mean[start : start + frames], generator)


class FrontEndSection(Section):
    """Options of the text front end."""

    name: str = "bytes"
    """bytes: any text; characters: those of the training texts; phonemes: by a dictionary, which helps little data
    most; sentencepiece: pieces, for large models."""
    file: str | None = None
    """Dictionary of phonemes (default: pocketsphinx's for English), or model of sentencepiece."""


class CueSection(Section):
    """What is told of the tokens that sound around the next latent."""

    per_latent: PositiveInt = 2
    """Instants in the time of a latent."""
    before: NonNegativeInt = 2
    """Latents before the next one."""
    after: NonNegativeInt = 4
    """Latents after it."""


@register_task("speech_synthesis")
class SpeechSynthesis(Task):
    """Speech from text, on the latents of an audio tokenizer."""

    model, criterion, decoder = "latent_lm", "next_token_diffusion", "next_token_diffusion"

    class Config(Section):
        """Options of the task of speech synthesis."""

        train: str
        """Store of latents to learn from."""
        valid: str
        """Store of latents to validate with."""
        condition_dropout: float = Field(0.1, ge=0, lt=1)
        """Share of examples without text, speaker and voice, for guidance."""
        voice_prompt_prob: float = Field(0.0, ge=0, le=1)
        """Share of examples with a voice prompt from another utterance of the speaker."""
        voice_frames: PositiveInt = 24
        """Longest voice prompt, in latents."""
        front_end: FrontEndSection = FrontEndSection()
        """How text becomes tokens."""
        cues: CueSection | None = None
        """Tell the model which tokens sound around the next latent. For models with cues (timed_latent_lm), and for
        recordings that `unilatent prepare align-speech` has aligned; others are left out."""
        fixed_text_length: NonNegativeInt = 0
        """Positions from a text's first token to the start of speech, the same for all texts that are not longer, so
        that attention finds its place in the text by distance; 0: as many as the text has tokens."""

    config: SpeechSynthesis.Config

    @classmethod
    def implied(cls, config: SpeechSynthesis.Config) -> dict[str, dict[str, Any]]:
        """With cues, the model and the criterion that learn from them."""
        names = {"model": "timed_latent_lm", "criterion": "timed_next_token_diffusion"}
        return {} if config.cues is None else {section: {"name": name} for section, name in names.items()}

    def __init__(self, config: SpeechSynthesis.Config) -> None:
        super().__init__(config)
        self._stores = {split: LatentStore(getattr(config, split)) for split in ("train", "valid")}
        self._check_latents()
        if config.cues is not None:
            if config.voice_prompt_prob and not config.condition_dropout:
                raise ConfigError(
                    "task.condition_dropout: must be above 0 with task.cues and task.voice_prompt_prob, found 0; "
                    "durations of a voice without a name are learned from these examples"
                )
            self._leave_unaligned_out()
        spoken = self._stores["train"].utterances
        texts = [spoken_text(utterance.text, utterance.language) for utterance in spoken]
        front_end = cast("type[FrontEnd]", FRONT_ENDS[config.front_end.name]).learn(texts, config.front_end.file)
        num_tokens = sum(len(front_end.tokens(text)) for text in texts)
        self.vocabulary = SpeechVocabulary(
            speakers=sorted({utterance.speaker for utterance in spoken}),
            frames_per_token=sum(utterance.frames for utterance in spoken) / max(1, num_tokens),
            front_end=front_end,
            language=Counter(utterance.language for utterance in spoken).most_common(1)[0][0],
            fixed_text_length=config.fixed_text_length,
            longest_text=max(map(len, texts)),
            cues=None if config.cues is None else CueWindow(**dict(config.cues)),
        )
        out_of_vocabulary = Counter(part for text in texts for part in front_end.out_of_vocabulary(text))
        if out_of_vocabulary:
            shown = ", ".join(f"{part!r} {count}" for part, count in out_of_vocabulary.most_common(8))
            logger.info(f"{config.train}: {out_of_vocabulary.total():,} unknown parts of texts are spelled: {shown}")
        for utterance in self._stores["valid"].utterances:
            if utterance.speaker not in self.vocabulary.speakers:
                raise InputError(
                    f"{config.valid}: {utterance.id!r}: speaker {utterance.speaker!r} is not in task.train"
                )
        if config.cues is not None:
            for store in self._stores.values():
                for utterance in store.utterances:
                    durations_of(utterance, self.vocabulary, store.facts)  # raises before training, not in it

    def _leave_unaligned_out(self) -> None:
        for split, store in self._stores.items():
            aligned = [spoken for spoken in store.utterances if spoken.alignment is not None]
            where = f"{getattr(self.config, split)}"
            if not aligned:
                raise InputError(
                    f"{where}: task.cues needs 'alignment', which no utterance has; see unilatent prepare align-speech"
                )
            if left_out := len(store.utterances) - len(aligned):
                logger.info(
                    f"{where}: {left_out:,} of {len(store.utterances):,} utterances are not aligned and left out"
                )
            store.utterances = aligned

    def _check_latents(self) -> None:
        train, valid = (self._stores[split].facts for split in ("train", "valid"))
        for name, what in (("latent_size", "numbers per latent"), ("hop_length", "samples per latent")):
            if getattr(train, name) != getattr(valid, name):
                raise ConfigError(
                    f"task.valid: must have {getattr(train, name)} {what} as task.train, found {getattr(valid, name)}; "
                    "encode both with one tokenizer"
                )

    def dataset(self, split: str, seed: int) -> SpeechDataset:
        return SpeechDataset(self._stores[split], self.vocabulary, self.config, seed, fixed=split == "valid")

    def collate(self, examples: Sequence[Any]) -> MixedBatch:
        sequences = mixed_sequences(
            [example.id for example in examples],
            [example.tokens for example in examples],
            [example.latents for example in examples],
            self._stores["train"].facts.latent_size,
            self.vocabulary,
        )
        width = sequences.tokens.shape[1]
        slots: list[int] = []
        labels: list[int] = []
        predicted: list[int] = []
        before = 0
        for row, example in enumerate(examples):
            told = example.tokens[example.start :]
            slots += range(row * width + example.start - 1, row * width + len(example.tokens) - 1)
            labels += told
            predicted += range(before + len(example.latents) - len(told) + 1, before + len(example.latents))
            before += len(example.latents)
        if self.vocabulary.cues is not None:
            cues = torch.full((len(examples), width, self.vocabulary.cues.size), NO_CUE)
            for row, example in enumerate(examples):
                cues[row, example.start - 1 : len(example.tokens) - 1] = torch.from_numpy(example.cues)
            sequences = replace(sequences, cues=cues)
        return MixedBatch(
            **vars(sequences),
            slots=torch.tensor(slots),
            labels=torch.tensor(labels),
            predicted=torch.tensor(predicted, dtype=torch.int64),
            pad_id=PAD,
            timed=None if self.vocabulary.cues is None else timed_text([example.timed for example in examples]),
        )

    def model_defaults(self) -> dict[str, Any]:
        facts = self._stores["train"].facts
        longest = max(int(self.dataset(split, 0).lengths.max()) for split in self._stores)
        return {
            "vocab_size": len(self.vocabulary),
            "latent_size": facts.latent_size,
            "latent_mean": facts.mean,
            "latent_std": facts.latent_std,
            "num_positions": longest,
            **({} if self.vocabulary.cues is None else {"cue_tokens": self.vocabulary.cues.size}),
        }

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder)
        store = self._stores["train"]
        store.facts.save(folder)
        learned = replace(store.facts, num_frames=sum(utterance.frames for utterance in store.utterances))
        write_model_card(folder, learned, self.vocabulary.speakers)
        if (store.folder / TOKENIZER).is_dir():
            copy_tokenizer(store.folder / TOKENIZER, folder)


def mixed_sequences(
    ids: list[str],
    tokens: Sequence[Sequence[int]],
    latents: Sequence[Latents],
    latent_size: int,
    vocabulary: SpeechVocabulary,
) -> MixedSequences:
    """Padded sequences in which every ⟂ holds the next latent of its row."""
    width = max(map(len, tokens))
    padded = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in tokens])
    every = np.concatenate([np.empty((0, latent_size), np.float32), *latents])
    slots = (padded == LATENT).flatten().nonzero().squeeze(1)
    assert len(slots) == len(every), "as many placeholders as latents"
    lengths = torch.tensor([len(row) for row in tokens])
    positions = None
    if vocabulary.fixed_text_length:
        places = [vocabulary.positions(row) for row in tokens]
        positions = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in places])
    return MixedSequences(ids, padded, lengths, torch.from_numpy(every), slots, positions=positions)


def durations_of(spoken: StoredUtterance, vocabulary: SpeechVocabulary, facts: StoreFacts) -> NDArray[np.float64]:
    """How long the timed tokens of an aligned utterance last, in latents.

    Raises:
        InputError: its alignment is of another text.
    """
    sounds, frame_rate = vocabulary.sounds(spoken.text), facts.sample_rate / facts.hop_length
    try:
        return token_durations(sounds, spoken.alignment or (), spoken.frames, frame_rate)
    except InputError as error:
        raise InputError(f"{spoken.id!r}: {error}") from error


def generation_prompts(
    vocabulary: SpeechVocabulary, requests: Sequence[SpeechRequest], latent_size: int
) -> GenerationPrompts:
    """What the decoder needs to say all requests at once.

    Raises:
        InputError: a request names a speaker that the vocabulary does not have.
    """
    nothing = np.empty((0, latent_size), np.float32)
    voices = [nothing if request.voice is None else request.voice for request in requests]
    tokens = [
        prompt_tokens(vocabulary, request.text, request.speaker, len(voice))
        for request, voice in zip(requests, voices, strict=True)
    ]
    ids = [request.id for request in requests]
    conditional = mixed_sequences(ids, tokens, voices, latent_size, vocabulary)
    cues = None
    if vocabulary.cues is not None:
        cues = _planned_cues(vocabulary, vocabulary.cues, requests)
        told = torch.full((*conditional.tokens.shape, cues.shape[2]), NO_CUE)
        told[torch.arange(len(ids)), conditional.lengths - 1] = cues[:, 0]
        conditional = replace(conditional, cues=told)
    return GenerationPrompts(
        conditional=conditional,
        unconditional=mixed_sequences(
            ids, [list(empty_prompt_tokens())] * len(ids), [nothing], latent_size, vocabulary
        ),
        latent_token=LATENT,
        end_token=SPEECH_END,
        seeds=[request.seed for request in requests],
        temperatures=torch.tensor([request.temperature for request in requests]),
        max_frames=[request.max_frames for request in requests],
        cues=cues,
    )


def _planned_cues(vocabulary: SpeechVocabulary, window: CueWindow, requests: Sequence[SpeechRequest]) -> Tensor:
    """Cues `(B, F, C)`; the last one of each row is of a time when all has been said."""
    plans = []
    for request in requests:
        assert request.durations is not None, "made by a voice with cues"
        count = math.ceil(request.durations[:-1].sum()) + window.before + 1
        plans.append(window.cues(vocabulary.timed(request.text), request.durations, count))
    longest = max(map(len, plans))
    return torch.from_numpy(np.stack([np.pad(plan, ((0, longest - len(plan)), (0, 0)), "edge") for plan in plans]))
