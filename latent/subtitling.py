"""When the sentences and words of a text are said: from times of its spoken words, or from its length alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from latent.subtitles import Subtitle, Word
from s2s.data.sentences import sentence_ends

_WORD = re.compile(r"\S+\s*")


def subtitles_of(
    text: str, start: float, end: float, words: Sequence[Word] = (), speaker: str | None = None
) -> list[Subtitle]:
    """One subtitle for each sentence of a text.

    Args:
        text: As it is written.
        start, end: When its speech begins and ends, in seconds.
        words: Its words as they are spoken (numbers in words), from the beginning of the speech, if their times are
            known. Without, time passes in proportion to characters.
        speaker: Who says it.
    """
    text = " ".join(text.split())
    ends = [0, *sentence_ends(text), len(text)]
    spans = [span for span in itertools.pairwise(ends) if text[slice(*span)].strip()]
    timed = written_words(text, [_within(word, start, end) for word in words]) if words else []
    found = []
    for first, last in spans:
        said = tuple(word for place, word in zip(_places(timed), timed, strict=True) if first <= place < last)
        if said:
            begun, over = said[0].start, said[-1].end
        else:
            begun, over = (start + (end - start) * place / len(text) for place in (first, last))
        found.append(Subtitle(begun, over, text[first:last].strip(), speaker, said))
    return found


def written_words(text: str, said: Sequence[Word]) -> list[Word]:
    """The words of a text as it is written, at the times of its spoken form: "$5" when "five dollars" is said."""
    written = _WORD.findall(text)
    matcher = SequenceMatcher(None, list(map(_key, written)), [_key(word.text) for word in said], autojunk=False)
    found: list[Word] = []
    for kind, first, last, begun, over in matcher.get_opcodes():
        now = found[-1].end if found else (said[0].start if said else 0.0)
        if kind == "equal":
            pairs = zip(written[first:last], said[begun:over], strict=True)
            found += [Word(shown, word.start, word.end) for shown, word in pairs]
        elif begun < over:
            found += _spread(written[first:last], said[begun].start, said[over - 1].end)
        else:
            found += [Word(shown, now, now) for shown in written[first:last]]
    return found


def _spread(written: Sequence[str], start: float, end: float) -> Iterator[Word]:
    """Words in a span, in proportion to their characters."""
    edges = [0, *itertools.accumulate(map(len, written))]
    for shown, (first, last) in zip(written, itertools.pairwise(edges), strict=True):
        yield Word(shown, *(start + (end - start) * place / edges[-1] for place in (first, last)))


def _within(word: Word, start: float, end: float) -> Word:
    return Word(word.text, min(start + word.start, end), min(start + word.end, end))


def _places(words: Sequence[Word]) -> Iterator[int]:
    """Where each word begins in the text that they add up to."""
    return itertools.accumulate((len(word.text) for word in words[:-1]), initial=0) if words else iter(())


def _key(word: str) -> str:
    return re.sub(r"\W", "", word.casefold()) or word.strip()
