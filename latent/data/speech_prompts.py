"""The input of speech generation: requests, and the batches of prompts that the decoder reads."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.data.cues import NO_CUE, CueWindow
from latent.data.latent_store import Latents
from latent.data.vocabulary import EMPTY_PROMPT, LATENT, PAD, SPEECH_END, SpeechVocabulary


@dataclass(frozen=True)
class Timing:
    """When each token of a text will sound: N timed tokens, and their durations in latents, `(N,)`."""

    tokens: list[int]
    durations: NDArray[np.float64]


@dataclass(frozen=True)
class SpeechRequest:
    """A text to speak, checked and tokenized by a voice, see `latent.synthesis.voice`.

    Args:
        id: For messages and files.
        text: The text.
        speaker: A speaker of the model, or None.
        tokens: The whole prompt, with text and voice prompt.
        voice: The voice prompt: sampled latents `(F, L)`, or another form that the voice defines; None without.
        seed: Of all noise of this request.
        temperature: Factor of the noise that latents are drawn from.
        expected_frames: Approximate number of latents of the speech.
        max_frames: Maximum number of latents.
        timing: For models with cues, else None.
        speed: Of the timing; 1 is the voice's own.
        spelled: Parts of the text that are out of vocabulary, and read letter by letter or by name.
        dropped: Characters that the voice cannot read, and leaves out.
        guessed: Words that its dictionary lacks, and the phonemes that it says instead.
    """

    id: str
    text: str
    speaker: str | None
    tokens: list[int]
    voice: Any
    seed: int
    temperature: float
    expected_frames: int
    max_frames: int
    timing: Timing | None = None
    speed: float = 1.0
    spelled: Sequence[str] = ()
    dropped: Sequence[str] = ()
    guessed: Mapping[str, str] = field(default_factory=dict)


def derived_seed(seed: int, item: int | str) -> int:
    """The seed of one item of a job, from the seed of the job and the place or id of the item alone."""
    if isinstance(item, str):
        return int.from_bytes(hashlib.sha256(f"{seed}:{item}".encode()).digest()[:4], "big")
    return int(np.random.SeedSequence([seed, item]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generation_prompts(
    vocabulary: SpeechVocabulary, requests: Sequence[SpeechRequest], latent_size: int
) -> GenerationPrompts:
    """The requests as one batch for the decoder."""
    nothing = np.empty((0, latent_size), np.float32)
    ids = [request.id for request in requests]
    voices = [nothing if request.voice is None else request.voice for request in requests]
    conditional = mixed_sequences(ids, [request.tokens for request in requests], voices, latent_size, vocabulary)
    textual = None
    if vocabulary.strangers:
        texts = [vocabulary.without_voice(request.tokens) for request in requests]
        textual = mixed_sequences(ids, texts, [nothing], latent_size, vocabulary)
    cues = None
    if vocabulary.cues is not None:
        cues = _planned_cues(vocabulary.cues, [request.timing for request in requests if request.timing is not None])
        conditional = _with_first_cue(conditional, cues)
        textual = None if textual is None else _with_first_cue(textual, cues)
    return GenerationPrompts(
        conditional=conditional,
        textual=textual,
        unconditional=mixed_sequences(ids, [EMPTY_PROMPT] * len(ids), [nothing], latent_size, vocabulary),
        latent_token=LATENT,
        end_token=SPEECH_END,
        seeds=[request.seed for request in requests],
        temperatures=torch.tensor([request.temperature for request in requests]),
        max_frames=[request.max_frames for request in requests],
        cues=cues,
    )


def mixed_sequences(
    ids: list[str],
    tokens: Sequence[Sequence[int]],
    latents: Sequence[Latents],
    latent_size: int,
    vocabulary: SpeechVocabulary,
) -> MixedSequences:
    """Padded sequences in which every ⟂ holds the next latent of its row."""
    positions = None
    if vocabulary.fixed_text_length:
        width = max(map(len, tokens))
        places = [vocabulary.positions(row) for row in tokens]
        positions = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in places])
    return replace(padded_sequences(ids, tokens, latents, latent_size, LATENT), positions=positions)


def padded_sequences(
    ids: list[str], tokens: Sequence[Sequence[int]], latents: Sequence[Latents], latent_size: int, latent_token: int
) -> MixedSequences:
    """Rows of tokens, in which every `latent_token` holds the next latent of its row, padded on the right."""
    width = max(map(len, tokens))
    padded = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in tokens])
    every = np.concatenate([np.empty((0, latent_size), np.float32), *latents])
    slots = (padded == latent_token).flatten().nonzero().squeeze(1)
    assert len(slots) == len(every), "as many placeholders as latents"
    lengths = torch.tensor([len(row) for row in tokens])
    return MixedSequences(ids, padded, lengths, torch.from_numpy(every), slots)


def _with_first_cue(prompts: MixedSequences, cues: Tensor) -> MixedSequences:
    """Prompts whose last slot has the first of the cues `(B, F, C)`."""
    told = torch.full((*prompts.tokens.shape, cues.shape[2]), NO_CUE)
    told[torch.arange(len(told)), prompts.lengths - 1] = cues[:, 0]
    return replace(prompts, cues=told)


def _planned_cues(window: CueWindow, timings: Sequence[Timing]) -> Tensor:
    """Cues `(B, F, C)`; the last one of each row is after the end of its text."""
    plans = []
    for timing in timings:
        count = math.ceil(timing.durations[:-1].sum()) + window.before + 1
        plans.append(window.cues(timing.tokens, timing.durations, count))
    longest = max(map(len, plans))
    return torch.from_numpy(np.stack([np.pad(plan, ((0, longest - len(plan)), (0, 0)), "edge") for plan in plans]))
