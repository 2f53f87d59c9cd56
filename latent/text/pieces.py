"""Text as pieces of a sentencepiece model: for large models, whose text is longer than their speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from latent.text.characters import reading, spell
from latent.text.front_end import FrontEnd, Reading, register_front_end
from s2s.errors import ConfigError, InputError
from s2s.packages import load

_FILE = "pieces.model"


@register_front_end("sentencepiece")
@dataclass(frozen=True)
class PieceFrontEnd(FrontEnd):
    """One token for each piece; characters that the model lacks are replaced by their parts or names, else left out."""

    name: ClassVar[str] = "sentencepiece"

    model: bytes
    """The content of the model's file."""

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> PieceFrontEnd:
        if file is None:
            raise ConfigError("task.front_end.file: the front end 'sentencepiece' needs a model, found none")
        try:
            found = cls(Path(file).read_bytes())
            len(found)
        except (OSError, RuntimeError) as error:
            raise InputError(f"task.front_end.file: {file} is not a sentencepiece model: {error}") from error
        return found

    @cached_property
    def _pieces(self) -> Any:
        return load("sentencepiece", "pretrain").SentencePieceProcessor(model_proto=self.model)

    def __len__(self) -> int:
        return int(self._pieces.get_piece_size())

    def read(self, text: str) -> Reading:
        spelled = [spell(character, self._knows) for character in text]
        tokens = list(self._pieces.encode("".join(spelled)))
        return reading([token for token in tokens if token != self._pieces.unk_id()], text, spelled, self._knows)

    def text(self, tokens: Sequence[int]) -> str:
        return str(self._pieces.decode(list(tokens)))

    def save(self, folder: Path) -> None:
        (folder / _FILE).write_bytes(self.model)

    @classmethod
    def load(cls, folder: Path) -> PieceFrontEnd:
        return cls((folder / _FILE).read_bytes())

    def _knows(self, text: str) -> bool:
        return self._pieces.unk_id() not in self._pieces.encode(text)
