"""Generated texts as jobs of a worker: each text is a row, and the answer comes when all are finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from s2s.generation.generator import Generator
from s2s.generation.session import Finished, Text, TextSession
from s2s.json_files import dump_json
from unilatent.server.answers import Answer
from unilatent.server.worker import Job


class TextJob(Job):
    """Generates from texts; the one piece of its answer is a list: for each text its hypotheses `(text, score)`.

    Args:
        generator: What generates.
        texts: At least one, or records.
        prefix: How each output begins, or None.
        options: Of the decoder; only jobs with the same ones share a batch.
        answer: Where the list goes.
        max_rows: Of a session that this job opens.
    """

    def __init__(
        self,
        generator: Generator,
        texts: Sequence[Text],
        prefix: str | None,
        options: dict[str, Any],
        answer: Answer,
        max_rows: int,
    ) -> None:
        super().__init__(dump_json(dict(sorted(options.items()))), answer)
        self._generator, self._texts, self._prefix = generator, texts, prefix
        self._options, self._max_rows = options, max_rows
        self._found: dict[int, list[tuple[str, float]]] = {}
        self.begin_again()

    def open_session(self) -> TextSession:
        return self._generator.session(self._max_rows, **self._options)

    def has_next(self) -> bool:
        return bool(self._left)

    def has_room(self, session: TextSession) -> bool:
        return session.has_room(self._texts[self._left[0]], self._prefix)

    def join(self, session: TextSession) -> int:
        index = self._left[0]
        key = session.add(self._texts[index], self._prefix)
        self._indices[key] = self._left.pop(0)
        return key

    def receive(self, item: Finished) -> bool:
        self._found[self._indices.pop(item.key)] = item.hypotheses
        if self.finished():
            self.answer.put([self._found[index] for index in range(len(self._texts))])
        return True

    def finished(self) -> bool:
        return len(self._found) == len(self._texts)

    def begin_again(self) -> None:
        self._left = [index for index in range(len(self._texts)) if index not in self._found]
        self._indices: dict[int, int] = {}
