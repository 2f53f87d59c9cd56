"""The prompt of VibeVoice: samples of the speakers' voices, then a script of who says what.

     Voice input:
     Speaker 0:<start> ⟂ ⟂ ⟂ <end>
     Text input:
     Speaker 0: Hello there.
     Speaker 1: Hi.
     Speech output:
    <start>

after a first line that tells the task. ⟂ holds a latent. The pieces between switches are tokenized one by one, since
the model was trained on prompts made like that.

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

SwitchName = Literal["latent", "end", "start"]


@dataclass(frozen=True)
class Switch:
    """So many times a token that is not text."""

    name: SwitchName
    count: int = 1


TAIL: tuple[str | Switch, ...] = (" Speech output:\n", Switch("start"))
"""What stands after the turns."""


def speaker_numbers(names: Sequence[str]) -> dict[str, int]:
    """The numbers of the speakers of a script: those of "Speaker 0", or of "Speaker 1" less 1; else in their order.

    Args:
        names: As the script has them, in its order.

    Returns:
        Numbers from 0, by name; names that differ in case and spaces alone are one speaker.
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
    """A text as the released code gives it to the tokenizer: with straight apostrophes."""
    return text.replace("\u2019", "'").strip()


def prompt_pieces(turns: Sequence[tuple[int, str]], voice_frames: Sequence[int]) -> list[str | Switch]:
    """The prompt in pieces that are tokenized one by one.

    Args:
        turns: Who says what: speakers counted from 0, and texts that are not blank.
        voice_frames: Latents of each voice sample, in the order of the speakers; may be empty.
    """
    return [*head_pieces(voice_frames), *(turn_piece(speaker, text) for speaker, text in turns), *TAIL]


def head_pieces(voice_frames: Sequence[int]) -> list[str | Switch]:
    """What stands before the turns."""
    pieces: list[str | Switch] = [_TASK]
    if voice_frames:
        pieces.append(" Voice input:\n")
    for speaker, frames in enumerate(voice_frames):
        pieces += [f" Speaker {speaker}:", Switch("start"), Switch("latent", frames), Switch("end"), "\n"]
    return [*pieces, " Text input:\n"]


def turn_piece(speaker: int, text: str) -> str:
    """What one speaker says, as it is in the prompt."""
    return f" Speaker {speaker}: {text}\n"


def tokenized(
    pieces: Sequence[str | Switch], encode: Callable[[str], Sequence[int]], switches: Mapping[SwitchName, int]
) -> list[int]:
    """The tokens of pieces of a prompt.

    Args:
        pieces: See `prompt_pieces`.
        encode: Text to tokens, without tokens around it.
        switches: Token of each switch.
    """
    tokens: list[int] = []
    for piece in pieces:
        tokens += encode(piece) if isinstance(piece, str) else [switches[piece.name]] * piece.count
    return tokens
