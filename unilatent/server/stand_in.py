"""Sessions until those of the packages are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Item:
    key: int
    samples: Any = None
    ended: bool | None = None
    hypotheses: Any = None


class TextStandIn:
    def __init__(self, generator: Any) -> None:
        self._generator, self._next = generator, 0
        self._rows: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def has_room(self, text: str, prefix: str | None) -> bool:
        return True

    def add(self, text: str, prefix: str | None) -> int:
        self._next += 1
        self._generator._read(1, (text, prefix))
        self._rows[self._next] = (text, prefix)
        return self._next

    def remove(self, key: int) -> None:
        self._rows.pop(key, None)

    def step(self) -> list[Item]:
        rows, self._rows = self._rows, {}
        texts, prefixes = zip(*rows.values(), strict=True)
        given = None if prefixes[0] is None else list(prefixes)
        made = self._generator.generate(list(texts), given)
        return [Item(key, hypotheses=list(map(tuple, one.nbest))) for key, one in zip(rows, made, strict=True)]
