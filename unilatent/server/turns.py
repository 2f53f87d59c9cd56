"""Turns that the server finds in the audio of a Realtime session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from latent.audio.arriving import SampleBytes, SampleFormat
from latent.audio.g711 import TELEPHONE_RATE, Law
from latent.audio.turns import TurnDetector, TurnPiece, TurnSettings
from unilatent.server.bodies import RealtimeFormat, RealtimeInput, RealtimeTurns

_LAWS: dict[str, Law] = {"audio/pcmu": "mu", "audio/pcma": "a"}


class Turns:
    """Turns in bytes of audio that are written, and searched, as the settings of a session say.

    Args:
        input: The settings.
        seconds: Length of the audio of the session before; times count from its start.
    """

    def __init__(self, input: RealtimeInput, seconds: float) -> None:
        self._settings, self._seconds = (input.format, input.turn_detection), seconds
        self.format = _sample_format(input.format)
        self._bytes = SampleBytes("audio", self.format, "give the format of the audio")
        self._detector = _detector(self.format.sample_rate, input.turn_detection)

    @property
    def are_found(self) -> bool:
        """Whether the server finds turns; otherwise the client says where they end."""
        return self._detector is not None

    def follow(self, input: RealtimeInput) -> bool:
        """Whether these are the settings of a session."""
        return self._settings == (input.format, input.turn_detection)

    def push(self, content: bytes) -> Iterator[TurnPiece]:
        """What the next bytes add to turns."""
        assert self._detector is not None, "the client finds turns"
        for piece in self._detector.push(self._bytes.push(content)):
            start, end = (None if time is None else self._seconds + time for time in (piece.start, piece.end))
            yield replace(piece, start=start, end=end)

    def reset(self) -> None:
        """End a turn under way."""
        if self._detector is not None:
            self._detector.reset()


def _sample_format(asked: RealtimeFormat) -> SampleFormat:
    law = _LAWS.get(asked.type)
    return SampleFormat(asked.rate) if law is None else SampleFormat(TELEPHONE_RATE, bits=8, law=law)


def _detector(sample_rate: int, asked: RealtimeTurns | None) -> TurnDetector | None:
    if asked is None:
        return None
    seconds = asked.prefix_padding_ms / 1000, asked.silence_duration_ms / 1000
    return TurnDetector(sample_rate, TurnSettings(asked.threshold, *seconds))
