"""The tokens of speech synthesis: bytes of the text, speakers, and what switches between text and latents."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from s2s.errors import InputError
from s2s.registry import nearest

PAD, LATENT, SPEECH_START, SPEECH_END, VOICE_START, VOICE_END, NOTHING = range(7)
"""Padding; a latent follows; speech begins, ends; a voice prompt begins, ends; no text and no speaker are given."""

_FIRST_BYTE = NOTHING + 1
_FIRST_SPEAKER = _FIRST_BYTE + 256
_FILE = "speech_vocabulary.json"


@dataclass(frozen=True)
class SpeechVocabulary:
    """Text as UTF-8 bytes, so that no character is unknown, and one token for each speaker.

    Args:
        speakers: Names, in the order of their tokens.
        frames_per_byte: Mean number of latents for a byte of text, to tell how long speech will be.
    """

    speakers: list[str]
    frames_per_byte: float

    def __len__(self) -> int:
        return _FIRST_SPEAKER + len(self.speakers)

    def text(self, text: str) -> list[int]:
        """The tokens of a text; different codings of the same characters (NFC) give the same."""
        return [_FIRST_BYTE + byte for byte in unicodedata.normalize("NFC", text).encode("utf-8")]

    def speaker(self, name: str) -> int:
        """The token of a speaker.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.speakers:
            raise InputError(f"no speaker is called {name!r}{nearest(name, self.speakers)}")
        return _FIRST_SPEAKER + self.speakers.index(name)

    def expected_frames(self, text: str) -> int:
        """Latents that a text takes on the average, at least 1."""
        return max(1, math.ceil(len(self.text(text)) * self.frames_per_byte))

    def save(self, folder: Path) -> None:
        """Write it into a run folder."""
        (folder / _FILE).write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SpeechVocabulary:
        """Read it from a run folder.

        Raises:
            InputError: the file is missing or broken.
        """
        try:
            return cls(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{folder}: is no run of speech synthesis: {_FILE}: {error.strerror}") from error
        except (json.JSONDecodeError, TypeError) as error:
            raise InputError(f"{folder / _FILE}: broken: {error}") from error


def prompt_tokens(vocabulary: SpeechVocabulary, text: str, speaker: str | None, voice_frames: int) -> list[int]:
    """What stands before the speech: a voice prompt of so many latents, the speaker, the text, the start of speech."""
    voice = [VOICE_START, *[LATENT] * voice_frames, VOICE_END] if voice_frames else []
    name = [] if speaker is None else [vocabulary.speaker(speaker)]
    return [*voice, *name, *vocabulary.text(text), SPEECH_START]


def empty_prompt_tokens() -> Sequence[int]:
    """What stands there when nothing is given: the unconditional stream of guidance."""
    return NOTHING, SPEECH_START
