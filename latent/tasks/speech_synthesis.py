"""The data of LatentLM: text, speaker and sometimes a voice prompt, then the latents of the speech.

    [voice ⟂ ⟂ ⟂ end] speaker t e x t start ⟂ ⟂ ⟂ ⟂ end

⟂ holds a latent. Every ⟂ and the end after `start` are predicted as tokens, the latents by diffusion; text and voice
prompt are only read. In some examples (`task.condition_dropout`) one empty token replaces everything before `start`,
for classifier-free guidance. With `task.cues` each slot before a ⟂ also gets the tokens that sound at that time
(`latent.data.cues`).

In some examples with a voice prompt (`task.nameless_rate`) the token of a stranger replaces the speaker, so that the
voice must be heard. With strangers, text without any voice is learned too: a stranger who is not heard.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from latent.data.batch import MixedBatch
from latent.data.cues import NO_CUE, CueWindow, TimedRow, timed_text, token_durations
from latent.data.latent_store import (
    Latents,
    LatentStore,
    StoredUtterance,
    StoreFacts,
    check_alike,
    check_single_speakers,
)
from latent.data.speech_prompts import mixed_sequences
from latent.data.vocabulary import (
    EMPTY_PROMPT,
    LATENT,
    NOTHING,
    PAD,
    SPEECH_END,
    SpeechVocabulary,
    prompt_tokens,
    timed_tokens,
)
from latent.model_card import write_model_card
from latent.text.front_end import FRONT_ENDS, FrontEnd
from latent.text.spoken import spoken as spoken_text
from s2s.config import Section
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.tasks.base import Task

logger = logging.getLogger(__name__)

_PIECES = 8  # of other utterances in a voice prompt, at most; each is read from a file


@dataclass(frozen=True)
class SpeechExample:
    """A sequence: `tokens` with ⟂ where `latents` `(M, L)` stand; slots from `start` on are predicted.

    With cues: `cues` of the slots from `start - 1` on, `(N, C)`, and the durations of the text.
    """

    id: str
    tokens: list[int]
    latents: Latents
    start: int
    cues: NDArray[np.int64] | None = None
    timed: TimedRow | None = None


@dataclass(frozen=True)
class _Told:
    """What is told of an utterance: its text or not, the speaker's name or None, and a voice prompt or no latents."""

    text: bool
    name: str | None
    voice: Latents


class SpeechDataset:
    """Utterances of a store. Noise, voice prompt and dropout depend only on the seed, the epoch and the index.

    The length of the voice prompt depends on seed and index alone, so that batches hold examples of similar length.
    """

    def __init__(self, store: LatentStore, vocabulary: SpeechVocabulary, config: Any, seed: int, fixed: bool) -> None:
        self._store, self._vocabulary, self._config, self._seed, self._fixed = store, vocabulary, config, seed, fixed
        self._by_speaker: dict[str, list[int]] = {}
        for index, utterance in enumerate(store.utterances):
            self._by_speaker.setdefault(utterance.speaker, []).append(index)
        least, most = config.min_voice_frames or config.voice_frames, config.voice_frames
        self._voice_frames = np.random.default_rng(seed).integers(least, most, len(store), endpoint=True)
        texts = [len(vocabulary.text(spoken.text)) + 3 + spoken.frames for spoken in store.utterances]
        voices = self._voice_frames + 2 if config.voice_prompt_prob else 0
        self.lengths: NDArray[np.int64] = np.array(texts, dtype=np.int64) + voices

    def __len__(self) -> int:
        return len(self._store)

    def example(self, index: int, epoch: int) -> SpeechExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        spoken, vocabulary = self._store.utterances[index], self._vocabulary
        sound = self._store.facts.sample(self._store.mean(index), generator)
        told = self._told(index, generator)
        before = list(EMPTY_PROMPT)
        if told.text:
            before = prompt_tokens(vocabulary, vocabulary.text(spoken.text), told.name, len(told.voice))
        tokens = [*before, *[LATENT] * len(sound), SPEECH_END]
        example = SpeechExample(spoken.id, tokens, np.concatenate([told.voice, sound]), len(before))
        return example if vocabulary.cues is None else self._with_cues(example, spoken, told)

    def _told(self, index: int, generator: np.random.Generator) -> _Told:
        config, name = self._config, self._store.utterances[index].speaker
        known = name in self._vocabulary.speakers
        dropped = generator.random() < config.condition_dropout and not self._fixed
        prompted = generator.random() < config.voice_prompt_prob or not known
        nothing = np.empty((0, self._store.facts.latent_size), np.float32)
        if dropped:
            return _Told(False, None, nothing)
        voice = self._voice(index, generator) if prompted else nothing
        if self._vocabulary.strangers:
            if generator.random() < config.condition_dropout and not self._fixed:
                return _Told(True, None, nothing)
            if not known or (len(voice) and generator.random() < config.nameless_rate):
                return _Told(True, None, voice)
        return _Told(True, name, voice)

    def _with_cues(self, example: SpeechExample, spoken: StoredUtterance, told: _Told) -> SpeechExample:
        vocabulary, window = self._vocabulary, self._vocabulary.cues
        assert window is not None, "the task has cues"
        tokens = timed_tokens(vocabulary.text(spoken.text))
        durations = durations_of(spoken, vocabulary, self._store.facts)
        cues = window.cues(tokens, durations, spoken.frames + 1)
        who = vocabulary.stranger if told.name is None else vocabulary.speaker(told.name)
        unheard = np.full(self._store.facts.latent_size, np.nan, np.float32)
        return replace(
            example,
            cues=cues if told.text else np.full_like(cues, NO_CUE),
            timed=TimedRow(
                tokens,
                who if told.text and who is not None else NOTHING,
                durations,
                told.voice.mean(0) if told.name is None and len(told.voice) else unheard,
            ),
        )

    def _voice(self, index: int, generator: np.random.Generator) -> Latents:
        """Pieces of other utterances of the speaker, as many as fill the prompt; empty if there are none."""
        speaker, wanted = self._store.utterances[index].speaker, int(self._voice_frames[index])
        others = [other for other in self._by_speaker[speaker] if other != index]
        pieces = [np.empty((0, self._store.facts.latent_size), np.float32)]
        for other in generator.permutation(others)[:_PIECES]:
            mean = self._store.mean(int(other))
            start = int(generator.integers(max(1, len(mean) - wanted + 1)))
            pieces.append(mean[start : start + wanted])
            wanted -= len(pieces[-1])
            if not wanted:
                break
        return self._store.facts.sample(np.concatenate(pieces), generator)


class FrontEndSection(Section):
    """Options of the text front end."""

    name: str = "bytes"
    """bytes: any text; characters: those of the training texts; phonemes: by a dictionary, best for small data;
    sentencepiece: subwords, for large models."""
    file: str | None = None
    """Dictionary of phonemes (default: CMUdict, English with stress), or sentencepiece model."""


class CueSection(Section):
    """The window of tokens that sound around the next latent."""

    per_latent: PositiveInt = 2
    """Time offsets per latent."""
    before: NonNegativeInt = 2
    """Length of the window before the next latent, in latents."""
    after: NonNegativeInt = 4
    """Length of the window after the next latent, in latents."""


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
        min_voice_frames: NonNegativeInt = 0
        """Shortest voice prompt, in latents: lengths from here to `voice_frames` are equally frequent. 0: all are as
        long as possible."""
        nameless_rate: float = Field(0.0, ge=0, le=1)
        """Share of examples with a voice prompt whose speaker gets no name, so that the model speaks as strangers whom
        it hears. Above 0, validation may have other speakers than training, and `condition_dropout` also takes the
        voice alone away, from as many examples again."""
        front_end: FrontEndSection = FrontEndSection()
        """How text becomes tokens."""
        cues: CueSection | None = None
        """Alignment conditioning: the model reads the tokens that sound around the next latent. Needs timed_latent_lm
        and recordings aligned by `unilatent prepare align-speech`; other recordings are left out."""
        fixed_text_length: NonNegativeInt = 0
        """Positions from a text's first token to the start of speech, the same for all texts up to this length, so that
        attention finds its place in the text by distance. 0: as many as the text has tokens."""

    config: SpeechSynthesis.Config

    @classmethod
    def implied(cls, config: SpeechSynthesis.Config) -> dict[str, dict[str, Any]]:
        """With cues, the model and the criterion that learn from them."""
        timed = {"model": {"name": "timed_latent_lm"}, "criterion": {"name": "timed_next_token_diffusion"}}
        return {} if config.cues is None else timed

    def __init__(self, config: SpeechSynthesis.Config) -> None:
        super().__init__(config)
        _check_voice_prompts(config)
        self._stores = {split: LatentStore.spoken(getattr(config, split)) for split in ("train", "valid")}
        check_alike(self._stores["train"], self._stores["valid"])
        check_single_speakers(*self._stores.values())
        if config.cues is not None:
            self._leave_unaligned_out()
        self.vocabulary = learn_vocabulary(self._stores["train"].utterances, config)
        self._check_speakers()
        if config.cues is not None:
            self._leave_misaligned_out()

    def _leave_unaligned_out(self) -> None:
        for split, store in self._stores.items():
            aligned = [spoken for spoken in store.utterances if spoken.alignment is not None]
            where = getattr(self.config, split)
            if not aligned:
                raise InputError(
                    f"{where}: task.cues needs 'alignment', which no utterance has; see unilatent prepare align-speech"
                )
            total = len(store.utterances)
            if left_out := total - len(aligned):
                logger.info(f"{where}: {left_out:,} of {total:,} utterances are not aligned and left out")
            store.utterances = aligned

    def _leave_misaligned_out(self) -> None:
        """Alignments of another text: the front end or its dictionary has changed since, or the text has."""
        for split, store in self._stores.items():
            fitting, reasons = [], []
            for spoken in store.utterances:
                try:
                    durations_of(spoken, self.vocabulary, store.facts)
                    fitting.append(spoken)
                except ConfigError:  # no text has sounds
                    raise
                except InputError as error:
                    reasons.append(str(error))
            where = getattr(self.config, split)
            if not fitting:
                raise InputError(f"{where}: {reasons[0]}")
            if reasons:
                left_out, shown = f"{len(reasons):,} of {len(store.utterances):,}", "; ".join(reasons[:3])
                logger.warning(
                    f"{where}: {left_out} utterances have an alignment of another text and are left out: {shown}"
                )
            store.utterances = fitting

    def _check_speakers(self) -> None:
        for spoken in () if self.vocabulary.strangers else self._stores["valid"].utterances:
            if spoken.speaker not in self.vocabulary.speakers:
                raise InputError(f"{self.config.valid}: {spoken.id!r}: speaker {spoken.speaker!r} is not in task.train")

    def inputs(self) -> list[Path]:
        return [store.folder for store in self._stores.values()]

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
            targets = example.tokens[example.start :]
            slots += range(row * width + example.start - 1, row * width + len(example.tokens) - 1)
            labels += targets
            before += len(example.latents)
            predicted += range(before - targets.count(LATENT), before)
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
        facts, cues = self._stores["train"].facts, self.vocabulary.cues
        longest = max(int(self.dataset(split, 0).lengths.max()) for split in self._stores)
        return {
            "vocab_size": len(self.vocabulary),
            "latent_size": facts.latent_size,
            "latent_mean": facts.mean,
            "latent_std": facts.latent_std,
            "num_positions": longest,
            **({} if cues is None else {"cue_tokens": cues.size, "strangers": self.vocabulary.strangers}),
        }

    def save(self, folder: Path) -> None:
        store = self._stores["train"]
        self.vocabulary.save(folder)
        store.facts.save(folder)
        learned = replace(store.facts, num_frames=sum(utterance.frames for utterance in store.utterances))
        write_model_card(folder, learned, self.vocabulary.speakers)
        store.copy_tokenizer(folder)


def _check_voice_prompts(config: SpeechSynthesis.Config) -> None:
    if config.min_voice_frames > config.voice_frames:
        most, found = config.voice_frames, config.min_voice_frames
        raise ConfigError(f"task.min_voice_frames: must be at most task.voice_frames ({most}), found {found}")
    if config.nameless_rate and not config.voice_prompt_prob:
        raise ConfigError("task.voice_prompt_prob: must be above 0 with task.nameless_rate, found 0")
    if config.cues and config.voice_prompt_prob and not (config.condition_dropout or config.nameless_rate):
        raise ConfigError(
            "task.condition_dropout: must be above 0 with task.cues and task.voice_prompt_prob, found 0; "
            "durations of a voice without a name are learned from these examples"
        )


def learn_vocabulary(utterances: Sequence[StoredUtterance], config: Any) -> SpeechVocabulary:
    """The vocabulary of training utterances, by the configuration of the task."""
    texts = [spoken_text(utterance.text, utterance.language) for utterance in utterances]
    front_end = cast("type[FrontEnd]", FRONT_ENDS[config.front_end.name]).learn(texts, config.front_end.file)
    readings = [front_end.read(text) for text in texts]
    guessed = Counter(f"{word} as {said}" for read in readings for word, said in read.guessed.items())
    spelled = Counter(part for read in readings for part in [*read.spelled, *read.dropped])
    if guessed:
        logger.info(f"{config.train}: {len(guessed):,} out-of-vocabulary words, said by a guess: {_most(guessed)}")
    if spelled:
        found = f"{spelled.total():,} out-of-vocabulary words, spelled out letter by letter"
        logger.info(f"{config.train}: {found}: {_most(spelled)}")
    return SpeechVocabulary(
        speakers=sorted({utterance.speaker for utterance in utterances}),
        frames_per_token=sum(utterance.frames for utterance in utterances)
        / max(1, sum(len(read.tokens) for read in readings)),
        front_end=front_end,
        language=Counter(utterance.language for utterance in utterances).most_common(1)[0][0],
        fixed_text_length=config.fixed_text_length,
        longest_text=max(map(len, texts)),
        cues=None if config.cues is None else CueWindow(**dict(config.cues)),
        strangers=config.nameless_rate > 0,
    )


def _most(counts: Counter[str]) -> str:
    return ", ".join(f"{part!r} ({count}x)" for part, count in counts.most_common(8))


def durations_of(spoken: StoredUtterance, vocabulary: SpeechVocabulary, facts: StoreFacts) -> NDArray[np.float64]:
    """Durations in latents of the timed tokens of an aligned utterance.

    Raises:
        InputError: its alignment does not fit its text.
    """
    sounds, frame_rate = vocabulary.sounds(spoken.text), facts.sample_rate / facts.hop_length
    try:
        return token_durations(sounds, spoken.alignment or (), spoken.frames, frame_rate)
    except InputError as error:
        raise InputError(f"{spoken.id!r}: {error}") from error
