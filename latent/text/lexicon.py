"""A lexicon: words and how a user wants them said, in place of what the dictionary or a rule would say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from latent.text.front_end import FrontEnd
from latent.text.pronunciation import GIVEN
from s2s.errors import InputError

_COMMENT = re.compile(r"^\s*(?:;;|#).*")


@dataclass(frozen=True)
class Lexicon:
    """Words that are replaced by their pronunciations before a text is normalized.

    A word in lower case stands for every case of it, one with capitals for itself: "us" and "US" may differ.
    """

    pronunciations: Mapping[str, str]
    """Words, and their pronunciations as `latent.text.pronunciation` reads them."""

    @classmethod
    def read(cls, path: str | Path, front_end: FrontEnd) -> Lexicon:
        """A file with a word and its pronunciation a line, in IPA or phonemes; lines may begin with # or ;;.

        Raises:
            InputError: it cannot be read, or a line is wrong or has a phoneme that the front end lacks.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        found: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if not (line := _COMMENT.sub("", line).strip()):
                continue
            word, *rest = line.split(maxsplit=1)
            said = rest[0].strip().removeprefix("[[").removesuffix("]]") if rest else ""
            try:
                front_end.pronounce(said)
            except InputError as error:
                raise InputError(
                    f"{path}:{number}: {word!r}: {str(error).removeprefix(f'[[{said.strip()}]]: ')}"
                ) from error
            found[word] = said
        if not found:
            raise InputError(f"{path}: expected lines of a word and its pronunciation, found none")
        return cls(found)

    def apply(self, text: str) -> str:
        """A text with the words of the lexicon as `[[pronunciation]]`; pronunciations in it stay as they are."""
        return self._pattern.sub(self._replaced, text)

    @property
    def fingerprint(self) -> str:
        """Differs between different lexicons."""
        return hashlib.sha256(repr(sorted(self.pronunciations.items())).encode()).hexdigest()[:16]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = "|".join(re.escape(word) for word in sorted(self.pronunciations, key=len, reverse=True))
        return re.compile(rf"{GIVEN.pattern}|(?<!\w)(?P<word>{words})(?!\w)", re.IGNORECASE)

    def _replaced(self, found: re.Match[str]) -> str:
        word = found["word"]
        said = word and (self.pronunciations.get(word) or self.pronunciations.get(word.lower()))
        return f"[[{said}]]" if said else found[0]
