"""The turns of a script, and the takes in which a voice says them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from latent.data.speech_prompts import SpeechRequest, derived_seed
from latent.text.front_end import NothingToSay
from latent.text.splitting import split_text
from s2s.errors import InputError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TooLong(InputError):
    """A text is too long for one sequence of the model."""


@dataclass(frozen=True)
class Turn:
    """What somebody says in a script: piece `part` of the line at `where`.

    Args:
        name: The speaker's name in the script.
        speaker: The speaker of the model who says it, or None.
        prompt: A voice prompt from `Voice.prompt`, or None.
        pause: Seconds of silence after it that the script asks for; None if it does not.
        speed: 1 is the voice's own.
    """

    where: str
    part: int
    name: str
    text: str
    speaker: str | None
    prompt: Any
    seed: int
    pause: float | None
    speed: float = 1.0


@dataclass(frozen=True)
class Take:
    """Turns that are generated as one request, and the seconds of silence after them.

    Args:
        fresh: Whether its speaker begins from the voice prompt alone, not from what was said before.
    """

    request: SpeechRequest
    turns: Sequence[Turn]
    pause: float
    fresh: bool = False


def said_parts(turn: Turn, make: Callable[[Turn], T]) -> Iterator[tuple[Turn, T]]:
    """What a voice makes of a turn: in halves if it is too long, nothing (with a warning) if it has nothing to say.

    Raises:
        InputError: it cannot be said; names its place.
    """
    try:
        made = make(turn)
    except NothingToSay as error:
        logger.warning(f"{turn.where}: left out, since there is nothing to say: {error}")
    except TooLong as error:
        half = (len(turn.text) + 1) // 2
        pieces = split_text(turn.text, lambda text: len(text) <= half)
        if len(pieces) < 2:
            raise InputError(f"{turn.where}: {error}") from error
        for number, piece in enumerate(pieces, start=1):
            seed, pause = derived_seed(turn.seed, number), turn.pause if number == len(pieces) else None
            yield from said_parts(replace(turn, text=piece, seed=seed, pause=pause), make)
    except InputError as error:
        raise InputError(f"{turn.where}: {error}") from error
    else:
        yield turn, made
