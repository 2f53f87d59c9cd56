"""Recordings that come and go, for a server: those that wait together are heard together."""

from __future__ import annotations

from dataclasses import dataclass

from latent.recognition.recognizer import RecognitionRequest, Recognizer
from latent.recognition.transcript import Transcript
from s2s.errors import InputError


@dataclass(frozen=True)
class Heard:
    """What became of a recording, by the key that `add` gave: its transcript, or why there is none."""

    key: int
    found: Transcript | InputError


class RecognitionSession:
    """Recordings of one recognizer; each has the transcript that it would have alone.

    Args:
        recognizer: What listens.
        max_rows: Maximum number of recordings that are heard together.
    """

    def __init__(self, recognizer: Recognizer, max_rows: int) -> None:
        self._recognizer, self._max_rows = recognizer, max_rows
        self._requests: dict[int, RecognitionRequest] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._requests)

    def has_room(self) -> bool:
        """Whether another recording may join."""
        return len(self._requests) < self._max_rows

    def add(self, request: RecognitionRequest) -> int:
        """Let a recording join; its key."""
        self._added += 1
        self._requests[self._added] = request
        return self._added

    def remove(self, key: int) -> None:
        """Let a recording leave, unheard; one that was heard has left already."""
        self._requests.pop(key, None)

    def step(self) -> list[Heard]:
        """Hear the recording that waited longest, with others of similar length; all that were heard leave.

        Raises:
            InputError: one of several cannot be read; none has left.
        """
        keys, requests = list(self._requests), list(self._requests.values())
        batch = next(group for group in self._recognizer.batches(requests, self._max_rows) if 0 in group)
        try:
            found = dict(self._recognizer.recognize([requests[index] for index in batch]))
            heard = [Heard(keys[index], found[row]) for row, index in enumerate(batch)]
        except InputError as error:
            if len(batch) > 1:
                raise
            heard = [Heard(keys[0], error)]
        for one in heard:
            del self._requests[one.key]
        return heard
