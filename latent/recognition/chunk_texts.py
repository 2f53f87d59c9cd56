"""Segments of a stream: the streaming model writes text chunk by chunk with marks of speakers, and no times.

    "Speaker 0:Hello there, "   "and welcome back. Speaker 1:Thanks. "

Times follow from the chunks: each lasts as long as the audio that it adds, and what it says is spread over it by
characters. A segment ends at another speaker, and at the end of a sentence once it is long.

Source: the rules of `microsoft/VibeVoice: vllm_plugin/asr_streaming.py`, so that segments are those of its server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from latent.recognition.transcript import Segment

_MARK = re.compile(r"Speaker\s*(\d+)\s*:")
_SENTENCE = re.compile(r"[。！？…][\"'”’」』）)】\]]*|[.!?][\"'”’)\]]*(?=\s|$)")
_SAME_TAGS = re.compile(r"(\[[^\[\]]+\])(?:\s*\1)+")
_CJK = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
_BETWEEN_CJK = re.compile(rf"(?<={_CJK})\s+(?={_CJK})")
_LONG, _LONGEST = 10.0, 20.0
"""Seconds after which a segment ends with a sentence, and after which it ends with a chunk."""
UNKNOWN = "?"
"""The speaker before the first mark."""


@dataclass
class _Card:
    """A segment in the making, its text as it was written."""

    start: float
    speaker: str
    text: str = ""
    end: float = 0.0


def segments_of(chunk_texts: Iterable[str], advance: float, duration: float | None = None) -> list[Segment]:
    """Segments with times, from the texts of the chunks.

    Args:
        chunk_texts: As the model wrote them, white space included.
        advance: Seconds of audio that each chunk adds.
        duration: Length of the recording in seconds; None: the end of the last chunk.
    """
    cards, end = [_Card(0.0, UNKNOWN)], 0.0
    for number, text in enumerate(chunk_texts):
        start, end = (_clipped(advance * edge, duration) for edge in (number, number + 1))
        last = _spread(cards, text, start, end)
        _divide(cards, last, end)
    cards[-1].end = end
    return list(_finished(cards))


def turns_of(text: str, speaker: str) -> tuple[list[tuple[str, str]], str]:
    """What a chunk says by speaker, and who speaks at its end; `speaker` is who speaks at its beginning."""
    first, *rest = _MARK.split(text)
    turns = [(speaker, first), *zip(rest[::2], rest[1::2], strict=True)]
    said = [(who, tidy(words)) for who, words in turns if tidy(words)]
    return said, turns[-1][0]


def unmarked(text: str) -> str:
    """A chunk without marks of speakers, for texts that are joined as they come."""
    return re.sub(r"\s+", " ", _MARK.sub("", text))


def _clipped(time: float, duration: float | None) -> float:
    return time if duration is None else min(time, duration)


def _spread(cards: list[_Card], text: str, start: float, end: float) -> str:
    """Add the text of a chunk, with a new card at each change of speaker; returns its last piece."""
    first, *rest = _MARK.split(text)
    marked = list(zip(rest[::2], rest[1::2], strict=True))
    total = len(first) + sum(len(speaker) + len(said) for speaker, said in marked)
    cards[-1].text += first
    consumed = len(first)
    for speaker, said in marked:
        if cards[-1].speaker == UNKNOWN and not tidy(cards[-1].text):
            cards[-1].speaker = speaker
        elif speaker != cards[-1].speaker:
            _close(cards, max(cards[-1].start, start + (end - start) * consumed / total), speaker)
        cards[-1].text += said
        consumed += len(speaker) + len(said)
    return marked[-1][1] if marked else first


def _divide(cards: list[_Card], last: str, end: float) -> None:
    """Begin a new card of the same speaker if the open one has become long; `last` is what was said at the end."""
    card, length = cards[-1], round(end - cards[-1].start, 6)
    sentences = list(_SENTENCE.finditer(last))
    if length >= _LONG and sentences:
        rest = last[sentences[-1].end() :]
        card.text = card.text.removesuffix(rest) if rest else card.text
        _close(cards, end, card.speaker)
        cards[-1].text = rest
    elif length >= _LONGEST:
        _close(cards, end, card.speaker)


def _close(cards: list[_Card], end: float, speaker: str) -> None:
    cards[-1].end = end
    cards.append(_Card(end, speaker))


def _finished(cards: list[_Card]) -> Iterator[Segment]:
    """The cards with text, as segments; one without any time left is joined to the one before it."""
    kept: list[_Card] = []
    for card in cards:
        if not tidy(card.text):
            continue
        if card.end <= card.start and kept:
            kept[-1].text += f" {card.text}"
        else:
            kept.append(card)
    for card in kept:
        yield Segment(tidy(card.text), round(card.start, 2), round(card.end, 2), card.speaker)


def tidy(text: str) -> str:
    """Text as it is shown: single blanks, none between ideographs, and no tag twice in a row."""
    single = " ".join(_SAME_TAGS.sub(r"\1", text).split())
    return _BETWEEN_CJK.sub("", single)
