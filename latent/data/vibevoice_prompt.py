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

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from latent.data.batch import MixedSequences
from s2s.errors import InputError

logger = logging.getLogger(__name__)

_TASK = (
    " Transform the text provided by various speakers into speech output, "
    "utilizing the distinct voice of each respective speaker.\n"
)
_TURN = re.compile(r"Speaker\s+(\d+)\s*:(.*)", re.IGNORECASE)

SwitchName = Literal["latent", "end", "start"]


@dataclass(frozen=True)
class Turn:
    """What one speaker says.

    Args:
        speaker: Counted from 0.
        text: Not blank; begins with one space.
    """

    speaker: int
    text: str


@dataclass(frozen=True)
class Switch:
    """So many times a token that is not text."""

    name: SwitchName
    count: int = 1


def parse_script(script: str) -> list[Turn]:
    """The turns of a script whose lines read `Speaker 1: text`; other lines are skipped with a warning.

    Speakers may be counted from 0, or from 1.

    Raises:
        InputError: no line reads like that.
    """
    turns = []
    for number, line in enumerate(script.strip().splitlines(), 1):
        found = _TURN.fullmatch(line.strip())
        if found and found[2].strip():
            turns.append(Turn(int(found[1]), f" {found[2].strip()}"))
        elif line.strip():
            logger.warning("line %d of the script is skipped: expected 'Speaker 1: text', found %r", number, line)
    if not turns:
        raise InputError("the script: no line reads 'Speaker 1: text'")
    first = min(min(turn.speaker for turn in turns), 1)
    return [Turn(turn.speaker - first, turn.text) for turn in turns]


def script_of_text(content: str) -> str:
    """A script from plain text: lines that name no speaker are Speaker 1's."""
    lines = []
    for line in filter(None, map(str.strip, content.splitlines())):
        found = _TURN.fullmatch(line)
        lines.append(f"Speaker {found[1]}: {found[2].strip()}" if found else f"Speaker 1: {line}")
    return "\n".join(lines)


def script_of_json(content: str) -> str:
    """A script from a JSON list of `{"speaker": 1, "text": "..."}`; entries that are not like that are left out.

    Raises:
        InputError: it is no JSON list.
    """
    try:
        entries = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"the script: broken JSON: {error}") from error
    if not isinstance(entries, list):
        raise InputError(f"the script: expected a JSON list of turns, found {type(entries).__name__}")
    lines = []
    for entry in entries:
        text = str(entry.get("text", "")).strip() if isinstance(entry, dict) else ""
        if text and re.fullmatch(r"\d+", str(entry.get("speaker", ""))):
            lines.append(f"Speaker {entry['speaker']}: {text}")
        else:
            logger.warning("an entry of the script is left out: expected a speaker's number and text, found %r", entry)
    return "\n".join(lines)


def check_voices(turns: Sequence[Turn], num_voices: int) -> None:
    """Make sure that each speaker has a voice, and each voice a speaker: they are matched by their order.

    Raises:
        InputError: they do not match. Without voices there is nothing to match: the model makes them up.
    """
    speakers = sorted({turn.speaker for turn in turns})
    if num_voices and speakers != list(range(num_voices)):
        found = ", ".join(str(speaker + 1) for speaker in speakers)
        raise InputError(f"the script: {num_voices} voices need speakers 1 to {num_voices}, found {found}")


def prompt_pieces(turns: Sequence[Turn], voice_frames: Sequence[int]) -> list[str | Switch]:
    """The prompt in pieces that are tokenized one by one.

    Args:
        turns: What is to be said.
        voice_frames: Latents of each voice sample, in the order of the speakers; may be empty.
    """
    pieces: list[str | Switch] = [_TASK]
    if voice_frames:
        pieces.append(" Voice input:\n")
    for speaker, frames in enumerate(voice_frames):
        pieces += [f" Speaker {speaker}:", Switch("start"), Switch("latent", frames), Switch("end"), "\n"]
    pieces.append(" Text input:\n")
    pieces += [f" Speaker {turn.speaker}:{turn.text}\n" for turn in turns]
    return [*pieces, " Speech output:\n", Switch("start")]


def prompt_sequence(
    turns: Sequence[Turn],
    voices: Sequence[Tensor],
    encode: Callable[[str], Sequence[int]],
    switches: dict[SwitchName, int],
    latent_size: int,
) -> MixedSequences:
    """The prompt as the model reads it.

    Args:
        turns: What is to be said.
        voices: Latents `(F, L)` of each voice sample, as the tokenizer drew them.
        encode: Text to tokens, without tokens around it.
        switches: Token of each switch.
        latent_size: Numbers per latent, L.
    """
    tokens: list[int] = []
    for piece in prompt_pieces(turns, [len(voice) for voice in voices]):
        tokens += encode(piece) if isinstance(piece, str) else [switches[piece.name]] * piece.count
    row = torch.tensor([tokens])
    return MixedSequences(
        ids=["script"],
        tokens=row,
        lengths=torch.tensor([len(tokens)]),
        latents=torch.cat([*voices, torch.empty(0, latent_size)]),
        latent_slots=(row[0] == switches["latent"]).nonzero().squeeze(1),
    )
