"""The prompt of VibeVoice: samples of the speakers' voices, then a script of who says what.

     Voice input:
     Speaker 0:<start> ⟂ ⟂ ⟂ <end>
     Text input:
     Speaker 0: Hello there.
     Speaker 1: Hi.
     Speech output:
    <start>

after a first line that states the task. ⟂ holds a latent. The pieces between switches are tokenized one by one, as in
the model's training.

Source: `vibevoice-community/VibeVoice: vibevoice/processor/vibevoice_processor.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from latent.text.labels import NUMBERED, same_speaker

_TASK = (
    " Transform the text provided by various speakers into speech output, "
    "utilizing the distinct voice of each respective speaker.\n"
)

_STRAIGHT = str.maketrans("\u2019\u201c\u201d", '\'""')

SwitchName = Literal["latent", "end", "start"]


@dataclass(frozen=True)
class Switch:
    """A token that is not text, `count` times."""

    name: SwitchName
    count: int = 1


TAIL: tuple[str | Switch, ...] = (" Speech output:\n", Switch("start"))
"""The end of the prompt, after the turns."""


def speaker_numbers(names: Sequence[str]) -> dict[str, int]:
    """Numbers from 0 of the speakers of a script, by name, in the order of the script.

    Names like "Speaker 0" or "Speaker 1" keep their numbers, less 1 where these start at 1. Names that differ only in
    case and spaces are one speaker.
    """
    keys = list(dict.fromkeys(map(same_speaker, names)))
    found = [NUMBERED.fullmatch(key) for key in keys]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(keys):
        numbers = list(range(len(keys)))
    first = min(min(numbers, default=0), 1)
    by_key = {key: number - first for key, number in zip(keys, numbers, strict=True)}
    return {name: by_key[same_speaker(name)] for name in names}


def plain_text(text: str) -> str:
    """A text with straight apostrophes, as the released code gives it to the tokenizer."""
    return text.replace("\u2019", "'").strip()


def straight_quotes(text: str) -> str:
    """A text with straight apostrophes and quotation marks, as the released code gives it to VibeVoice-Realtime."""
    return text.translate(_STRAIGHT)


def head_pieces(voice_frames: Sequence[int]) -> list[str | Switch]:
    """The start of the prompt, before the turns, with the number of latents of each speaker's voice sample, if any."""
    pieces: list[str | Switch] = [_TASK]
    if voice_frames:
        pieces.append(" Voice input:\n")
    for speaker, frames in enumerate(voice_frames):
        pieces += [f" Speaker {speaker}:", Switch("start"), Switch("latent", frames), Switch("end"), "\n"]
    return [*pieces, " Text input:\n"]


def turn_piece(speaker: int, text: str) -> str:
    """A turn of a speaker, counted from 0, in the prompt."""
    return f" Speaker {speaker}: {text}\n"


def tokenized(
    pieces: Sequence[str | Switch], encode: Callable[[str], Sequence[int]], switches: Mapping[SwitchName, int]
) -> list[int]:
    """The tokens of pieces of a prompt; `encode` tokenizes text without special tokens."""
    tokens: list[int] = []
    for piece in pieces:
        tokens += encode(piece) if isinstance(piece, str) else [switches[piece.name]] * piece.count
    return tokens
