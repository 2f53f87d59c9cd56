"""The prompts of pictures: tokens of their texts, and what a model is asked to draw.

    word word start ⟂ ⟂ ⟂ ⟂        drawn
    ⟂ ⟂ ⟂ ⟂ start word word start  seen

⟂ holds a latent, in raster order. Those that are drawn are predicted by diffusion, and no token is; of what is seen,
the words and the `start` after them are predicted. For the unconditional stream of guidance, and for pictures without
a text, one empty token stands for the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.data.speech_prompts import padded_sequences
from latent.text.front_end import FRONT_ENDS, FrontEnd
from latent.text.spoken import plain
from s2s.errors import InputError, shown
from s2s.json_files import dump_json, read_object
from s2s.registry import nearest

PAD, LATENT, IMAGE_START, NOTHING = range(4)
"""Padding; a latent; the picture begins; no text is given."""
EMPTY_PROMPT = (NOTHING, IMAGE_START)

_FIRST_TEXT = NOTHING + 1
_FILE = "image_vocabulary.json"


@dataclass(frozen=True)
class ImageVocabulary:
    """The tokens of texts, as a front end cuts them, and those around pictures."""

    front_end: FrontEnd

    @classmethod
    def learn(cls, texts: Sequence[str], name: str, file: str | None) -> ImageVocabulary:
        """The vocabulary of training texts; `name` is that of the front end, `file` its file."""
        return cls(cast("type[FrontEnd]", FRONT_ENDS[name]).learn([plain(text) for text in texts], file))

    def __len__(self) -> int:
        return _FIRST_TEXT + len(self.front_end)

    def prompt(self, text: str) -> list[int]:
        """The tokens before the latents of a picture.

        Raises:
            InputError: the text holds something that the front end cannot read.
        """
        read = self.front_end.read(plain(text))
        if read.dropped:
            known = nearest(read.dropped[0], getattr(self.front_end, "vocabulary", ()))
            raise InputError(f"'text' must have words of the training texts, found {shown(read.dropped[0])}{known}")
        return [*(_FIRST_TEXT + token for token in read.tokens), IMAGE_START] if read.tokens else list(EMPTY_PROMPT)

    def written(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without those that stand around pictures; ConfigError if the front end has no text."""
        return self.front_end.text([token - _FIRST_TEXT for token in tokens if token >= _FIRST_TEXT])

    def save(self, folder: Path) -> None:
        """Write it into a run folder."""
        (folder / _FILE).write_text(dump_json({"front_end": self.front_end.name}) + "\n", encoding="utf-8")
        self.front_end.save(folder)

    @classmethod
    def load(cls, folder: Path) -> ImageVocabulary:
        """Read it from a run folder; InputError if a file is missing or broken."""
        try:
            name = str(read_object(folder / _FILE)["front_end"])
            return cls(cast("type[FrontEnd]", FRONT_ENDS[name]).load(folder))
        except InputError as error:
            raise InputError(
                f"{folder}: is not a run of the task 'image_generation' or 'image_and_text': {error}"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _FILE}: broken: {error}") from error


def seen_tokens(num_latents: int) -> list[int]:
    """The prompt that a picture of so many latents is for its text."""
    return [*[LATENT] * num_latents, IMAGE_START]


@dataclass(frozen=True)
class DrawingRequest:
    """A picture to draw.

    Args:
        id: For messages and files.
        text: What it shows; empty for any picture.
        tokens: Its prompt.
        seed: Of all noise of this picture.
        temperature: Factor of the noise that latents are drawn from; training used 1.
    """

    id: str
    text: str
    tokens: list[int]
    seed: int
    temperature: float


def drawing_prompts(requests: Sequence[DrawingRequest], latent_size: int, num_latents: int) -> GenerationPrompts:
    """The requests as one batch for the decoder."""
    ids = [request.id for request in requests]
    return GenerationPrompts(
        conditional=_bare(ids, [request.tokens for request in requests], latent_size),
        unconditional=_bare(ids, [EMPTY_PROMPT] * len(ids), latent_size),
        latent_token=LATENT,
        end_token=NOTHING,  # never asked for: all pictures have as many latents
        seeds=[request.seed for request in requests],
        temperatures=torch.tensor([request.temperature for request in requests]),
        max_frames=[num_latents] * len(ids),
    )


def _bare(ids: list[str], tokens: Sequence[Sequence[int]], latent_size: int) -> MixedSequences:
    return padded_sequences(ids, tokens, [np.empty((0, latent_size), np.float32)], latent_size, LATENT)
