"""Subtitles of a spoken script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from latent.subtitles import Subtitle
from latent.subtitling import subtitles_of
from latent.synthesis.takes import Take
from latent.synthesis.voice import Voice


def script_subtitles(voice: Voice, takes: Sequence[Take], spans: Sequence[tuple[float, float]]) -> Iterator[Subtitle]:
    """The sentences of a script, with their speakers.

    Args:
        takes: As they were spoken. In a take of several turns, time passes in proportion to characters.
        spans: When each take is heard, from and to, in seconds.
    """
    for take, (start, end) in zip(takes, spans, strict=False):
        if len(take.turns) == 1:
            yield from voice.subtitles(take.request, start, end, take.turns[0].name)
            continue
        length, now = sum(len(turn.text) for turn in take.turns), start
        for turn in take.turns:
            after = now + (end - start) * len(turn.text) / length
            yield from subtitles_of(turn.text, now, after, speaker=turn.name)
            now = after
