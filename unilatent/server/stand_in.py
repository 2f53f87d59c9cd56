"""Sessions until those of the packages are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s2s.generation.decode import output_record
from s2s.run import build_decoder, load_run


@dataclass
class Item:
    key: int
    samples: Any = None
    ended: bool | None = None
    hypotheses: Any = None


class SpeechStandIn:
    def __init__(self, voice: Any) -> None:
        self._voice, self._next = voice, 0
        self._rows: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def has_room(self, request: Any) -> bool:
        return True

    def add(self, request: Any) -> int:
        self._next += 1
        self._rows[self._next] = self._voice.stream([request], 4)
        return self._next

    def remove(self, key: int) -> None:
        self._rows.pop(key, None)

    def step(self) -> list[Item]:
        import numpy as np

        found = []
        for key, stream in list(self._rows.items()):
            chunk = next(stream, None)
            if chunk is None:
                del self._rows[key]
                continue
            samples = [audio.float().cpu().numpy() for audio in chunk.audio]
            ended = chunk.ended.get(0)
            found.append(Item(key, samples[0] if samples else np.empty(0, np.float32), ended))
            if ended is not None:
                self._rows.pop(key)
        return found


class TextStandIn:
    def __init__(self, generator: Any, options: dict[str, Any]) -> None:
        self._generator, self._options, self._next = generator, options, 0
        self._rows: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def has_room(self, text: str, prefix: str | None) -> bool:
        return True

    def add(self, text: str, prefix: str | None) -> int:
        self._next += 1
        self._rows[self._next] = self._generator.task.source({"id": "1", "src": text, "prefix": prefix or ""}, "input")
        return self._next

    def remove(self, key: int) -> None:
        self._rows.pop(key, None)

    def step(self) -> list[Item]:
        rows, self._rows = self._rows, {}
        decoder = self._generator.decoder(self._options)
        found = decoder(self._generator.model, self._generator.task.collate_sources(list(rows.values())))
        items = []
        for key, hypotheses in zip(rows, found, strict=True):
            record = output_record(self._generator.task, "1", hypotheses, "")
            best = record.get("nbest") or [record]
            items.append(Item(key, hypotheses=[(item["tgt"], item["score"]) for item in best]))
        return items


class Standing:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.config, self.task, self.model, _ = load_run(folder)

    def decoder(self, options: dict[str, Any]) -> Any:
        from s2s.decoding.base import Search
        from s2s.run import read_run

        changes = [f"decoder.{key}={value}" for key, value in options.items()]
        kind: Any = Search
        return build_decoder(read_run(self.folder, changes), kind, self.task.token_id)

    def check_options(self, options: dict[str, Any]) -> None:
        self.decoder(options)

    def session(self, max_rows: int, **options: Any) -> Any:
        return TextStandIn(self, options)


def load_generator(folder: str, device: str) -> Any:
    return Standing(folder)
