"""Text as UTF-8 bytes: no character is unknown, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from latent.text.characters import sounding
from latent.text.front_end import FrontEnd, Reading, refuse_file, register_front_end


@register_front_end("bytes")
@dataclass(frozen=True)
class ByteFrontEnd(FrontEnd):
    """One token for each byte."""

    name: ClassVar[str] = "bytes"

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> ByteFrontEnd:
        refuse_file("bytes", file)
        return cls()

    def __len__(self) -> int:
        return 256

    def read(self, text: str) -> Reading:
        return Reading(list(text.encode("utf-8")), [], [])

    def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", errors="replace")

    def sounds(self, text: str) -> list[str | None]:
        return [
            (chr(byte).lower() if byte < 128 else f"<{byte:02x}>") if sounding(character) else None
            for character in text
            for byte in character.encode("utf-8")
        ]

    def save(self, folder: Path) -> None:
        """Write nothing: there is nothing to know."""

    @classmethod
    def load(cls, folder: Path) -> ByteFrontEnd:
        return cls()
