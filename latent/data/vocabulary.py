"""The tokens of speech synthesis: text as a front end cuts it, speakers, and what switches between text and latents."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, cast

from pydantic import Field, NonNegativeInt, PositiveFloat

from latent.data.cues import CueWindow
from latent.text.front_end import FRONT_ENDS, FrontEnd, NothingToSay, Reading
from latent.text.pronunciation import GIVEN
from latent.text.spoken import spoken
from s2s.config import Section, parse_section
from s2s.errors import InputError
from s2s.json_files import describe, dump_json, read_object
from s2s.registry import nearest
from s2s.renamed import current_facts

PAD, LATENT, SPEECH_START, SPEECH_END, VOICE_START, VOICE_END, NOTHING = range(7)
"""Padding; a latent follows; speech begins, ends; a voice prompt begins, ends; neither text nor speaker is given."""
EMPTY_PROMPT = (NOTHING, SPEECH_START)
"""The prompt of the unconditional stream of guidance."""

_FIRST_TEXT = NOTHING + 1
_FILE = "speech_vocabulary.json"


@dataclass(frozen=True)
class SpeechVocabulary:
    """Tokens of the front end, and one for each speaker.

    Args:
        speakers: Names, in the order of their tokens.
        frames_per_token: Mean number of latents per token of text, for the expected length of speech.
        front_end: Splits text into tokens.
        language: Of the training texts, for numbers and signs.
        fixed_text_length: See `SpeechSynthesis.Config`.
        longest_text: Characters of the longest training text; 0 if unknown. Longer ones are better split.
        cues: The window of a model with cues, else None.
        strangers: Whether one more token stands for every speaker without a name.
    """

    speakers: list[str]
    frames_per_token: float
    front_end: FrontEnd
    language: str = "en"
    fixed_text_length: int = 0
    longest_text: int = 0
    cues: CueWindow | None = None
    strangers: bool = False

    def __len__(self) -> int:
        return self._first_speaker + len(self.speakers) + self.strangers

    @property
    def _first_speaker(self) -> int:
        return _FIRST_TEXT + len(self.front_end)

    def read(self, text: str) -> Reading:
        """A text as this model reads it, the same for all Unicode forms of its characters.

        Raises:
            NothingToSay: it holds only punctuation, blanks, emoji and unreadable characters.
            InputError: it holds a pronunciation that the front end cannot read.
        """
        words = spoken(text, self.language)
        for written in GIVEN.findall(words):
            self.front_end.pronounce(written)
        read = self.front_end.read(words)
        silent = set("".join(read.dropped))
        if not read.tokens or all(_is_silent(c) or c.casefold() in silent for c in words):
            raise NothingToSay(f"'text' must hold more than punctuation and emoji, found {describe(text)}")
        return replace(read, tokens=[_FIRST_TEXT + token for token in read.tokens])

    def text(self, text: str) -> list[int]:
        """The tokens of a text, which may have no words."""
        return [_FIRST_TEXT + token for token in self.front_end.tokens(spoken(text, self.language))]

    @property
    def text_tokens(self) -> range:
        """The tokens of text."""
        return range(_FIRST_TEXT, self._first_speaker)

    def written(self, tokens: Sequence[int]) -> str:
        """The text of some `text_tokens`; ConfigError if those of the front end are no text."""
        return self.front_end.text([token - _FIRST_TEXT for token in tokens])

    def sounds(self, text: str) -> list[str | None]:
        """The name in alignments of each token of a text; None for silent ones.

        Raises:
            ConfigError: recordings are not aligned with tokens of this front end.
        """
        return self.front_end.sounds(spoken(text, self.language))

    def spoken_words(self, text: str) -> list[tuple[str, int, int]]:
        """The words of a text as they are spoken, each with its first sounding token and the one after its last.

        Empty where the words, taken one by one, have other tokens than the text.

        Raises:
            ConfigError: tokens of this front end have no sounds.
        """
        return self.front_end.words(spoken(text, self.language))

    def speaker(self, name: str) -> int:
        """The token of a speaker.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.speakers:
            raise InputError(f"no speaker is called {name!r}{nearest(name, self.speakers)}")
        return self._first_speaker + self.speakers.index(name)

    @property
    def stranger(self) -> int | None:
        """The token of a speaker without a name, who sounds like the voice prompt; None if training had none."""
        return len(self) - 1 if self.strangers else None

    def without_voice(self, tokens: Sequence[int]) -> list[int]:
        """A prompt with its text alone, said by nobody in particular."""
        text = [token for token in tokens if _FIRST_TEXT <= token < self._first_speaker]
        return prompt_tokens(self, text, None, 0)

    def expected_frames(self, num_tokens: int) -> int:
        """The mean number of latents for so many tokens of text, at least 1."""
        return max(1, math.ceil(num_tokens * self.frames_per_token))

    def positions(self, tokens: Sequence[int]) -> list[int]:
        """Position ids of a sequence, with the gap before the start of speech that `fixed_text_length` needs."""
        start = tokens.index(SPEECH_START)
        first = start
        while first and _FIRST_TEXT <= tokens[first - 1] < self._first_speaker:
            first -= 1
        gap = max(0, self.fixed_text_length - (start - first))
        return [index if index < start else index + gap for index in range(len(tokens))]

    def save(self, folder: Path) -> None:
        """Write it into a run folder."""
        facts = {
            "speakers": self.speakers,
            "frames_per_token": self.frames_per_token,
            "front_end": self.front_end.name,
            "language": self.language,
            "fixed_text_length": self.fixed_text_length,
            "longest_text": self.longest_text,
            "cues": None if self.cues is None else asdict(self.cues),
            "strangers": self.strangers,
        }
        (folder / _FILE).write_text(dump_json(facts) + "\n", encoding="utf-8")
        self.front_end.save(folder)

    @classmethod
    def load(cls, folder: Path) -> SpeechVocabulary:
        """Read it from a run folder.

        Raises:
            InputError: the file is missing or broken.
        """
        try:
            facts = parse_section(_Facts, current_facts(read_object(folder / _FILE)), str(folder / _FILE))
            front_end = cast("type[FrontEnd]", FRONT_ENDS[facts.front_end]).load(folder)
            cues = None if facts.cues is None else CueWindow(**facts.cues)
            return cls(**{**dict(facts), "front_end": front_end, "cues": cues})
        except InputError as error:
            raise InputError(f"{folder}: is not a run of speech synthesis: {error}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / _FILE}: broken: {error}") from error


def _is_silent(character: str) -> bool:
    """Whether a text of such characters alone says nothing: marks, blanks, and pictures such as emoji."""
    category = unicodedata.category(character)
    return category[0] in "PZCM" or category in ("So", "Sk")


class _Facts(Section):
    speakers: list[Annotated[str, Field(min_length=1, pattern=r"\S")]]
    frames_per_token: PositiveFloat
    front_end: str
    language: str = "en"
    fixed_text_length: NonNegativeInt = 0
    longest_text: NonNegativeInt = 0
    cues: dict[str, NonNegativeInt] | None = None
    strangers: bool = False


def timed_tokens(text: Sequence[int]) -> list[int]:
    """The tokens whose durations add up to the speech: silence, text, silence."""
    return [SPEECH_START, *text, SPEECH_END]


def prompt_tokens(
    vocabulary: SpeechVocabulary, text: Sequence[int], speaker: str | None, voice_frames: int
) -> list[int]:
    """The prompt: a voice prompt of so many latents, the speaker or a stranger, the text, the start of speech."""
    voice = [VOICE_START, *[LATENT] * voice_frames, VOICE_END] if voice_frames else []
    who = vocabulary.stranger if speaker is None else vocabulary.speaker(speaker)
    return [*voice, *([] if who is None else [who]), *text, SPEECH_START]


def heard_tokens(frames: int) -> list[int]:
    """The prompt that a recording of so many latents is for its text."""
    return [SPEECH_START, *[LATENT] * frames, SPEECH_END]
